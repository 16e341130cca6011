"""LfOSA: points that a detector of unknown classes takes for known ones."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, top_scores
from autoal.strategies.parts.embeddings import pool_and_labeled
from autoal.strategies.parts.rejected import cross_entropy_head, rejected_with

__all__ = ["LfOSA", "upper_component"]


class LfOSA(Strategy):
    """Asks for the points most surely of a known class. A detector with C + 1 outputs, the last for unknown points, is
    trained on labeled and rejected points at a low `temperature`; its largest output over the points of each predicted
    class is split into two Gaussians, and a point's score is its probability of the upper one. Points that are
    predicted to be unknown come last.

    Ours: the detector is a last layer on the embeddings of the task model, where the paper trains a network of its
    own; a class predicted for one point, or for points with one output, scores 1/2. While nothing is rejected no point
    can be predicted unknown, as in the first round of the paper. With nothing labeled all are equal. It buys known
    points, not informative ones.
    """

    name = "lfosa"
    family = "open set"
    source = "Ning et al. 2022, arXiv 2201.06758"
    cost = "N C D"
    needs = frozenset({"embeddings"})

    def __init__(self, temperature: float = 0.5) -> None:
        self.temperature = temperature

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if not self.temperature > 0:
            raise InvalidInput(f"got temperature={self.temperature}; wanted a positive number")
        pool, labeled = pool_and_labeled(view)
        if len(labeled) == 0:
            return top_scores(torch.zeros(len(pool), device=pool.device), batch_size, rng)
        rejected = rejected_with(view, "embeddings")
        unknown = pool[:0] if rejected is None else rejected.require("embeddings").to(pool.dtype)
        known = torch.cat([labeled.to(pool.dtype), unknown])
        targets = torch.cat(
            [view.labels.to(pool.device), view.labels.new_full((len(unknown),), view.num_classes).to(pool.device)]
        )
        outputs = view.num_classes + (rejected is not None)
        activation, predicted = cross_entropy_head(known, targets, outputs, self.temperature)(pool).max(dim=1)
        scores = torch.empty_like(activation)
        for c in predicted.unique():
            inside = (predicted == c).nonzero().flatten()
            scores[inside] = upper_component(activation[inside])
        unlike = predicted == view.num_classes
        lowest = scores[~unlike].min() if bool((~unlike).any()) else scores.new_zeros(())
        return top_scores(torch.where(unlike, lowest - 1, scores), batch_size, rng)


def upper_component(values_n: Tensor) -> Tensor:
    """(n,) log odds of the component with the larger mean in a mixture of two Gaussians, which order points as its
    probability does but do not end at 1."""
    from sklearn.mixture import GaussianMixture

    values = values_n.double().cpu().numpy()
    if len(values) < 2 or np.ptp(values) <= 1e-9 * np.abs(values).max():
        return torch.zeros_like(values_n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ten steps are what the paper takes
        mixture = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0).fit(
            np.sort(values)[:, None]
        )
    low, high = np.argsort(mixture.means_[:, 0])
    precision = mixture.precisions_cholesky_[:, 0, 0]
    log_density = (
        np.log(mixture.weights_) + np.log(precision) - 0.5 * ((values[:, None] - mixture.means_[:, 0]) * precision) ** 2
    )
    return torch.from_numpy(log_density[:, high] - log_density[:, low]).to(values_n)
