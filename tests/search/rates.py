"""How often the planted signals are found: `python -m tests.search.rates [--seeds 20]` prints the table.

T14 to T19 of the test plan, for `bilevel` with a search in every round (`relearn` 1, 16 episodes), for `bilevel` that
rests as it does by default, and for `paper`. Every world has overlapping Gaussian clusters, one planted candidate and
six that roll dice; 60 labels to begin with, 10 a round. The worlds of T14 to T16 carry 25 % wrong labels in the pool,
so that a candidate can be far better, or far worse, than the rest.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from autoal.strategies import Strategy
from tests.search.planted import (
    Alone,
    Dice,
    Oracle,
    Played,
    Saboteur,
    Switch,
    World,
    auto,
    make_world,
    play,
    standard_error,
    team,
)

INITIAL, BATCH = 60, 10
FLIP = 0.25


@dataclass
class Rate:
    """Successes over seeds, and what to say of them."""

    name: str
    hits: int
    of: int
    note: str


def oracle(mode: str, seeds: Iterable[int]) -> list[Rate]:
    """T14: the oracle's weight is above one half after 5 rounds; AUBC within 0.3 of the oracle alone."""
    learned, kept, used, gaps = [], [], [], []
    for seed in seeds:
        world = make_world(seed, flip=FLIP)
        run = play(world, auto(team(world, Oracle(world)), mode), seed, rounds=6, initial=INITIAL, batch=BATCH)
        alone = play(world, Alone(Oracle(world)), seed, rounds=6, initial=INITIAL, batch=BATCH)
        learned.append(run.learned[5]["oracle"] > 0.5)
        used.append(run.weights[5]["oracle"] > 0.5)
        gaps.append(run.aubc - alone.aubc)
        kept.append(gaps[-1] >= -0.3)
    n = len(learned)
    return [
        Rate("T14 oracle: learned weight > 1/2 after 5 rounds", sum(learned), n, ""),
        Rate("T14 oracle: weight in use > 1/2 after 5 rounds", sum(used), n, "the gate stands between the two"),
        Rate("T14 oracle: AUBC within 0.3 of the oracle alone", sum(kept), n, f"mean gap {sum(gaps) / n:+.2f} points"),
    ]


def saboteur(mode: str, seeds: Iterable[int]) -> list[Rate]:
    """T15: a candidate that buys the wrong labels weighs less than its share after 3 rounds."""
    weights = []
    for seed in seeds:
        world = make_world(seed, flip=FLIP)
        run = play(world, auto(team(world, Saboteur(world)), mode), seed, rounds=4, initial=INITIAL, batch=BATCH)
        weights.append(run.learned[3]["saboteur"])
    note = f"mean weight {sum(weights) / len(weights):.3f}, share 0.143"
    return [Rate("T15 anti-oracle: weight < 1/K after 3 rounds", sum(w < 1 / 7 for w in weights), len(weights), note)]


def switch(mode: str, seeds: Iterable[int]) -> list[Rate]:
    """T16: A is an oracle for rounds 0 to 4 and B from round 5 on: B overtakes A by round 7."""
    hits = []
    for seed in seeds:
        world, state = make_world(seed, flip=FLIP), {"round": 0}
        a = Switch(Oracle(world), Dice(world, 50), 5, state, 0)
        b = Switch(Dice(world, 51), Oracle(world), 5, state, 1)
        members: list[tuple[str, Strategy]] = [("a", a), ("b", b), *team(world, None, 5)]
        run = play(world, auto(members, mode), seed, rounds=8, initial=INITIAL, batch=BATCH, state=state)
        hits.append(any(weights["b"] > weights["a"] for weights in run.learned[5:8]))
    return [Rate("T16 switch: the new oracle overtakes within 3 rounds", sum(hits), len(hits), "")]


def null(mode: str, seeds: Iterable[int]) -> list[Rate]:
    """T17: all candidates roll dice: uniform mean weights, gate open in at most 5 % of rounds, not below random."""
    runs: list[Played] = []
    gaps: list[float] = []
    for seed in seeds:
        world = make_world(seed)
        runs.append(play(world, auto(team(world, None, 7), mode), seed, rounds=4, initial=INITIAL, batch=BATCH))
        dice = play(world, Alone(Dice(world)), seed, rounds=4, initial=INITIAL, batch=BATCH)
        gaps.append(runs[-1].aubc - dice.aubc)
    within = 0
    for k in range(7):
        share = [run.learned[-1][f"dice{k}"] for run in runs]
        within += abs(sum(share) / len(share) - 1 / 7) <= 2 * standard_error(share)
    opened = sum(sum(run.open) for run in runs)
    total = sum(len(run.open) for run in runs)
    mean, error = sum(gaps) / len(gaps), standard_error(gaps)
    return [
        Rate("T17 null: mean weight within 2 se of uniform, of 7 candidates", within, 7, ""),
        Rate("T17 null: rounds with the gate closed", total - opened, total, f"open in {100 * opened / total:.1f} %"),
        Rate(
            "T17 null: AUBC not below random's by 2 se",
            int(mean > -2 * error),
            1,
            f"gap {mean:+.2f}, se {error:.2f} points",
        ),
    ]


def redundancy(mode: str, seeds: Iterable[int]) -> list[Rate]:
    """T18: every point ten times in the pool: no batch holds a group twice."""
    clean = 0
    count = 0
    for seed in seeds:
        small = make_world(seed, n=80)
        group = torch.arange(80).repeat_interleave(10)
        world = World(
            small.x[group], small.y[group], small.clean[group], small.x_test, small.y_test, small.classes,
            small.flipped[group],
        )  # fmt: skip
        run = play(world, auto(["margin", "kcenter", "maxherding"], mode), seed, rounds=2, initial=30, batch=BATCH)
        batches = [run.bought[30 + BATCH * r : 30 + BATCH * (r + 1)] for r in range(2)]
        clean += all(len(group[batch].unique()) == BATCH for batch in batches)
        count += 1
    return [Rate("T18 redundancy: one copy a group in every batch", clean, count, "")]


def shuffled(mode: str, seeds: Iterable[int]) -> list[Rate]:
    """T19: all labels permuted: the gate stays closed in every round."""
    closed = []
    for seed in seeds:
        world = make_world(seed, shuffle=True)
        run = play(world, auto(team(world, Oracle(world)), mode), seed, rounds=3, initial=INITIAL, batch=BATCH)
        closed.append(not any(run.open))
    return [Rate("T19 label shuffle: gate closed in all 3 rounds", sum(closed), len(closed), "")]


CHECKS: dict[str, Callable[[str, Iterable[int]], list[Rate]]] = {
    "oracle": oracle,
    "saboteur": saboteur,
    "switch": switch,
    "null": null,
    "redundancy": redundancy,
    "shuffled": shuffled,
}


MODES = {"bilevel": "every round", "resting": "by default", "paper": "paper"}


def table(seeds: int) -> str:
    """Markdown, one row a rate, a column a mode. `paper` has no gate."""
    columns = [[rate for check in CHECKS.values() for rate in check(mode, range(seeds))] for mode in MODES]
    titles = list(MODES.values())
    lines = [f"| signal | {' | '.join(titles)} | remark ({'; '.join(titles)}) |", "|" + "---|" * (len(titles) + 2)]
    for rates in zip(*columns, strict=True):
        gate = "gate" in rates[0].name or "in use" in rates[0].name
        found = {mode: rate for mode, rate in zip(MODES, rates, strict=True) if not (gate and mode == "paper")}
        cells = [f"{found[mode].hits}/{found[mode].of}" if mode in found else "no gate" for mode in MODES]
        notes = [rate.note or "-" for rate in found.values()]
        remark = "; ".join(notes) if any(rate.note for rate in found.values()) else ""
        lines.append(f"| {rates[0].name} | {' | '.join(cells)} | {remark} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=20)
    torch.set_num_threads(1)
    print(table(parser.parse_args().seeds), flush=True)
