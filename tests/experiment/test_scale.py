"""Runs in parts, in processes and on Ray: however they are computed, and whenever they are killed, the same journal."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from bench_selectors import make_selector, tiny

from autoal.errors import ConfigError, RunError, UnknownName
from autoal.experiment.cell import Cell, cells_of
from autoal.experiment.config import ExperimentConfig
from autoal.experiment.progress import Ledger, Standing
from autoal.experiment.runner import run
from autoal.experiment.shards import Shard, compile_journal, merge
from autoal.experiment.store import RunStore
from autoal.rng import derive_seed
from tests.session.forged import resealed

HERE = Path(__file__).parent


def journal(folder: Path) -> bytes:
    return (folder / "journal.jsonl").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("whole")
    run(tiny(), make_selector, folder)
    return journal(folder)


# Shards.


def test_shards_share_the_cells_evenly_and_leave_none_out() -> None:
    cells = cells_of(tiny(selectors=["remembering", "first", "random"], seeds=5))
    for count in (1, 2, 4, 7, 20):
        parts = [Shard(i, count).part(cells) for i in range(1, count + 1)]
        assert sorted(cell.key for part in parts for cell in part) == sorted(cell.key for cell in cells)
        sizes = [len(part) for part in parts]
        assert max(sizes) - min(sizes) <= 1
        per_selector = [Counter(cell.selector.label for cell in part)["first"] for part in parts]
        assert max(per_selector) - min(per_selector) <= 1, "an expensive selector is shared evenly too"


def test_a_shard_does_not_depend_on_the_order_of_the_config() -> None:
    cells = cells_of(tiny(seeds=5))
    mine = {cell.key for cell in Shard(2, 3).part(cells)}
    assert {cell.key for cell in Shard(2, 3).part(cells[::-1])} == mine


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "a/b", "-1/2"])
def test_a_shard_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="wanted i/n"):
        Shard.parse(text)


def test_shards_in_one_folder_make_the_journal_of_the_whole(tmp_path: Path, whole: bytes) -> None:
    first = run(tiny(), make_selector, tmp_path, shard=Shard(2, 2))
    assert len(first.missing) == 2
    assert not (tmp_path / "journal.jsonl").exists()
    assert compile_journal(tmp_path) == first.missing
    second = run(tiny(), make_selector, tmp_path, shard=Shard(1, 2))
    assert second.missing == []
    assert journal(tmp_path) == whole


def test_shards_may_work_side_by_side_and_nobody_else_beside_them(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    with store.lock("1/2"):
        assert run(tiny(), make_selector, tmp_path, shard=Shard(2, 2)).missing
        with pytest.raises(RunError, match="shard 1/2"):
            run(tiny(), make_selector, tmp_path, shard=Shard(1, 2))
        with pytest.raises(RunError, match="another process is running"):
            run(tiny(), make_selector, tmp_path)
    with store.lock(), pytest.raises(RunError, match="another process is running"):
        run(tiny(), make_selector, tmp_path, shard=Shard(1, 2))


def test_a_failure_in_one_shard_does_not_hold_up_the_journal(tmp_path: Path) -> None:
    config = tiny(selectors=["failing", "random"])
    for i in (1, 2):
        result = run(config, make_selector, tmp_path / "parts", shard=Shard(i, 2))
        assert len(result.failures) == 1
    run(config, make_selector, tmp_path / "whole")
    assert journal(tmp_path / "parts") == journal(tmp_path / "whole")
    failures = [json.loads(line)["seed"] for line in (tmp_path / "parts/failures.jsonl").read_text().splitlines()]
    assert failures == [0, 1]


def test_folders_of_shards_are_merged(tmp_path: Path, whole: bytes) -> None:
    for i in (1, 2, 3):
        run(tiny(), make_selector, tmp_path / str(i), shard=Shard(i, 3))
    assert len(merge(tmp_path / "out", [tmp_path / "1", tmp_path / "2"])) == 1
    assert merge(tmp_path / "out", [tmp_path / "3", tmp_path / "1"]) == []
    assert journal(tmp_path / "out") == whole
    timings = (tmp_path / "out/timings.jsonl").read_text().splitlines()
    assert len(timings) == len(whole.splitlines())


def test_what_does_not_belong_together_is_not_merged(tmp_path: Path) -> None:
    run(tiny(seeds=1), make_selector, tmp_path / "a")
    run(tiny(seeds=1, rounds=2), make_selector, tmp_path / "b")
    with pytest.raises(RunError, match="another config"):
        merge(tmp_path / "out", [tmp_path / "a", tmp_path / "b"])
    changed = tmp_path / "a/cells/iris--random--0.jsonl"
    run(tiny(seeds=1), make_selector, tmp_path / "c")
    resealed(changed, lambda lines: [{**lines[0], "labels": 4}, *lines[1:]])  # as another machine might compute it
    with pytest.raises(RunError, match="differ"):
        merge(tmp_path / "out2", [tmp_path / "a", tmp_path / "c"])
    changed.write_text(changed.read_text().replace('"labels":4', '"labels":3'))
    with pytest.raises(RunError, match="line 1 of 4 is not as it was written"):
        merge(tmp_path / "out3", [tmp_path / "a", tmp_path / "c"])


# The time limit.


def test_a_cell_over_its_time_fails_and_goes_on_in_a_later_run(tmp_path: Path) -> None:
    selectors = [{"name": "remembering", "sleep_s": 0.3}]
    result = run(tiny(selectors=selectors, seeds=1, cell_time_limit=0.2), make_selector, tmp_path)
    (failure,) = result.failures
    assert (failure["selector"], failure["type"], failure["round"]) == ("remembering", "CellTimeLimit", 1)
    assert "cell_time_limit" in failure["message"]
    again = run(tiny(selectors=selectors, seeds=1), make_selector, tmp_path)
    assert not again.failures, "the limit is no part of a run's identity"
    run(tiny(selectors=selectors, seeds=1), make_selector, tmp_path / "alone")
    assert journal(tmp_path) == journal(tmp_path / "alone")


@pytest.mark.slow
def test_a_cell_that_hangs_is_ended_with_its_process(tmp_path: Path) -> None:
    config = tiny(selectors=["hanging", "random"], seeds=1, cell_time_limit=15.0)
    begun = time.monotonic()
    result = run(config, make_selector, tmp_path, workers=2)
    assert time.monotonic() - begun < 200
    assert [(f["selector"], f["type"], f["round"]) for f in result.failures] == [("hanging", "CellTimeLimit", 1)]
    assert b'"selector":"random"' in journal(tmp_path)


@pytest.mark.slow
def test_a_process_that_dies_costs_its_own_cell_alone(tmp_path: Path) -> None:
    config = tiny(selectors=[{"name": "hanging", "end": True}, "random"], seeds=1)
    result = run(config, make_selector, tmp_path, workers=2)
    assert [f["selector"] for f in result.failures] == ["hanging"]
    assert "died twice (exit code 9)" in result.failures[0]["message"]
    assert len(journal(tmp_path).splitlines()) == 4


# Progress.


def test_progress_counts_cells_and_estimates_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    cells: list[Cell] = cells_of(tiny(selectors=["first", "random"]))
    slow, _, quick, quick_too = cells
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    seen: list[Standing] = []
    ledger = Ledger(cells, {cell.key: 4 for cell in cells}, {}, seen.append)
    assert ledger.standing().left_s is None
    ledger.begun(slow)
    for number in range(1, 5):
        now[0] += 10
        ledger.round(slow, number)
    ledger.settled(slow, failed=False)
    ledger.begun(quick)
    now[0] += 1
    ledger.round(quick, 1)
    assert ledger.standing().left_s == pytest.approx(4 * 10 + (3 + 4) * 1)
    ledger.abreast = 2
    assert ledger.standing().left_s == pytest.approx(47 / 2)
    ledger.settled(quick_too, failed=True)
    standing = seen[-1]
    assert (standing.done, standing.failed, standing.cells) == (1, 1, 4)
    assert standing.running == (str(quick),)
    assert standing.left_s == pytest.approx((40 + 3) / 2)
    assert standing.rounds_done == 5


# Ray.


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RunError, match=r"autoal\[ray\]"):
        run(tiny(), make_selector, tmp_path, engine="ray")
    with pytest.raises(UnknownName, match="local"):
        run(tiny(), make_selector, tmp_path, engine="locl")  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")
def test_ray_computes_the_same_and_ends_what_hangs(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{HERE.parents[1]}")  # where its processes find our selectors
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        config = tiny(selectors=["hanging", "remembering", "failing"], cell_time_limit=30.0)
        result = run(config, make_selector, tmp_path, engine="ray")
    finally:
        ray.shutdown()
    assert len(result.failures) == 4, result.failure_message()
    assert journal(tmp_path) == b"".join(line for line in whole.splitlines(True) if b'"remembering"' in line)
    assert {(f["selector"], f["seed"], f["type"]) for f in result.failures} == {
        ("hanging", 0, "CellTimeLimit"),
        ("hanging", 1, "CellTimeLimit"),
        ("failing", 0, "ValueError"),
        ("failing", 1, "ValueError"),
    }
    assert "bench_selectors.py" in result.failures[-1]["traceback"]


# Ways of computing, and kills.

SCRIPT = """
import json, sys
from bench_selectors import make_selector
from autoal.experiment.config import parse_config
from autoal.experiment.runner import run
from autoal.experiment.shards import Shard
if __name__ == "__main__":
    options = json.loads(sys.argv[3])
    if "shard" in options:
        options["shard"] = Shard.parse(options["shard"])
    run(parse_config(json.load(open(sys.argv[1]))), make_selector, sys.argv[2], **options)
"""


def start(tmp_path: Path, config: ExperimentConfig, folder: Path, **options: Any) -> subprocess.Popen[bytes]:
    (tmp_path / "config.json").write_text(config.model_dump_json())
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[1]}",
        "BENCH_COUNTER": str(tmp_path / "counter"),
    }
    arguments = [sys.executable, tmp_path / "script.py", tmp_path / "config.json", folder, json.dumps(options)]
    return subprocess.Popen(arguments, env=environment)


@pytest.mark.slow
def test_processes_and_shards_at_the_same_time_make_one_journal(tmp_path: Path, whole: bytes) -> None:
    parts = [start(tmp_path, tiny(), tmp_path / "parts", shard=f"{i}/2", workers=i) for i in (1, 2)]
    assert [part.wait(200) for part in parts] == [0, 0]
    assert journal(tmp_path / "parts") == whole


def finished_rounds(folder: Path) -> set[tuple[str, int, int]]:
    """Rounds whose line is whole on disk."""
    found = set()
    for path in (folder / "cells").glob("*.jsonl"):
        if not path.name.endswith(".timings.jsonl"):
            for line in path.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n"):
                    record = json.loads(line)
                    found.add((record["selector"], record["seed"], record["round"]))
    return found


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("workers", [1, 2])
def test_ten_kills_at_random_moments_lose_nothing_and_repeat_nothing(tmp_path: Path, workers: int) -> None:
    names = [{"name": "remembering", "label": f"r{i}", "sleep_s": 0.15} for i in range(2)]
    config = tiny(selectors=names, rounds=30, seeds=3)
    folder, counter = tmp_path / "killed", tmp_path / "counter"
    rng = random.Random(0)
    # A selector's seed is made from that of the round's outputs.
    rounds = [(seed, derive_seed(seed, "outputs", number)) for seed in config.seeds for number in range(config.rounds)]
    seeds = {derive_seed(of_round, "selector"): seed for seed, of_round in rounds}
    kills = 0
    while kills < 10:
        before = counter.read_text().count("\n") if counter.exists() else 0
        process = start(tmp_path, config, folder, workers=workers)
        # From the first round on: importing takes longer than the rounds do.
        while (counter.read_text().count("\n") if counter.exists() else 0) <= before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 1.5))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        time.sleep(0.5)  # workers end when they see their parent gone
        # From here on no finished round may begin again. Selectors are named alike, so rounds are counted by seed.
        kept = Counter((seed, number) for _, seed, number in finished_rounds(folder))
        begun = counter.read_text().splitlines()
        (tmp_path / f"kept-{kills}.json").write_text(
            json.dumps([len(begun), [[seed, number, count] for (seed, number), count in kept.items()]])
        )
    assert kills == 10, "the run was over before it was killed ten times"
    assert start(tmp_path, config, folder, workers=workers).wait(400) == 0
    os.environ.pop("BENCH_COUNTER", None)
    run(config, make_selector, tmp_path / "alone")
    assert journal(folder) == journal(tmp_path / "alone")
    starts = [line.split() for line in counter.read_text().splitlines()]
    parsed = [(seeds[int(seed)], int(number)) for _, seed, number in starts]
    for kill in range(1, 11):
        already, kept_rows = json.loads((tmp_path / f"kept-{kill}.json").read_text())
        later = Counter(parsed[already:])
        for seed, number, count in kept_rows:
            assert later[seed, number] <= len(names) - count, f"round {number} of seed {seed} was run twice"
    wanted = len(names) * len(config.seeds) * config.rounds
    assert wanted <= len(parsed) <= wanted + 10 * workers, "at most the rounds under way at a kill are begun again"
    timings = (folder / "timings.jsonl").read_text().splitlines()
    assert len(timings) == len(journal(folder).splitlines())
