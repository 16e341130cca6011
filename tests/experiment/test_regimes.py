"""Scenarios: what a regime does to a data set, and what it leaves alone."""

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from autoal.data import load_dataset
from autoal.errors import ConfigError, DataMissing
from autoal.experiment.cell import Cell, run_cell
from autoal.experiment.config import REGIMES, SelectorSpec, parse_config, to_toml
from autoal.experiment.regimes import beside_noise, in_bins, long_tail, near_copies, unreliable_labels, with_share
from autoal.experiment.store import RunStore
from autoal.experiment.task import dataset_fingerprint, make_task
from baselines import make_selector


def task(seed=0, **scenario):
    config = parse_config(
        {"name": "t", "datasets": [{"name": "digits", **scenario}], "selectors": ["random"], "max_pool": 600}
    )
    return make_task(config, config.datasets[0], seed)


def raw(t):
    return t.rows.take(torch.arange(len(t.labels)))


def pool_of(t):
    return np.setdiff1d(np.arange(len(t.labels)), t.initial.numpy())


def test_every_regime_is_a_function_of_the_seed_and_leaves_the_test_rows_alone():
    plain = task()
    for regime in REGIMES:
        one, again, other = task(regime=regime), task(regime=regime), task(seed=1, regime=regime)
        for t in (one, again):
            assert len(t.ids) == len(t.labels) == len(t.rows) and bool((t.ids.diff() > 0).all())
            assert sorted(t.labels[t.initial].unique().tolist()) == list(range(t.num_classes))
        assert torch.equal(one.ids, again.ids) and torch.equal(one.labels, again.labels)
        assert torch.equal(raw(one), raw(again))
        assert not torch.equal(one.ids, other.ids)
        if regime != "ood":
            assert torch.equal(one.holdout_labels, plain.holdout_labels)


def test_a_long_tail_falls_from_the_largest_class_to_the_ratio_and_classes_change_places_with_the_seed():
    y = np.repeat(np.arange(5), 100)
    kept = long_tail(np.arange(500), y, 5, 20.0, np.random.default_rng(0))
    sizes = np.sort(np.bincount(y[kept]))[::-1]
    assert sizes.tolist() == [100, 47, 22, 11, 5]  # 100 * 20^(-k/4)
    order = [
        np.argmax(np.bincount(y[long_tail(np.arange(500), y, 5, 20.0, np.random.default_rng(s))])) for s in range(8)
    ]
    assert len(set(order)) > 1
    sizes = torch.bincount(task(regime="imbalanced").labels).double()
    assert 10 < float(sizes.max() / sizes.min()) < 30
    assert long_tail(np.arange(6), np.array([0, 0, 0, 1, 1, 1]), 2, 50.0, np.random.default_rng(0)).tolist() == list(
        range(6)
    )


def test_foreign_points_have_their_share_and_are_never_in_the_test_rows_nor_among_the_first_labels():
    t = task(regime="ood")
    assert t.num_classes == 6 and set(t.holdout_labels.tolist()) == set(range(6))
    foreign = t.rejected.numpy()
    assert not foreign[t.initial].any()
    assert abs(foreign[pool_of(t)].mean() - 0.4) < 0.05
    rows, mask = np.arange(100), np.arange(100) < 80
    few = with_share(rows, mask, 0.5, np.random.default_rng(0))
    assert len(few) == 40 and mask[few].sum() == 20
    many = with_share(rows, ~mask, 0.5, np.random.default_rng(0))
    assert len(many) == 40 and mask[many].sum() == 20


def test_named_foreign_classes_are_those_and_binary_sets_are_refused():
    t = task(ood_classes=["0", "1"])
    assert t.num_classes == 8
    with pytest.raises(ConfigError, match="3 or more"):
        make_task(c := parse_config({"name": "t", "datasets": [{"name": "breast_cancer", "regime": "ood"}],
                                     "selectors": ["random"]}), c.datasets[0], 0)  # fmt: skip
    with pytest.raises(ConfigError, match="without ood_classes"):
        task(ood_share=0.3)


def test_copies_lie_near_their_originals_and_have_their_labels():
    t, plain = task(regime="redundant"), task()
    n = len(t.initial) + 600
    assert len(t.labels) == n and len(plain.labels) == n  # max_pool counts copies
    inputs = raw(t).flatten(1)
    originals = (t.ids < 1797).nonzero().flatten()
    for copy in (t.ids >= 1797).nonzero().flatten()[:50]:
        own = originals[t.ids[originals] == t.ids[copy] % 1797]
        assert len(own) == 1 and t.labels[copy] == t.labels[own]
        apart = (inputs[originals] - inputs[copy]).norm(dim=1)
        assert int(originals[apart.argmin()]) == int(own) and 0 < float(apart.min()) < 0.1 * float(apart.median())
    assert not set(t.ids[t.initial].tolist()) & set((t.ids[t.ids >= 1797] % 1797).tolist())


def test_targets_become_classes_of_equal_size(tmp_path):
    y = np.array([0.3, -1.0, 2.5, 7.0, np.nan, 4.0, 5.5])
    assert in_bins(y, 3, "x").tolist() == [0, 0, 1, 2, -1, 1, 2]
    assert in_bins(np.array([1.0, 1.0, 1.0, 2.0]), 2, "x").tolist() == [0, 0, 0, 1]  # equal targets stay together
    with pytest.raises(ConfigError, match=r"bins=3, and class \d would be empty"):
        in_bins(np.array([1.0, 1.0, 1.0, 2.0]), 3, "x")

    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)).astype(np.float32)
    path = tmp_path / "targets.npz"
    np.savez(path, X=x, y=x[:, 0] + 0.01 * rng.normal(size=300))
    asked = {"name": "t", "datasets": [{"name": str(path), "bins": 3}], "selectors": ["random"], "max_pool": 100}
    config = parse_config(asked)
    assert config.datasets[0].label == "targets in 3"
    t = make_task(config, config.datasets[0], 0)
    assert t.num_classes == 3 and len(t.initial) == 6
    assert torch.unique(t.labels).tolist() == [0, 1, 2]
    # Classes are numbered from low targets to high ones: the first input says which is which.
    means = [float(raw(t)[t.labels == c, 0].mean()) for c in range(3)]
    assert means == sorted(means)
    # Whole numbers are targets too, in steps of one or not.
    whole = make_task(config, config.datasets[0].model_copy(update={"name": "digits", "bins": 2}), 0)
    plain = task()
    as_two = {int(i): int(c) for i, c in zip(whole.ids, whole.labels, strict=True)}
    assert all(as_two[int(i)] == int(c > 4) for i, c in zip(plain.ids, plain.labels, strict=True) if int(i) in as_two)
    np.savez(tmp_path / "named.npz", X=x, y=np.arange(300) % 2, classes=np.array(["no", "yes"]))
    with pytest.raises(ConfigError, match="classes by name"):
        make_task(config, config.datasets[0].model_copy(update={"name": str(tmp_path / "named.npz")}), 0)


def test_irrelevant_inputs_are_noise_beside_the_own_ones():
    t, plain = task(irrelevant=0.5), task()
    assert torch.equal(t.ids, plain.ids) and torch.equal(t.labels, plain.labels)
    width = raw(plain).flatten(1).shape[1]
    assert raw(t).shape[1] == width + round(0.5 * width)
    assert torch.allclose(raw(t)[:, :width], raw(plain).flatten(1), atol=1e-5)
    noise = raw(t)[:, width:]
    own = torch.nn.functional.one_hot(t.labels).float()
    correlation = ((noise - noise.mean(0)) / noise.std(0)).T @ ((own - own.mean(0)) / own.std(0)) / len(noise)
    assert float(correlation.abs().max()) < 0.2
    made = beside_noise(np.ones((50, 2, 2), np.uint8) * np.arange(4).reshape(2, 2), 0.1, np.random.default_rng(0), "x")
    assert made.shape == (50, 5)  # at least one
    with pytest.raises(ConfigError, match="leave out `irrelevant`"):
        beside_noise(["a"], 1.0, np.random.default_rng(0), "x")


def test_copies_of_pictures_are_pictures():
    X = np.random.RandomState(0).randint(0, 256, (20, 8, 8)).astype(np.uint8)
    made = near_copies(X, np.arange(5), 2, 0.05, np.random.default_rng(0), "x")
    assert made.shape == (10, 8, 8) and made.dtype == np.uint8
    assert 0 < np.abs(made[:5].astype(int) - X[:5]).mean() < 10
    with pytest.raises(ConfigError, match="arrays of numbers"):
        near_copies(["a"], np.arange(1), 1, 0.05, np.random.default_rng(0), "x")


def test_labels_are_wrong_in_one_region_only_and_at_the_rate():
    X = np.random.RandomState(0).rand(4000, 2)
    y = np.random.RandomState(1).randint(0, 4, 4000)
    noisy = unreliable_labels(X, y, np.arange(4000) >= 10, 4, 0.25, 0.4, np.random.default_rng(0))
    wrong = noisy != y
    assert not wrong[:10].any() and set(noisy) == set(range(4))
    assert abs(wrong.mean() - 0.1) < 0.02
    center = X[wrong].mean(axis=0)
    assert np.linalg.norm(X[wrong] - center, axis=1).max() < 0.8 * np.linalg.norm(X - center, axis=1).max()
    t, plain = task(regime="noisy"), task()
    assert torch.equal(t.labels[t.initial], plain.labels[plain.initial])
    assert abs(float((t.labels != plain.labels).double().mean()) - 0.1) < 0.04


def test_low_starts_with_one_label_a_class_and_buys_one_a_class(tmp_path):
    config = parse_config(
        {
            "name": "t",
            "datasets": [{"name": "digits", "regime": "low", "subsample": 200, "rounds": 2, "label": "few"}],
            "selectors": ["random"],
            "rounds": 9,
        }
    )
    cell = Cell(config.datasets[0], SelectorSpec(name="random", label="random"), 0)
    run_cell(config, cell, make_selector, store := RunStore(tmp_path).cell(cell.key))
    with store.open():
        assert [record["labels"] for record in store.read()] == [10, 20, 30]


def test_a_scenario_may_have_its_own_protocol_and_is_written_as_it_was_read():
    config = parse_config(
        {
            "name": "t",
            "datasets": [
                "digits",
                {"name": "digits", "regime": "imbalanced", "imbalance": 5.0, "model": {"name": "mlp", "hidden": [8]}},
                {"name": "iris", "initial": 6, "rounds": 3},
            ],
            "selectors": ["random"],
        }
    )
    assert [spec.label for spec in config.datasets] == ["digits", "digits imbalanced", "iris"]
    own = config.of(config.datasets[1])
    assert own.metric == "balanced_accuracy" and own.model.name == "mlp" and own.datasets == config.datasets
    assert config.datasets[1].imbalance == 5.0 and config.of(config.datasets[2]).initial.total == 6
    import tomllib

    assert parse_config(tomllib.loads(to_toml(config))).datasets == config.datasets


def test_a_regression_takes_copies_and_refuses_what_is_of_classes(tmp_path):
    X, y = np.random.RandomState(0).randn(200, 3), np.random.RandomState(1).randn(200)
    np.savez(tmp_path / "r.npz", X=X, y=y)
    base = {"name": "t", "selectors": ["random"], "initial": 10, "metric": "rmse"}
    good = parse_config({**base, "datasets": [{"name": str(tmp_path / "r.npz"), "regime": "redundant"}]})
    assert len(make_task(good, good.datasets[0], 0).labels) == 10 + 4 * 110
    bad = parse_config({**base, "datasets": [{"name": str(tmp_path / "r.npz"), "noise_share": 0.2}]})
    with pytest.raises(ConfigError, match="noise_share mean nothing"):
        make_task(bad, bad.datasets[0], 0)


def test_a_table_with_gaps_and_words_is_one_matrix_whatever_the_split(tmp_path):
    random = np.random.RandomState(0)
    color = random.choice(["red", "green", "blue"], 120)
    color[0] = "once"  # a value that is on one side of the split only
    frame = pd.DataFrame({"size": random.randn(120), "color": color, "kind": random.choice(["a", "b"], 120)})
    frame.loc[3, "size"] = np.nan
    frame.to_csv(tmp_path / "own.csv", index=False)
    config = parse_config(
        {"name": "t", "datasets": [{"name": str(tmp_path / "own.csv"), "target": "kind"}], "selectors": ["random"]}
    )
    t = make_task(config, config.datasets[0], 0)
    assert config.datasets[0].label == "own" and t.num_classes == 2
    assert raw(t).shape[1] == t.holdout_rows.take(torch.arange(1)).shape[1] == 5
    everything = torch.cat([raw(t), t.holdout_rows.take(torch.arange(len(t.holdout_labels)))])
    assert bool(everything.isfinite().all()) and len(dataset_fingerprint(config.datasets[0])) > 8


def test_texts_may_come_from_an_encoder_and_a_missing_one_is_named(tmp_path, monkeypatch):
    texts = [b"a good film", b"bad", b"not good", b"fine"] * 10
    offsets = np.cumsum([0, *map(len, texts)])
    np.savez(
        tmp_path / "t.npz",
        utf8=np.frombuffer(b"".join(texts), dtype=np.uint8),
        offsets=offsets,
        y=np.tile([1, 0, 0, 1], 10),
        classes=np.array(["bad", "good"]),
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(DataMissing, match="sentence-transformers"):
        load_dataset(tmp_path / "t.npz", encoder="some/model")

    class Lengths:
        def __init__(self, name):
            assert name == "some/model"

        def encode(self, texts):
            return [[len(text), 1.0] for text in texts]

    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=Lengths))
    data = load_dataset(tmp_path / "t.npz", encoder="some/model")
    assert data.X.tolist()[:2] == [[11.0, 1.0], [3.0, 1.0]] and "some/model" in data.notes[0]
