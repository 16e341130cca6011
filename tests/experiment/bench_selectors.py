"""Selectors, a factory and configs for the tests of the bench. Imported by worker processes too."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch

from autoal.errors import UnknownName
from autoal.experiment.config import ExperimentConfig, SelectorSpec, parse_config
from autoal.rng import generator
from autoal.selectors.base import RoundState, Selection, Selector


class Plain:
    """A selector without memory."""

    needs = frozenset({"log_probs"})

    def __init__(self, name: str) -> None:
        self.name = name

    def reset(self) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass

    def order(self, state: RoundState) -> torch.Tensor:
        raise NotImplementedError

    def select(self, state: RoundState, batch_size: int) -> Selection:
        order = self.order(state)
        return Selection(order[:batch_size], torch.zeros(len(order), dtype=torch.float64), {self.name: 1.0})


class Random(Plain):
    def order(self, state: RoundState) -> torch.Tensor:
        return torch.randperm(len(state.pool_ids), generator=generator(state.seed, "random", state.round))


class First(Plain):
    def order(self, state: RoundState) -> torch.Tensor:
        return torch.arange(len(state.pool_ids))


class Uncertain(Plain):
    def order(self, state: RoundState) -> torch.Tensor:
        return state.view.pool.require("log_probs").max(dim=1).values.argsort(stable=True)


class Remembering(Plain):
    """Its answer depends on all earlier rounds, so a run that is continued without its memory differs."""

    def __init__(self, name: str, sleep_s: float = 0.0) -> None:
        super().__init__(name)
        self.sleep_s = sleep_s
        self.reset()

    def reset(self) -> None:
        self.total = 0

    def state_dict(self) -> dict[str, Any]:
        return {"total": self.total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.total = state["total"]

    def select(self, state: RoundState, batch_size: int) -> Selection:
        if counter := os.environ.get("BENCH_COUNTER"):
            with Path(counter).open("a") as file:  # short lines: several processes may append at once
                file.write(f"{self.name} {state.seed} {state.round}\n")
        time.sleep(self.sleep_s)
        order = torch.randperm(len(state.pool_ids), generator=generator(self.total, "remembering"))
        picked = order[:batch_size]
        self.total += int(state.pool_ids[picked].sum()) + 1
        measures = {"select_seconds": time.perf_counter(), "nested": {"bytes": time.perf_counter_ns(), "kept": 1}}
        return Selection(picked, torch.zeros(len(order), dtype=torch.float64), diagnostics=measures)


class Failing(Plain):
    """Raises in its second round."""

    def __init__(self, name: str, power: int = 1) -> None:
        super().__init__(name)

    def select(self, state: RoundState, batch_size: int) -> Selection:
        if state.round == 1:
            raise ValueError("deliberate")
        return First.select(self, state, batch_size)

    order = First.order


class Hanging(First):
    """Never answers in its second round; `end` ends its process instead."""

    def __init__(self, name: str, end: bool = False) -> None:
        super().__init__(name)
        self.end = end

    def select(self, state: RoundState, batch_size: int) -> Selection:
        if state.round == 1:
            if self.end:
                os._exit(9)
            time.sleep(600)
        return super().select(state, batch_size)


class Repeating(Plain):
    def order(self, state: RoundState) -> torch.Tensor:
        return torch.zeros(len(state.pool_ids), dtype=torch.int64)


def exponent(power: float = 1.0, search: dict[str, float] | None = None, members: list[str] | None = None) -> Selector:
    """Takes options, as a study varies them; uncertain points where power is above 1, else the first ones."""
    power = (search or {}).get("power", power)
    return Uncertain("exponent") if power > 1 else First("exponent")


def make_selector(spec: SelectorSpec) -> Selector:
    table: dict[str, Any] = {
        "random": Random,
        "first": First,
        "uncertain": Uncertain,
        "remembering": Remembering,
        "failing": Failing,
        "hanging": Hanging,
        "repeating": Repeating,
    }
    if spec.name == "exponent":
        return exponent(**spec.options)
    if spec.name not in table:
        raise UnknownName("selector", spec.name, table)
    made: Selector = table[spec.name](spec.name, **spec.options)
    return made


def tiny(**changes: Any) -> ExperimentConfig:
    """Two selectors on iris, two seeds, three rounds: a second or so."""
    data: dict[str, Any] = {
        "name": "tiny",
        "datasets": ["iris"],
        "selectors": ["remembering", "random"],
        "seeds": 2,
        "initial": {"per_class": 1},
        "batch_size": 3,
        "rounds": 3,
        "device": "cpu",
    }
    return parse_config({**data, **changes})
