"""ALBL: a bandit over candidates that is paid by importance-weighted accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from autoal.errors import UnknownName
from autoal.selectors.base import RoundState, Selection
from autoal.selectors.portfolio import NamedCandidate
from autoal.strategies.diversity.random import Random

from .rival import CLASSES_ONLY, Memory, Queues, Rival, check_option, predicted_right, selection

__all__ = ["ALBL", "arm_probabilities", "exp4p_step", "smallest_probability"]

HORIZON = 20
"""Batches the budget is thought to last, where it is not given: TAILOR's experiments. Ours."""


def smallest_probability(arms: int, budget: int) -> float:
    """p_min = sqrt(ln K / (K T)), and never so large that it leaves nothing to learn."""
    return min(math.sqrt(math.log(arms) / (arms * budget)), 1.0 / arms)


def arm_probabilities(log_weights: Mapping[str, float], p_min: float) -> dict[str, float]:
    """p_k = (1 - K p_min) w_k / sum w + p_min."""
    top = max(log_weights.values())
    weights = {name: math.exp(value - top) for name, value in log_weights.items()}
    total = sum(weights.values())
    return {name: (1 - len(weights) * p_min) * weight / total + p_min for name, weight in weights.items()}


def exp4p_step(
    log_weights: Mapping[str, float], probabilities: Mapping[str, float], advice: Mapping[str, float], q: float,
    reward: float, *, p_min: float, budget: int, delta: float,
) -> dict[str, float]:  # fmt: skip
    """ln w_k after one query: plus (p_min / 2) (reward psi_k / q + sqrt(ln(K / delta) / (K T)) / p_k).

    `advice` is psi_k of the point that was bought, q the probability it had. EXP4.P, Beygelzimer et al. 2011.
    """
    arms = len(log_weights)
    bonus = math.sqrt(math.log(arms / delta) / (arms * budget))
    stepped = {
        name: value + 0.5 * p_min * (reward * advice.get(name, 0.0) / q + bonus / probabilities[name])
        for name, value in log_weights.items()
    }
    top = max(stepped.values())
    return {name: value - top for name, value in stepped.items()}


class ALBL(Rival):
    """Active learning by learning: EXP4.P, with candidates as arms.

    For each slot of the batch an arm is drawn and gives its next point; `random`, added where `candidates` lacks it,
    gives any point left. A point drawn with probability q counts 1/q. After the next training each query is rewarded
    by r = 1/(n T) sum_{s up to it} W_s [f(x_s) = y_s], and its arms' weights follow. n are the points of the first
    pool, T is `budget`, the queries of the whole run (20 batches where it is not given; that is ours), `delta` 0.1.
    `reward="prequential"` asks the model that had not yet seen the point.

    The paper labels one point at a time. Here weights rest within a batch, and since arms pass over points that are
    taken, no draw is ever free. A rejected point counts as predicted wrongly. Weak by construction: the reward is
    accuracy on points that are no fair sample.
    """

    name = "albl"
    source = "Hsu and Lin, AAAI 2015; formulas as in libact"
    cost = "0; all candidates"
    tasks = CLASSES_ONLY
    reads = frozenset({"log_probs"})

    def __init__(
        self, candidates: str | Sequence[Any] = "default", budget: int | None = None, delta: float = 0.1,
        reward: str = "iw",
    ) -> None:  # fmt: skip
        super().__init__(candidates)
        if budget is not None:
            check_option("budget", budget, 1, 1e12, whole=True)
        check_option("delta", delta, 1e-12, 1)
        if reward not in ("iw", "prequential"):
            raise UnknownName("reward of albl", reward, ("iw", "prequential"))
        self.budget, self.delta, self.reward = budget, delta, reward

    def _play(
        self, state: RoundState, portfolio: list[NamedCandidate], batch_size: int, memory: Memory
    ) -> tuple[Selection, Memory]:
        if not any(isinstance(strategy, Random) for _, strategy in portfolio):
            portfolio = [*portfolio, ("random", Random())]
        candidates, proposals = self._ask(state, portfolio, batch_size)
        names = [name for name, _ in candidates]
        if not memory:
            memory = {
                "log_weights": dict.fromkeys(names, 0.0),
                "points": len(state.pool_ids),
                "budget": self.budget or HORIZON * batch_size,
                "queries": [],
                "learned": 0,
            }
        p_min = smallest_probability(len(names), memory["budget"])
        self._learn(memory, state, p_min)
        probabilities = arm_probabilities(memory["log_weights"], p_min)
        uniform = {name for name, strategy in candidates if isinstance(strategy, Random)}
        weights = torch.tensor([probabilities[name] for name in names], dtype=torch.float64)
        predicted = state.view.pool.require("log_probs").argmax(1).cpu()
        rng, queues, n = self._rng(state), Queues(proposals), len(state.pool_ids)
        for slot in range(batch_size):
            arm = int(torch.multinomial(weights, 1, generator=rng))
            point = queues.next(arm)
            advice = dict.fromkeys(uniform, 1.0 / (n - slot))
            advice |= {name: 1.0 for k, name in enumerate(names) if name not in uniform and queues.next(k) == point}
            q = sum(probabilities[name] * psi for name, psi in advice.items())
            memory["queries"].append(
                {"id": int(state.pool_ids[point]), "q": q, "advice": advice, "guess": int(predicted[point])}
            )
            queues.take(point)
        memory["probabilities"] = probabilities
        return selection(queues.taken, candidates, proposals, probabilities), memory

    def _learn(self, memory: Memory, state: RoundState, p_min: float) -> None:
        """The step of each query of the last batch."""
        queries = memory["queries"]
        ids = [query["id"] for query in queries]
        if self.reward == "iw":
            right = predicted_right(state, ids)
        else:
            known = dict(zip(state.labeled_ids.tolist(), state.view.labels.tolist(), strict=True))
            right = [known.get(query["id"]) == query["guess"] for query in queries]
        total = 0.0
        for number, query in enumerate(queries):
            total += right[number] / query["q"]
            if number >= memory["learned"]:
                memory["log_weights"] = exp4p_step(
                    memory["log_weights"], memory["probabilities"], query["advice"], query["q"],
                    total / (memory["points"] * memory["budget"]),
                    p_min=p_min, budget=memory["budget"], delta=self.delta,
                )  # fmt: skip
                query["advice"] = {}
        memory["learned"] = len(queries)
