"""The oracle that the runner hands to selectors that cheat."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from bench_selectors import Random, tiny

from autoal.experiment.config import SelectorSpec
from autoal.experiment.runner import run
from autoal.selectors.base import RoundState, Selection, Selector


class Cheat(Random):
    """Buys at random, and asks beforehand what that will be worth."""

    cheats = True

    def select(self, state: RoundState, batch_size: int) -> Selection:
        answer = super().select(state, batch_size)
        assert state.oracle is not None
        told = [state.oracle.value_after(answer.positions) for _ in range(2)]
        return answer._replace(diagnostics={"told": told})


def cheat(spec: SelectorSpec) -> Selector:
    return Cheat(spec.name)


@pytest.mark.parametrize("changes", [{}, {"datasets": [{"name": "iris", "ood_classes": ["virginica"]}]}])
def test_the_oracle_says_what_the_next_round_will_measure(tmp_path: Path, changes: dict) -> None:
    run(tiny(selectors=["random"], seeds=1, batch_size=8, **changes), cheat, tmp_path)
    records = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    for before, after in pairwise(records):
        assert before["diagnostics"]["told"] == [after["value"]] * 2


def test_asking_it_changes_nothing(tmp_path: Path) -> None:
    config = tiny(selectors=["random"], seeds=1)
    run(config, cheat, tmp_path / "with")
    run(config, lambda spec: Random(spec.name), tmp_path / "without")
    values = [
        [(r["value"], r.get("picked")) for r in map(json.loads, (tmp_path / f / "journal.jsonl").open())]
        for f in ("with", "without")
    ]
    assert values[0] == values[1]
