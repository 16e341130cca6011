"""EPIG: what a point's label would say about predictions elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, random_ties, top_scores
from autoal.strategies.parts.distances import tiles
from autoal.strategies.parts.information import mean_log_probs
from autoal.strategies.parts.regression import noise_variance, sample_features
from autoal.strategies.uncertainty.bald import label_information, needs_of_information

__all__ = ["EPIG", "drawn_targets", "expected_information", "gaussian_information"]

LONG = 1e12
"""Multiplications above which points that cannot be picked are left out."""
PERMUTATIONS = 4
STEP = 1024
LOG_FLOOR = 1e-300


class EPIG(Strategy):
    """Asks for the points whose label says most, in nats, about the label of a target point, averaged over targets.

    Unlike BALD it is indifferent to what the model does not know where no targets are. Targets are E = `targets`
    points drawn from the pool with replacement; with `class_prior` (C) each in proportion to how much the test set's
    classes, at these shares, would need it. Takes every copy of a repeated point: weak in large batches.

    With K samples independent points share about 1 / K nats, so with few samples this turns into BALD: take 100.
    `debias` takes away what is left with the samples of the targets in another order; in a regression, 1 / (K - 1)
    from the squared correlation (both ours). In a regression -log(1 - rho^2) / 2 of the two noisy targets. Where it
    would take minutes, points that BALD, an upper bound, rules out are left out and score that bound.
    """

    name = "epig"
    family = "uncertainty"
    source = "Bickford Smith et al. 2023, arXiv 2304.08151"
    cost = "N E K C^2"
    needs = frozenset({"mc_log_probs"})
    tasks = BOTH_TASKS
    draws = True

    def __init__(self, targets: int = 100, class_prior: Sequence[float] | None = None, debias: bool = False) -> None:
        self.targets = targets
        self.class_prior = class_prior
        self.debias = debias

    def needs_for(self, task: str) -> frozenset[str]:
        return needs_of_information(task)

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        targets = drawn_targets(view, self.targets, self.class_prior, rng)
        if view.task == "regression":
            features = sample_features(view.pool.require("mc_means")) / noise_variance(view).sqrt()
            return top_scores(gaussian_information(features, features[targets], self.debias), batch_size, rng)
        log_probs = view.pool.require("mc_log_probs")
        probs_E_K_C = log_probs[targets].double().exp()
        n, samples, classes = log_probs.shape
        if not self.debias:
            if n * len(targets) * samples * classes**2 > LONG:
                scores = pruned(log_probs, probs_E_K_C, label_information(view), batch_size, rng)
                return top_scores(scores, batch_size, rng)
            return top_scores(expected_information(log_probs, probs_E_K_C), batch_size, rng)
        scores = expected_information(log_probs, probs_E_K_C)
        for _ in range(PERMUTATIONS):
            order = torch.randperm(samples, generator=rng).to(view.device)
            scores = scores - expected_information(log_probs, probs_E_K_C[:, order]) / PERMUTATIONS
        return top_scores(scores, batch_size, rng)


def drawn_targets(view: PoolView, count: int, class_prior: Sequence[float] | None, rng: torch.Generator) -> Tensor:
    """(count,) positions in the pool, drawn with replacement: evenly, or by the weights of a class prior."""
    if count < 1:
        raise InvalidInput(f"got targets={count}; wanted at least 1")
    weights_N = torch.ones(len(view), dtype=torch.float64)
    if class_prior is not None:
        prior_C = torch.as_tensor(class_prior, dtype=torch.float64)
        if prior_C.shape != (view.num_classes,) or bool((prior_C < 0).any()) or not float(prior_C.sum()) > 0:
            raise InvalidInput(
                f"got class_prior={class_prior!r}; wanted a share for each of {view.num_classes} classes, not all 0"
            )
        probs_N_C = mean_log_probs(view.pool.require("mc_log_probs")).exp().cpu()
        weights_N = probs_N_C / probs_N_C.mean(dim=0).clamp_min(LOG_FLOOR) @ (prior_C / prior_C.sum())
    below_N = weights_N.cumsum(0)
    even = torch.rand(count, generator=rng, dtype=torch.float64) * below_N[-1]
    return torch.searchsorted(below_N, even, right=True).clamp_(max=len(view) - 1).to(view.device)


def expected_information(log_probs_N_K_C: Tensor, targets_E_K_C: Tensor) -> Tensor:
    """(N,) mean over targets of the information between both labels: H(y) + H(y*) - H(y, y*), float64, at least 0."""
    n, samples, classes = log_probs_N_K_C.shape
    count = len(targets_E_K_C)
    apart_K_EC = targets_E_K_C.transpose(0, 1).reshape(samples, -1) / samples
    of_targets = torch.special.entr(targets_E_K_C.mean(dim=1)).sum() / count
    scores_N = torch.empty(n, dtype=torch.float64, device=log_probs_N_K_C.device)
    for rows in tiles(n, 24 * classes * max(samples, apart_K_EC.shape[1]), log_probs_N_K_C.device):
        probs_n_K_C = log_probs_N_K_C[rows].double().exp()
        joint = probs_n_K_C.transpose(1, 2).reshape(-1, samples) @ apart_K_EC
        # The entropy by log and product: twice as fast as torch.special.entr.
        together_nC = -(joint.clamp_min(LOG_FLOOR).log_().mul_(joint)).sum(dim=1) / count
        own_n = torch.special.entr(probs_n_K_C.mean(dim=1)).sum(dim=1)
        scores_N[rows] = own_n + of_targets - together_nC.reshape(-1, classes).sum(dim=1)
    return scores_N.clamp_(min=0)


def pruned(log_probs_N_K_C: Tensor, targets_E_K_C: Tensor, bound_N: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """(N,) the same where it may be among the `count` largest; elsewhere the bound, which is less."""
    scores_N = bound_N.clone()
    order = random_ties(bound_N, rng)
    best = bound_N.new_empty(0)
    for start in range(0, len(order), STEP):
        inside = order[start : start + STEP]
        if len(best) == count and float(bound_N[inside[0]]) < float(best[-1]) - 1e-9:
            break
        scores_N[inside] = expected_information(log_probs_N_K_C[inside], targets_E_K_C)
        best = torch.cat([best, scores_N[inside]]).sort(descending=True).values[:count]
    return scores_N


def gaussian_information(features_N_K: Tensor, targets_E_K: Tensor, debias: bool = False) -> Tensor:
    """(N,) mean over targets of -log(1 - rho^2) / 2, rho the correlation of both noisy labels. The rows' inner products
    are covariances in units of the noise variance."""
    samples = features_N_K.shape[1]
    spread_N = (1 + features_N_K.square().sum(dim=1)).sqrt()[:, None]
    spread_E = (1 + targets_E_K.square().sum(dim=1)).sqrt()[:, None]
    scores_N = torch.empty(len(features_N_K), dtype=torch.float64, device=features_N_K.device)
    for rows in tiles(len(features_N_K), 16 * len(targets_E_K), features_N_K.device):
        squared = ((features_N_K[rows] / spread_N[rows]) @ (targets_E_K / spread_E).T).square()
        if debias and samples > 1:
            squared = (squared - 1 / (samples - 1)).clamp_(min=0)
        scores_N[rows] = -0.5 * (-squared.clamp_(max=1 - 1e-12)).log1p().mean(dim=1)
    return scores_N
