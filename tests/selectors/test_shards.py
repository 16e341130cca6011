"""A pool in shards: the same answer whoever works on them, and nothing of it in memory at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge

from autoal import AutoAL, Shards
from autoal.data import shards as shards_module
from autoal.errors import DataMissing, InvalidInput, PoolExhausted, RunError
from autoal.selectors import engines

X, TRUTH = load_digits(return_X_y=True)
X = (X[:900] / 16).astype(np.float32)
TRUTH = TRUTH[:900]
Y = np.where(np.arange(900) < 60, TRUTH, -1)


def asked(pool, y=Y, batch_size: int = 12, model=None, **settings):
    selector = AutoAL(model=model or LogisticRegression(max_iter=200), random_state=0)
    return selector.fit_query(pool, y, batch_size=batch_size, **settings)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = []
    for number, part in enumerate(np.split(X, [350, 700])):
        paths.append(tmp_path / f"part-{number}.npy")
        np.save(paths[-1], part)
    return paths


def test_parts_are_cut_by_rows_and_counted_on() -> None:
    pool = Shards([X[:500], X[500:]], shard_rows=200)
    assert [(len(s), s.offset) for s in pool.shards] == [(200, 0), (200, 200), (100, 400), (200, 500), (200, 700)]
    rows = np.asarray([899, 0, 500, 499, 7])
    assert np.array_equal(pool.take(rows), X[rows])


def test_the_answer_is_of_points_that_may_be_asked_for(files) -> None:
    query = asked(Shards(files, shard_rows=200), exclude=np.arange(60, 300), rejected=[890])
    assert len(set(query.indices.tolist())) == 12 and (query.indices >= 300).all() and 890 not in query.indices
    assert np.array_equal(query.ids, query.indices) and np.isfinite(query.utilities[query.indices]).all()
    assert query.utilities.shape == (900,) and query.diagnostics["shards"] == 5
    assert sum(query.weights.values()) == pytest.approx(1)


def test_the_answer_is_that_of_the_same_shards_in_any_container(files) -> None:
    mapped = [np.load(path, mmap_mode="r") for path in files]
    answers = [asked(Shards(parts, shard_rows=350)).indices for parts in (files, mapped, [str(f) for f in files])]
    assert all(np.array_equal(answers[0], other) for other in answers[1:])


@pytest.mark.slow
def test_the_answer_is_that_of_any_number_of_workers(files) -> None:
    one = asked(Shards(files, shard_rows=200))
    many = asked(Shards(files, shard_rows=200, workers=2))
    assert np.array_equal(one.indices, many.indices)
    assert np.array_equal(one.utilities, many.utilities, equal_nan=True)


def test_shards_know_as_much_as_the_whole() -> None:
    """Sorted by class, so that each shard holds a few of the classes only."""
    order = np.argsort(TRUTH[60:], kind="stable") + 60
    rows = np.concatenate([np.arange(60), order])
    reached = {}
    for name, pool in (("whole", X[rows]), ("shards", Shards([X[rows]], shard_rows=200))):
        y = Y.copy()
        for _ in range(3):
            query = asked(pool, y, 20)
            y[query.indices] = TRUTH[rows][query.indices]
        known = y >= 0
        reached[name] = LogisticRegression(max_iter=200).fit(X[rows][known], y[known]).score(X, TRUTH)
    assert reached["shards"] > reached["whole"] - 0.02


def test_tables_are_shards_each(tmp_path) -> None:
    frame = pd.DataFrame({"a": X[:, 10], "b": X[:, 20], "c": np.where(X[:, 30] > 0.5, "high", "low")})
    for number in range(3):
        frame[number * 300 : (number + 1) * 300].to_parquet(tmp_path / f"{number}.parquet")
    paths = sorted(tmp_path.glob("*.parquet"))
    y = np.where(np.arange(900) < 60, TRUTH % 2, -1)
    query = AutoAL(random_state=0).fit_query(Shards(paths), y, batch_size=5)
    assert len(query) == 5 and (query.indices >= 60).all()


def test_targets_and_prices() -> None:
    y = np.where(np.arange(900) < 60, X[:, :5].sum(1), np.nan)
    query = asked(Shards([X], shard_rows=300), y, 6, Ridge(), costs=np.where(np.arange(900) % 2, 1.0, 1000.0))
    assert len(query) == 6 and (query.indices % 2 == 1).all()


def test_more_than_one_shard_holds(files) -> None:
    query = asked(Shards(files, shard_rows=100), batch_size=250)
    assert len(set(query.indices.tolist())) == 250
    with pytest.raises(PoolExhausted, match="841"):
        asked(Shards(files), batch_size=841)


@pytest.mark.parametrize(
    ("parts", "settings", "says"),
    [
        ([], {}, "one at least"),
        ("pool.npy", {}, "a list of paths"),
        ([X], {"engine": "dask"}, "'local' or 'ray'"),
        ([X], {"workers": 0}, "workers=0"),
        ([X], {"shard_rows": 2.5}, "shard_rows=2.5"),
        ([np.zeros((0, 3))], {}, "hold no row"),
        ([[1, 2]], {}, r"parts\[0\]"),
    ],
)
def test_what_is_no_pool_is_refused(parts, settings, says) -> None:
    with pytest.raises(InvalidInput, match=says):
        Shards(parts, **settings)


def test_what_shards_do_not_have_is_refused(files) -> None:
    with pytest.raises(DataMissing, match="nowhere"):
        Shards([*files, "nowhere.npy"])
    pool = Shards(files)
    with pytest.raises(InvalidInput, match="X_pool"):
        AutoAL(model=LogisticRegression()).fit_query(pool, Y, X, batch_size=2)
    with pytest.raises(InvalidInput, match="mode='bilevel'"):
        AutoAL(model=LogisticRegression(), mode="uniform").fit_query(pool, Y, batch_size=2)
    with pytest.raises(InvalidInput, match="fit_query"):
        AutoAL(model=LogisticRegression()).fit(pool, Y)
    with pytest.raises(InvalidInput, match="one shape"):
        asked(Shards([X[:450], X[450:, :9]]))
    np.save(files[1], X[:10])
    with pytest.raises(InvalidInput, match="make Shards anew"):
        asked(pool)


# --- workers that die ---------------------------------------------------------------------------------------------


def _dies_once(folder: Path, number: int) -> int:
    """Kills its process the first time that shard 2 is begun."""
    if number == 2:
        mark = folder / "died"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def _always_dies(folder: Path, number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def _fails(given: object, number: int) -> int:
    raise InvalidInput("what the shard itself says")


@pytest.mark.slow
def test_a_killed_shard_is_done_again(tmp_path) -> None:
    answers = engines.on_shards(_dies_once, tmp_path, 5, engine="local", workers=2)
    assert answers == [0, 1, 4, 9, 16] and (tmp_path / "died").exists()
    with pytest.raises(RunError, match="workers died 4 times"):
        engines.on_shards(_always_dies, tmp_path, 2, engine="local", workers=2)
    with pytest.raises(InvalidInput, match="the shard itself"):
        engines.on_shards(_fails, tmp_path, 2, engine="local", workers=2)


def test_a_model_that_cannot_travel_is_said(files) -> None:
    class Local(LogisticRegression):
        pass

    with pytest.raises(InvalidInput, match="workers=1"):
        asked(Shards(files, workers=2), model=Local())


class Slow(LogisticRegression):
    """Takes its time over a shard, and leaves a mark when it begins one."""

    def __init__(self, folder: str = "", max_iter: int = 200) -> None:
        super().__init__(max_iter=max_iter)
        self.folder = folder

    def predict_proba(self, X):
        if len(X) > 100:
            (Path(self.folder) / f"begun-{os.getpid()}-{time.time_ns()}").touch()
            time.sleep(2.0)
        return super().predict_proba(X)


@pytest.mark.slow
def test_on_several_nodes_of_ray_one_of_which_is_killed(files, tmp_path) -> None:
    """A cluster on loopback: the answer is that of one process, and tasks of a node that is lost are done again."""
    ray = pytest.importorskip("ray", reason="needs the extra ray")
    from ray.cluster_utils import Cluster

    slow = Slow(str(tmp_path))
    one = asked(Shards(files, shard_rows=150), model=slow)
    for mark in tmp_path.glob("begun-*"):
        mark.unlink()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        ray.init(address=cluster.address, log_to_driver=False)
        cluster.wait_for_nodes()
        assert len([node for node in ray.nodes() if node["Alive"]]) == 3

        def kill() -> None:
            while len({mark.name.split("-")[1] for mark in tmp_path.glob("begun-*")}) < 4:  # this process and three
                time.sleep(0.05)
            cluster.remove_node(nodes[1], allow_graceful=False)

        killer = threading.Thread(target=kill)
        killer.start()
        query = asked(Shards(files, shard_rows=150, engine="ray"), model=slow)
        killer.join(timeout=60)
        assert not killer.is_alive(), "all of it was done before three nodes had begun"
        assert np.array_equal(query.indices, one.indices)
        assert np.array_equal(query.utilities, one.utilities, equal_nan=True)
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_no_shard_is_opened_before_it_is_asked(files, monkeypatch) -> None:
    opened = []
    open_ = shards_module.Shard.open
    monkeypatch.setattr(shards_module.Shard, "open", lambda self: opened.append(self.offset) or open_(self))
    pool = Shards(files, shard_rows=200)
    assert not opened
    pool.take(np.asarray([3, 250]))
    assert opened == [0, 200]
