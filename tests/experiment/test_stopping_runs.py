"""What a cell records for stopping rules, and what a report says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bench_selectors import make_selector, tiny
from sklearn.metrics import cohen_kappa_score

from autoal.cli import main
from autoal.errors import ConfigError
from autoal.experiment import watching
from autoal.experiment.cell import Bought
from autoal.experiment.config import parse_config
from autoal.experiment.plugins import make_selector as make_named
from autoal.experiment.runner import run
from autoal.experiment.task import make_task
from autoal.experiment.task_models import make_model
from autoal.report.page import read_report, write_page
from autoal.report.stopping import chosen_rules, recorded_rounds, rule_table, scenario_stops, stops
from autoal.rng import derive_seed, generator
from autoal.stopping import Round, parse_rule
from autoal.stopping.record import STOP_SET


def journal(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def without(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As lines were before rules were watched, and before they were numbered and hashed."""
    later = {"stopping", "of", "line", "hash"}
    return [{key: value for key, value in record.items() if key not in later} for record in records]


def test_what_is_recorded_is_what_models_made_anew_say(tmp_path: Path) -> None:
    config = tiny(selectors=["uncertain"], seeds=1)
    run(config, make_selector, tmp_path)
    records = journal(tmp_path)
    spec, device = config.datasets[0], torch.device("cpu")
    task = make_task(config, spec, 0)
    stop_set = torch.randperm(len(task.ids), generator=generator(0, "stop set"))[:STOP_SET].sort().values
    before = None
    for number, record in enumerate(records):
        if record["last"]:
            assert "stopping" not in record
            continue
        bought = Bought(task, records[:number])
        rows = bought.labeled()
        model = make_model(config.model, tuple(task.rows.row_shape), task.num_classes, device)
        model.fit(task.rows, rows, task.labels[rows], task.num_classes, seed=derive_seed(0, "model", number))
        now = model.predict_log_probs(task.rows, stop_set).argmax(1).numpy()
        found = record["stopping"]
        if before is None:
            assert "agreement" not in found
        else:
            assert np.isclose(found["agreement"], cohen_kappa_score(before, now))
            assert np.isclose(found["changed"], (before != now).mean())
        before = now
        picked = torch.tensor([task.ids.tolist().index(row) for row in record["picked"]])
        right = model.predict_log_probs(task.rows, picked).argmax(1) == task.labels[picked]
        assert (found["asked"], found["right"], found["trained"]) == (len(picked), int(right.sum()), len(rows))
        pool = bought.in_pool.nonzero().flatten()
        logs = model.predict_log_probs(task.rows, pool).double()
        assert np.isclose(found["entropy"], float(-(logs.exp() * logs).sum(1).mean()), rtol=1e-4)


def test_watching_moves_no_pick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {
        "name": "tiny",
        "datasets": ["digits"],
        "seeds": 1,
        "batch_size": 5,
        "rounds": 3,
        "max_pool": 80,
        "max_test": 50,
    }
    config = parse_config({**data, "selectors": [{"name": "autoal", "candidates": ["margin", "kcenter"]}, "badge"]})
    run(config, make_named, tmp_path / "with")
    run(config.changed(cross_validate=True), make_named, tmp_path / "validated")
    monkeypatch.setattr(watching.Watch, "round", lambda *arguments: {})
    run(config, make_named, tmp_path / "without")
    found = [journal(tmp_path / name) for name in ("with", "validated", "without")]
    assert without(found[0]) == without(found[1]) == without(found[2])
    assert all("value" in record["stopping"] for record in found[1] if not record["last"])
    assert all("value" not in record["stopping"] for record in found[0] if not record["last"])


def test_a_continued_cell_records_what_it_would_have_recorded(tmp_path: Path) -> None:
    config = tiny(selectors=["remembering"], seeds=1, cross_validate=True)
    run(config, make_selector, tmp_path / "whole")

    class Stop(Exception):
        pass

    def stopped(spec: Any) -> Any:
        selector = make_selector(spec)
        select, calls = selector.select, []

        def once(*arguments: Any) -> Any:
            calls.append(1)
            if len(calls) > 2:
                raise Stop
            return select(*arguments)

        selector.select = once  # type: ignore[method-assign]
        return selector

    run(config, stopped, tmp_path / "cut")
    run(config, make_selector, tmp_path / "cut")
    assert (tmp_path / "cut" / "journal.jsonl").read_bytes() == (tmp_path / "whole" / "journal.jsonl").read_bytes()


def test_runs_begun_before_go_on(tmp_path: Path) -> None:
    """The manifest of an earlier version names neither key."""
    config = tiny(selectors=["first"], seeds=1)
    assert not {"cross_validate", "stopping"} & config.identity().keys()
    assert config.changed(cross_validate=True).identity()["cross_validate"] is True
    run(config, make_selector, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest["stopping"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    before = (tmp_path / "journal.jsonl").read_bytes()
    run(config.changed(stopping=["budget(labels=9)"]), make_selector, tmp_path)
    assert (tmp_path / "journal.jsonl").read_bytes() == before


def test_audit_points_are_counted_apart(tmp_path: Path) -> None:
    data = {
        "name": "tiny",
        "datasets": ["digits"],
        "seeds": 1,
        "batch_size": 10,
        "rounds": 3,
        "max_pool": 90,
        "max_test": 50,
    }
    auditing = {"name": "autoal", "candidates": ["margin", "kcenter"], "search": {"audit": 0.3}}
    run(parse_config({**data, "selectors": [auditing]}), make_named, tmp_path)
    for record in journal(tmp_path)[:-1]:
        found = record["stopping"]
        assert found["audited"] == record["diagnostics"]["audit"]["random"] == 3
        assert found["audited_right"] <= found["right"] <= found["asked"] == 10


def test_a_regression_records_agreement(tmp_path: Path) -> None:
    data = {
        "name": "tiny", "datasets": ["diabetes"], "model": "ridge", "metric": "rmse", "seeds": 1, "initial": 12,
        "batch_size": 5, "rounds": 3, "max_pool": 80, "selectors": ["kcenter"], "cross_validate": True,
    }  # fmt: skip
    run(parse_config(data), make_named, tmp_path)
    found = [record["stopping"] for record in journal(tmp_path)[:-1]]
    assert all(-1 <= each["agreement"] <= 1 for each in found[1:]) and all(each["value"] > 0 for each in found)
    assert not any("entropy" in each or "changed" in each or "asked" in each for each in found)


def lines(values: list[float], agreements: list[float], **more: Any) -> list[dict[str, Any]]:
    """The journal of one cell."""
    found: list[dict[str, Any]] = []
    for number, value in enumerate(values):
        labels, last = 50 * (number + 1), number == len(values) - 1
        seen = {} if last else {"trained": labels, "agreement": agreements[number], "asked": 50, "right": 50}
        found.append(
            {
                "dataset": "d", "selector": "s", "seed": 0, "round": number, "labels": labels, "labeled": labels,
                "value": value, "metric": "accuracy", "last": last, "stopping": seen, **more,
            }
        )  # fmt: skip
    return found


def test_saved_and_lost_are_what_they_say() -> None:
    records = lines([0.5, 0.6, 0.7, 0.8, 0.81, 0.815], [0.5, 0.995, 0.995, 0.995, 0.995])
    rules = [
        parse_rule(text)
        for text in (
            "stable_predictions",
            "budget(labels=125)",
            "budget(labels=9999)",
            "audit_clean",
            "selected_accuracy",
        )
    ]
    found = stops(records, rules).set_index("rule")
    row = found.loc["stable_predictions"]  # three pairs above 0.99 on average: round 3, 200 labels
    assert (row["at"], row["saved"], row["stopped"], row["told"]) == (200, 100, True, True)
    assert np.isclose(row["lost"], 1.5) and np.isclose(row["share"], 100 / 250)
    assert found.loc["budget(labels=125)", "at"] == 150 and np.isclose(found.loc["budget(labels=125)", "lost"], 11.5)
    assert not found.loc["budget(labels=9999)", "stopped"] and found.loc["budget(labels=9999)", "lost"] == 0
    assert not found.loc["audit_clean", "told"]
    assert found.loc["selected_accuracy", "at"] == 100  # the first batch is answered once the second round begins
    errors = stops([{**record, "metric": "rmse"} for record in records], rules[:1])
    assert np.isclose(errors["lost"].item(), -1.5)
    table = rule_table(found.reset_index()).set_index("rule")
    assert table.loc["audit_clean", "cells"] == 0 and table.loc["stable_predictions", "bearable"] == 0
    assert scenario_stops(found.reset_index())["stable_predictions"].tolist() == ["100 / 1.5"]


def test_a_rule_never_sees_a_test_value_or_its_own_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    records = lines([0.5, 0.6, 0.7, 0.8], [0.5, 0.6, 0.7])
    other = lines([0.1, 0.9, 0.2, 0.3], [0.5, 0.6, 0.7])
    assert recorded_rounds(records) == recorded_rounds(other)
    seen: list[list[Round]] = []
    rule = parse_rule("selected_accuracy(least=1)")
    monkeypatch.setattr(
        type(rule), "judge", lambda self, rounds: seen.append(list(rounds)) or parse_rule("budget").judge(rounds)
    )
    stops(records, [rule])
    assert [len(rounds) for rounds in seen] == [1, 2, 3] and all(rounds[-1].asked == 0 for rounds in seen)
    assert all(each.asked == 50 for each in seen[2][:-1])


def test_the_page_and_the_command_line_say_when_to_stop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny(selectors=["uncertain", "random"], stopping=["stable_predictions(threshold=0.5,window=1)"])
    run(config, make_selector, tmp_path)
    page = write_page(read_report(tmp_path)).read_text()
    assert 'id="stopping"' in page and "threshold=0.5" in page and "Could not tell in this run: " in page
    assert main(["outlook", str(tmp_path), "--rule", "budget(labels=8)"]) == 0
    said = capsys.readouterr().out
    assert "budget(labels=8)" in said and "threshold=0.5" in said.replace("\n", "")
    assert main(["outlook", str(tmp_path), "--rule", "budgt"]) == 2
    assert "did you mean 'budget'" in capsys.readouterr().err
    assert main(["outlook", str(tmp_path), "--labels", "3"]) == 2
    assert main(["outlook", str(tmp_path / "nothing")]) == 2
    assert "is not the folder of a run" in capsys.readouterr().err


def test_journals_of_earlier_versions_have_a_page_without_it(tmp_path: Path) -> None:
    run(tiny(selectors=["uncertain", "random"]), make_selector, tmp_path)
    old = without(journal(tmp_path))
    (tmp_path / "journal.jsonl").write_text("".join(json.dumps(record) + "\n" for record in old))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "format": 1}))
    (tmp_path / "journal.head").unlink()  # those versions wrote none
    assert 'id="stopping"' not in write_page(read_report(tmp_path)).read_text()
    assert not stops(old, chosen_rules())["told"].any()


def test_wrong_rules_in_a_config_are_named() -> None:
    assert tiny(stopping="budget( labels = 5 )").stopping == ("budget(labels=5)",)
    with pytest.raises(ConfigError, match="did you mean 'budget'"):
        tiny(stopping=["budge"])
    with pytest.raises(ConfigError, match="got labels=0"):
        tiny(stopping=["budget(labels=0)"])
