"""JEPIG: what a point's label would say about the labels of many targets together."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, top_scores
from autoal.strategies.parts.information import by_rows, entropy
from autoal.strategies.parts.joint import LabelTable, expected_entropy
from autoal.strategies.parts.regression import noise_variance, sample_features
from autoal.strategies.uncertainty.bald import label_information, needs_of_information
from autoal.strategies.uncertainty.epig import drawn_targets

__all__ = ["JEPIG", "effective_samples", "joint_gaussian_information", "joint_information"]

MOST = 50


class JEPIG(Strategy):
    """Asks for the points whose label says most about the labels of E = `targets` pool points taken together.

    BALD less what BALD is expected to be once the targets are labeled; between EPIG and BALD. Labelings of the targets
    are all enumerated while there are at most `draws_of_labels`, else that many are drawn from the posterior samples.
    Targets are drawn from the pool with replacement. After many targets hardly more than one posterior sample is
    left with any weight (see `effective_samples`), and JEPIG turns into BALD: hence 10, and at most 50.
    This is the estimate without a second model (ours); the paper trains one on the targets.
    In a regression log(v / v given the targets) / 2, exact. Takes every copy of a repeated point.
    """

    name = "jepig"
    family = "uncertainty"
    source = "Kirsch, Rainforth and Gal 2021, arXiv 2106.11719"
    cost = "N M K C"
    needs = frozenset({"mc_log_probs"})
    tasks = BOTH_TASKS
    draws = True

    def __init__(self, targets: int = 10, draws_of_labels: int = 1000) -> None:
        self.targets = targets
        self.draws_of_labels = draws_of_labels

    def needs_for(self, task: str) -> frozenset[str]:
        return needs_of_information(task)

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if not 1 <= self.targets <= MOST or self.draws_of_labels < 1:
            raise InvalidInput(
                f"got targets={self.targets}, draws_of_labels={self.draws_of_labels}; wanted 1 to {MOST} and at least 1"
            )
        targets = drawn_targets(view, self.targets, None, rng)
        if view.task == "regression":
            features = sample_features(view.pool.require("mc_means")) / noise_variance(view).sqrt()
            return top_scores(joint_gaussian_information(features, features[targets]), batch_size, rng)
        log_probs, draws = view.pool.require("mc_log_probs"), self.draws_of_labels
        table = LabelTable(log_probs.shape[1], rng, view.device, limit=draws, draws=draws)
        for target in targets.tolist():
            table.extend(log_probs[target])
        return top_scores(joint_information(log_probs, label_information(view), table), batch_size, rng)


def joint_information(log_probs_N_K_C: Tensor, bald_N: Tensor, table: LabelTable) -> Tensor:
    """(N,) BALD less its expectation given the labels of the table, float64."""
    weights_K = table.mass_M @ table.weights_M_K
    known_N = by_rows(lambda rows: entropy(rows) @ weights_K, log_probs_N_K_C)
    return bald_N - (expected_entropy(table.configurations, log_probs_N_K_C) - known_N)


def effective_samples(table: LabelTable) -> float:
    """Mean over labelings of 1 / sum w^2: how many posterior samples still count. Near 1, JEPIG is BALD."""
    return float(table.mass_M @ (1 / table.weights_M_K.square().sum(dim=1)))


def joint_gaussian_information(features_N_K: Tensor, targets_E_K: Tensor) -> Tensor:
    """(N,) log(v / v given the targets) / 2 of noisy labels, for features whose inner products are covariances in
    units of the noise variance."""
    # In the axes of the targets what is left is a sum of squares: no difference, whatever the size of the noise.
    _, singular_R, axes_K_K = torch.linalg.svd(targets_E_K)
    left_K = torch.ones_like(axes_K_K[0])
    left_K[: len(singular_R)] = 1 / (1 + singular_R.square())
    variance_N = 1 + features_N_K.square().sum(dim=1)
    given_N = 1 + by_rows(lambda rows: (rows @ axes_K_K.T).square() @ left_K, features_N_K)
    return (0.5 * (variance_N / given_N).log()).clamp(min=0)
