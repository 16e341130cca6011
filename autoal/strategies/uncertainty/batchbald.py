"""BatchBALD: mutual information between the labels of a whole batch and the model."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, ordered, random_ties
from autoal.strategies.parts.information import by_rows, entropy
from autoal.strategies.parts.joint import Configurations, LabelTable, condensed, expected_entropy, merged
from autoal.strategies.parts.lazy import best_gain
from autoal.strategies.parts.regression import noise_variance, sample_features
from autoal.strategies.parts.stochastic import stochastic_keys
from autoal.strategies.uncertainty.bald import label_information, needs_of_information

__all__ = ["BatchBALD", "greedy_information", "greedy_log_det"]

SATURATED = 1e-3
"""Share of log C: a batch is taken to know all it can after `PATIENCE` gains in a row below this."""
PATIENCE = 3
LEVELS = (6, 9)
"""Powers of two: to how many groups labelings are merged for first and second looks at a point."""


class BatchBALD(Strategy):
    """Builds the batch whose labels together say most about the model: a copy of a chosen point adds little.

    Greedy, which finds at least 1 - 1/e of the best. The labelings of the batch are enumerated while there are at most
    `limit`; beyond that `draws` of them are drawn. `lazy` looks closely only at points that could still be best: with
    enumerated labelings the picks are the same, with drawn ones nearly so.

    K samples cannot be told apart by more than log K nats, so a batch is soon saturated; after three gains in a row
    below log C / 1000 the rest is drawn in proportion to BALD, as in PowerBALD. Points not picked are ordered by
    BALD. In a regression log det(I + covariance / noise) / 2, exact for a batch of any size.
    """

    name = "batchbald"
    family = "uncertainty"
    source = "Kirsch, van Amersfoort and Gal 2019, arXiv 1906.08158"
    cost = "N min(C^b, 10 000) K C each pick, lazily"
    needs = frozenset({"mc_log_probs"})
    tasks = BOTH_TASKS

    def __init__(self, limit: int = 10_000, draws_of_labels: int = 10_000, lazy: bool = True) -> None:
        self.limit = limit
        self.draws_of_labels = draws_of_labels
        self.lazy = lazy

    def needs_for(self, task: str) -> frozenset[str]:
        return needs_of_information(task)

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if self.limit < 0 or self.draws_of_labels < 1:
            raise InvalidInput(
                f"got limit={self.limit}, draws_of_labels={self.draws_of_labels}; wanted at least 0 and at least 1"
            )
        single_N = label_information(view)
        order = random_ties(single_N, rng)  # of equal gains the first in this order is taken
        if view.task == "regression":
            features_N_K = sample_features(view.pool.require("mc_means"))[order] / noise_variance(view).sqrt()
            return ordered(order[greedy_log_det(features_N_K, batch_size)], single_N)
        log_probs = view.pool.require("mc_log_probs")
        table = LabelTable(log_probs.shape[1], rng, view.device, limit=self.limit, draws=self.draws_of_labels)
        picks, _ = greedy_information(log_probs, single_N, order, table, batch_size, self.lazy)
        if len(picks) < batch_size:
            left = order[~torch.isin(order, picks)]
            keys = stochastic_keys(single_N[left], "power", 1.0, rng)
            picks = torch.cat([picks, left[random_ties(keys, rng, batch_size - len(picks))]])
        return ordered(picks, single_N)


def greedy_information(
    log_probs_N_K_C: Tensor, single_N: Tensor, order_N: Tensor, table: LabelTable, count: int, lazy: bool = True
) -> tuple[Tensor, list[float]]:
    """At most `count` positions, fewer once saturated, and what each adds to the information of those before it.

    `single_N` is the information of each point alone, `order_N` lists positions, the first of equal ones first.
    """
    bounds_n = single_N[order_N]
    enough = SATURATED * math.log(log_probs_N_K_C.shape[2])

    def look(known: Configurations, places: Tensor) -> Tensor:
        rows = log_probs_N_K_C[order_N[places]].double()
        return expected_entropy(known, rows) - by_rows(lambda part: entropy(part).mean(dim=1), rows)

    places: list[int] = []
    gains: list[float] = []
    while len(places) < count:
        place, gain = 0, float(bounds_n[0])
        if places:
            known = table.configurations if table.exact or not lazy else condensed(table.configurations)
            tables = [merged(known, levels) for levels in LEVELS if len(known.mass_M) > 4 * 2**levels] + [known]
            looks = [partial(look, each) for each in tables]
            place, gain = best_gain(bounds_n, looks, lazy, calibrated=not table.exact)
        places.append(place)
        gains.append(gain)
        bounds_n[place] = -torch.inf
        if len(gains) >= PATIENCE and max(gains[-PATIENCE:]) <= enough:
            break
        table.extend(log_probs_N_K_C[order_N[place]])
    return order_N[places], gains


def greedy_log_det(features_N_K: Tensor, count: int) -> Tensor:
    """(count,) distinct positions, each the one that adds most to log det(I + A A'), the first of equal ones.

    A pivoted Cholesky decomposition in the K dimensions of the rows of A: N K a pick.
    """
    samples = features_N_K.shape[1]
    inverse_K_K = torch.eye(samples, dtype=features_N_K.dtype, device=features_N_K.device)
    left_N = features_N_K.square().sum(dim=1)
    picks: list[int] = []
    while len(picks) < count:
        pick = int(left_N.argmax())
        picks.append(pick)
        towards_K = inverse_K_K @ features_N_K[pick]
        spread = 1 + features_N_K[pick] @ towards_K
        inverse_K_K = inverse_K_K - torch.outer(towards_K, towards_K / spread)
        left_N = (left_N - (features_N_K @ towards_K).square() / spread).clamp_(min=0)
        left_N[picks] = -1
    return torch.tensor(picks, device=features_N_K.device)
