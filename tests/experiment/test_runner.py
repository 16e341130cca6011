"""The protocol of a cell, and runs that are killed, continued, or partly fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bench_selectors import Plain, Random, make_selector, tiny

from autoal.data import LabeledData
from autoal.errors import AutoALWarning, ConfigError, RunError, UnknownName
from autoal.experiment import task as task_module
from autoal.experiment.config import ExperimentConfig, parse_config
from autoal.experiment.runner import run
from autoal.experiment.store import RunStore
from autoal.experiment.task import make_task
from autoal.selectors.base import RoundState, Selection

HERE = Path(__file__).parent


def journal(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def test_every_selector_of_a_seed_starts_from_the_same_model(tmp_path: Path) -> None:
    config = tiny(selectors=["remembering", "random", "first", "uncertain"])
    run(config, make_selector, tmp_path)
    records = journal(tmp_path)
    assert len(records) == 4 * 2 * 4
    for seed in config.seeds:
        starts = [r["metrics"] for r in records if r["round"] == 0 and r["seed"] == seed]
        assert len(starts) == 4
        assert all(start == starts[0] for start in starts)


def test_the_selector_moves_neither_split_nor_first_labels() -> None:
    one = make_task(tiny(selectors=["first"]), tiny().datasets[0], 1)
    other = make_task(tiny(selectors=["random"], batch_size=7, rounds=9), tiny().datasets[0], 1)
    assert torch.equal(one.ids, other.ids)
    assert torch.equal(one.initial, other.initial)
    assert torch.equal(one.holdout_labels, other.holdout_labels)
    assert torch.equal(one.holdout_rows.take(slice(None)), other.holdout_rows.take(slice(None)))


def test_a_seed_changes_the_split_and_a_smaller_pool_changes_neither_split_nor_first_labels() -> None:
    spec = tiny().datasets[0]
    base, small, moved = make_task(tiny(), spec, 0), make_task(tiny(max_pool=20), spec, 0), make_task(tiny(), spec, 1)
    assert torch.equal(base.ids[base.initial], small.ids[small.initial])
    assert torch.equal(base.holdout_labels, small.holdout_labels)
    assert len(small.ids) == 20 + len(small.initial)
    assert not torch.equal(base.ids[base.initial], moved.ids[moved.initial])


def test_first_labels_hold_every_class_and_as_many_as_asked() -> None:
    spec = tiny().datasets[0]
    each = make_task(tiny(initial={"per_class": 2}), spec, 0)
    assert torch.bincount(each.labels[each.initial]).tolist() == [2, 2, 2]
    total = make_task(tiny(initial=8), spec, 0)
    assert len(total.initial) == 8
    assert len(total.labels[total.initial].unique()) == 3
    with pytest.raises(ConfigError, match="at least one label of each"):
        make_task(tiny(initial=2), spec, 0)


def test_no_row_is_both_trained_on_and_measured_on() -> None:
    for holdout in ("test", "validation"):
        task = make_task(tiny(holdout=holdout, standardize=False), tiny().datasets[0], 0)
        train = task.rows.take(slice(None))
        assert len(task.holdout_labels) > 0
        assert torch.isfinite(train).all()
        assert len(task.ids.unique()) == len(task.ids)


def test_inputs_are_scaled_by_the_training_part_and_missing_values_are_its_mean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(5.0, 3.0, (60, 2)).astype(np.float32)
    X[:6, 1] = np.nan
    X[40:] = 1e6
    data = LabeledData("made", X, np.arange(60) % 2, np.array(["a", "b"]), test_index=np.arange(40, 60))
    monkeypatch.setattr(task_module, "_data", lambda _: data)
    task = make_task(tiny(), tiny().datasets[0], 0)
    train = task.rows.take(slice(None))
    assert train.mean(dim=0) == pytest.approx([0.0, 0.0], abs=1e-5)
    assert (train[:6, 1] == 0).all()
    assert task.holdout_rows.take(slice(None)).min() > 1e3


def test_groups_stay_on_one_side(monkeypatch: pytest.MonkeyPatch) -> None:
    group = np.repeat(np.arange(12), 5)
    data = LabeledData(
        "made", np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 2, np.array(["a", "b"]), group=group
    )
    monkeypatch.setattr(task_module, "_data", lambda _: data)
    task = make_task(tiny(standardize=False), tiny().datasets[0], 0)
    trained, sizes = np.unique(group[task.ids.numpy()], return_counts=True)
    assert 0 < len(trained) < 12
    assert set(sizes.tolist()) == {5}


def test_selectors_see_the_outputs_of_rejected_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def watch(self: Any, state: RoundState, batch_size: int) -> Selection:
        rejected = state.view.rejected
        seen.append(0 if rejected is None else len(rejected.require("log_probs")))
        return Plain.select(self, state, batch_size)

    monkeypatch.setattr(Random, "select", watch)
    dataset = {"name": "iris", "ood_classes": ["virginica"]}
    run(tiny(datasets=[dataset], selectors=["random"], seeds=[0], batch_size=10, rounds=4), make_selector, tmp_path)
    assert seen == [record["rejected"] for record in journal(tmp_path)][:-1]
    assert seen[0] == 0 and seen[-1] > 0


def test_a_rejected_label_is_paid_and_never_trained_on(tmp_path: Path) -> None:
    dataset = {"name": "iris", "ood_classes": ["virginica"]}
    config = tiny(datasets=[dataset], selectors=["random"], seeds=[0], batch_size=10, rounds=4)
    run(config, make_selector, tmp_path)
    task = make_task(config, config.datasets[0], 0)
    assert task.num_classes == 2
    assert set(task.holdout_labels.tolist()) == {0, 1}
    assert set(task.labels.tolist()) == {-1, 0, 1}
    records = journal(tmp_path)
    bought: list[int] = []
    for number, record in enumerate(records):
        assert record["labels"] == 2 + 10 * number
        rejected = int((task.labels[torch.isin(task.ids, torch.tensor(bought, dtype=torch.int64))] == -1).sum())
        assert record["rejected"] == rejected
        assert record["labeled"] == record["labels"] - rejected
        bought += record.get("picked", [])
    assert records[-1]["rejected"] > 0
    assert len(set(bought)) == 40


def test_the_last_batch_is_smaller_where_the_pool_runs_out(tmp_path: Path) -> None:
    config = tiny(selectors=["first", "random"], max_pool=8, rounds=9, seeds=[0])
    run(config, make_selector, tmp_path)
    records = journal(tmp_path)
    assert [r["labels"] for r in records] == [3, 6, 9, 11] * 2
    ends = [r["metrics"] for r in records if r["last"]]
    assert ends[0] == ends[1], "an exhausted pool leaves the same labels, whatever bought them"


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_is_equal_in_two_folders_and_with_two_processes(tmp_path: Path, workers: int) -> None:
    config = tiny(selectors=["remembering", "failing", "random"])
    one = run(config, make_selector, tmp_path / "one")
    two = run(config, make_selector, tmp_path / "two", workers=workers)
    assert (tmp_path / "one/journal.jsonl").read_bytes() == (tmp_path / "two/journal.jsonl").read_bytes()
    for mine, other in zip(one.failures, two.failures, strict=True):
        assert "bench_selectors.py" in mine.pop("traceback") and "bench_selectors.py" in other.pop("traceback")
        assert mine == other


def test_seconds_and_bytes_are_kept_out_of_the_journal(tmp_path: Path) -> None:
    run(tiny(seeds=1), make_selector, tmp_path)
    first = journal(tmp_path)[0]
    assert first["diagnostics"] == {"nested": {"kept": 1}}
    timing = json.loads((tmp_path / "timings.jsonl").read_text().splitlines()[0])
    assert set(timing["measures"]) == {"select_seconds", "nested.bytes"}
    assert set(timing["seconds"]) == {"fit", "evaluate", "outputs", "select"}
    assert timing["peak_bytes"]["host"] > 2**20


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_and_continued_leaves_the_same_journal(tmp_path: Path, workers: int) -> None:
    config = tiny(selectors=[{"name": "remembering", "sleep_s": 0.1}, "random"], rounds=4)
    (tmp_path / "config.json").write_text(config.model_dump_json())
    code = (
        "import json, sys\n"
        "from bench_selectors import make_selector\n"
        "from autoal.experiment.config import parse_config\n"
        "from autoal.experiment.runner import run\n"
        "if __name__ == '__main__':\n"
        f"    run(parse_config(json.load(open(sys.argv[1]))), make_selector, sys.argv[2], workers={workers})\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    killed = tmp_path / "killed"
    environment = {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[1]}"}
    process = subprocess.Popen([sys.executable, script, tmp_path / "config.json", killed], env=environment)
    cell = killed / "cells" / "iris--remembering--0.jsonl"
    deadline = time.monotonic() + 120
    while not (cell.exists() and cell.read_bytes().count(b"\n") >= 2):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "journal.jsonl").exists()
    run(config, make_selector, killed)
    run(config, make_selector, tmp_path / "whole")
    assert (killed / "journal.jsonl").read_bytes() == (tmp_path / "whole/journal.jsonl").read_bytes()
    assert not list((killed / "cells").glob("*.state.*"))


def test_a_torn_line_is_dropped_and_said(tmp_path: Path) -> None:
    config = tiny(seeds=1, selectors=["remembering"])
    run(config, make_selector, tmp_path / "whole")
    run(config, make_selector, tmp_path / "torn")
    cell = tmp_path / "torn/cells/iris--remembering--0.jsonl"
    lines = cell.read_bytes().splitlines(keepends=True)
    cell.write_bytes(b"".join(lines[:2]) + lines[2][: len(lines[2]) // 2])
    total = sum(sum(json.loads(line)["picked"]) + 1 for line in lines[:2])
    (tmp_path / "torn/cells/iris--remembering--0.state.1.json").write_text(json.dumps({"total": total}))
    with pytest.warns(AutoALWarning, match="round 2 is computed again"):
        run(config, make_selector, tmp_path / "torn")
    assert (tmp_path / "torn/journal.jsonl").read_bytes() == (tmp_path / "whole/journal.jsonl").read_bytes()


def test_a_line_that_is_broken_in_the_middle_of_a_file_is_an_error(tmp_path: Path) -> None:
    config = tiny(seeds=1, selectors=["random"])
    run(config, make_selector, tmp_path)
    cell = tmp_path / "cells/iris--random--0.jsonl"
    lines = cell.read_bytes().splitlines(keepends=True)
    cell.write_bytes(lines[0] + b"{oops\n" + lines[2])
    with pytest.raises(RunError, match="line 2"):
        run(config, make_selector, tmp_path)


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    run(tiny(), make_selector, tmp_path)
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "cells").glob("*.jsonl")}
    seen: list[tuple[int, int]] = []
    run(tiny(), make_selector, tmp_path, progress=lambda now: seen.append((now.rounds_done, now.rounds)))
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "cells").glob("*.jsonl")} == before
    assert seen == [(16, 16)]


def test_another_config_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    run(tiny(seeds=1), make_selector, tmp_path)
    with pytest.raises(RunError, match=r"config\.rounds: was 3, now 2"):
        run(tiny(seeds=1, rounds=2), make_selector, tmp_path)
    run(tiny(seeds=1, workers=2), make_selector, tmp_path)


def test_two_runners_cannot_share_a_folder(tmp_path: Path) -> None:
    with RunStore(tmp_path).lock(), pytest.raises(RunError, match="another process"):
        run(tiny(), make_selector, tmp_path)


def test_a_cell_that_fails_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    result = run(tiny(selectors=["failing", "random"]), make_selector, tmp_path)
    assert {r["selector"] for r in journal(tmp_path)} == {"random"}
    failures = [json.loads(line) for line in (tmp_path / "failures.jsonl").read_text().splitlines()]
    assert [(f["selector"], f["seed"], f["round"], f["type"], f["message"]) for f in failures] == [
        ("failing", 0, 1, "ValueError", "deliberate"),
        ("failing", 1, 1, "ValueError", "deliberate"),
    ]
    assert "bench_selectors.py" in failures[0]["traceback"]
    assert result.cells == 4
    assert "2 of 4 cells failed" in result.failure_message()
    assert "same command" in result.failure_message()


def test_a_selector_that_repeats_itself_is_a_failure(tmp_path: Path) -> None:
    result = run(tiny(selectors=["repeating"], seeds=1), make_selector, tmp_path)
    assert "wanted 3 distinct positions" in result.failures[0]["message"]


def test_a_selector_that_does_not_exist_stops_the_run_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'random'"):
        run(tiny(selectors=["rondom"]), make_selector, tmp_path / "run")
    with pytest.raises(ConfigError, match="does not take"):
        run(tiny(selectors=[{"name": "random", "power": 2}]), make_selector, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_factory_that_cannot_travel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="workers=1"):
        run(tiny(), lambda spec: make_selector(spec), tmp_path, workers=2)


def test_the_order_of_seeds_changes_no_cell(tmp_path: Path) -> None:
    run(tiny(seeds=[0, 1]), make_selector, tmp_path / "a")
    run(tiny(seeds=[1, 0]), make_selector, tmp_path / "b")
    a, b = (sorted(map(str, journal(tmp_path / name))) for name in "ab")
    assert a == b


@pytest.mark.parametrize(
    ("model", "message"), [("rasnet18", "did you mean 'resnet18'"), ({"name": "mlp", "epoch": 3}, "'epochs'")]
)
def test_a_model_that_cannot_be_made_is_named(tmp_path: Path, model: Any, message: str) -> None:
    with pytest.raises((ConfigError, UnknownName), match=message):
        run(tiny(model=model), make_selector, tmp_path)


def test_networks_run_too(tmp_path: Path) -> None:
    config = tiny(
        datasets=[{"name": "digits", "subsample": 150}],
        model={"name": "mlp", "hidden": [8], "epochs": 2, "min_steps": 2},
        selectors=["uncertain", "random"],
        rounds=1,
        seeds=1,
    )
    assert not run(config, make_selector, tmp_path).failures
    assert len({r["metrics"]["log_loss"] for r in journal(tmp_path) if r["round"] == 0}) == 1


def test_the_manifest_says_how_the_run_was_made(tmp_path: Path) -> None:
    config: ExperimentConfig = tiny(seeds=1)
    run(config, make_selector, tmp_path)
    manifest = RunStore(tmp_path).manifest()
    assert set(manifest) >= {"config", "versions", "data", "device", "revision", "platform", "focus", "reference"}
    assert parse_config(manifest["config"]).identity() == config.identity()
