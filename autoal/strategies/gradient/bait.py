"""BAIT: the batch that leaves least uncertainty about the predictions of all points."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.errors import InvalidInput, UnknownName
from autoal.outputs import PoolView
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, ordered
from autoal.strategies.parts.embeddings import pool_and_labeled
from autoal.strategies.parts.fisher import information, inverse, many_class_batch, rank_one_batch

__all__ = ["BAIT"]

METHODS = ("auto", "exact", "binary", "expected")
AFFORDABLE = 4e11
"""Multiplications that `auto` spends on the exact form: about a minute of one core."""


class BAIT(Strategy):
    """Asks for the batch B that makes tr((ridge I + I_labeled + I_B)^-1 I_all) small, with I the Fisher information
    of the last layer: greedily `oversample` times too many, then the ones missed least are put back.

    Labeled points weigh n / (n + b) as a mean, candidates b / (n + b) each, as in the authors' code, and the last
    layer has no bias. `method="exact"` uses the information of all classes, `"expected"` only the `top` most probable
    labels (their renormalised probabilities), `"binary"` only whether the predicted class is right, which is a linear
    regression on sqrt(p (1 - p)) h: Huseljic et al. find it as good. `"auto"` is exact up to 20 classes, C D = 6000
    and 4e11 multiplications (50 000 points, 10 classes, D = 64, b = 100), else binary; two classes are always exact,
    being of rank one. `candidates` draws that many points to choose from (the information to reproduce stays that
    of all); the others come last.

    Regression: linear regression on [h, 1], scaled to mean square 1 on the labeled points, with noise variance
    `noise`. `ridge` and the size of the embeddings act together; where the largest entry leaves 1e-6..1e6,
    embeddings are first divided by it. Memory O(N (D + C^2) + C^2 D^2).
    """

    name = "bait"
    family = "gradient"
    source = "Ash et al. 2021, arXiv 2106.09675; Huseljic et al. 2024, arXiv 2404.08981"
    cost = "N D (b + D) binary, N C^2 D (b + D) exact"
    needs = frozenset({"log_probs", "embeddings"})
    tasks = BOTH_TASKS

    def __init__(
        self,
        method: str = "auto",
        top: int = 2,
        ridge: float = 1.0,
        noise: float = 1e-6,
        oversample: float = 2.0,
        candidates: int | None = None,
    ) -> None:
        self.method = method
        self.top = top
        self.ridge = ridge
        self.noise = noise
        self.oversample = oversample
        self.candidates = candidates

    def needs_for(self, task: str) -> frozenset[str]:
        return self.needs if task == "classification" else frozenset({"embeddings"})

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if self.method not in METHODS:
            raise UnknownName("method", self.method, METHODS)
        if not (self.ridge > 0 and self.noise > 0 and self.oversample >= 1 and self.top >= 1):
            raise InvalidInput(
                f"got ridge={self.ridge}, noise={self.noise}, oversample={self.oversample}, top={self.top}; "
                "wanted above 0, above 0, at least 1, at least 1"
            )
        pool_N_D, labeled_L_D = pool_and_labeled(view)
        largest = max(float(pool_N_D.abs().amax()), float(labeled_L_D.abs().max()) if len(labeled_L_D) else 0.0)
        scale = 1.0 if largest == 0 or 1e-6 < largest < 1e6 else largest
        pool_N_D, labeled_L_D = pool_N_D.double() / scale, labeled_L_D.double() / scale
        inside = torch.arange(len(view), device=view.device)
        if self.candidates is not None and max(self.candidates, batch_size) < len(view):
            drawn = torch.randperm(len(view), generator=rng)[: max(self.candidates, batch_size)]
            inside = drawn.sort().values.to(view.device)
        choose = self._classification if view.task == "classification" else self._regression
        picks, gain = choose(view, pool_N_D, labeled_L_D, inside, batch_size, rng)
        rest = torch.full((len(view),), -1.0, dtype=torch.float64, device=view.device)
        rest[inside] = gain
        return ordered(inside[picks], rest)

    def _regression(
        self, view: PoolView, pool: Tensor, labeled: Tensor, inside: Tensor, batch_size: int, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        pool, labeled = (torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1) for rows in (pool, labeled))
        size = (labeled if len(labeled) else pool).square().sum(dim=1).mean().sqrt()
        pool, labeled = pool / size, labeled / size
        known = labeled.T @ labeled
        M = inverse(known + self.noise * torch.eye(len(known), dtype=known.dtype, device=known.device))
        return rank_one_batch(pool[inside], M, known + pool.T @ pool, batch_size, self.oversample, rng)

    def _classification(
        self, view: PoolView, pool: Tensor, labeled: Tensor, inside: Tensor, batch_size: int, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        probs_N_C = view.pool.require("log_probs").double().exp()
        probs_L_C = probs_N_C[:0]
        if len(labeled):
            probs_L_C = view.labeled.require("log_probs").to(view.device).double().exp()
        n, classes = len(labeled), probs_N_C.shape[1]
        heavy, light = batch_size / (n + batch_size), 1 / (n + batch_size)
        method = self._method(len(inside), len(pool), classes, pool.shape[1], batch_size)
        eye = torch.eye(pool.shape[1], dtype=pool.dtype, device=pool.device)
        top = self.top if method == "expected" else classes
        if method == "binary" or classes == 1 or classes == top == 2:
            # With two classes I = pq [[1, -1], [-1, 1]] (x) hh', which is 2 pq hh' along (1, -1) / sqrt 2.
            times = 1.0 if method == "binary" or classes == 1 else 2.0
            rows, known = (
                (times * _top_variance(probs)).sqrt()[:, None] * h
                for probs, h in ((probs_N_C, pool), (probs_L_C, labeled))
            )
            known = known.T @ known
            M = inverse(self.ridge * eye + light * known)
            F = (known + rows.T @ rows) / (n + len(pool))
            return rank_one_batch(rows[inside] * heavy**0.5, M, F, batch_size, self.oversample, rng)
        weights_N_C, weights_L_C = (_kept(probs, top) for probs in (probs_N_C, probs_L_C))
        known = information(weights_L_C, probs_L_C, labeled)
        M = inverse(self.ridge * torch.eye(len(known), dtype=known.dtype, device=known.device) + light * known)
        F = (known + information(weights_N_C, probs_N_C, pool)) / (n + len(pool))
        return many_class_batch(
            weights_N_C[inside], probs_N_C[inside], pool[inside] * heavy**0.5, M, F, batch_size, self.oversample, rng
        )

    def _method(self, inside: int, n: int, classes: int, width: int, batch_size: int) -> str:
        if self.method != "auto":
            return self.method
        work = 2 * n * (classes * width) ** 2 + self.oversample * batch_size * inside * classes**2 * (
            2 * width + 4 * classes
        )
        small = classes <= 20 and classes * width <= 6000 and work <= AFFORDABLE
        return "exact" if small or classes <= 2 else "binary"


def _top_variance(probs_n_C: Tensor) -> Tensor:
    """(n,) p (1 - p) of the most probable class, exact also where p is nearly 1."""
    best = probs_n_C.max(dim=1, keepdim=True)
    others = probs_n_C.scatter(1, best.indices, 0.0).sum(dim=1)
    return best.values[:, 0] * others


def _kept(probs_n_C: Tensor, top: int) -> Tensor:
    """(n, C) the `top` largest probabilities scaled to sum to 1, and 0 for the others."""
    if top >= probs_n_C.shape[1]:
        return probs_n_C
    best = probs_n_C.topk(top, dim=1)
    return torch.zeros_like(probs_n_C).scatter(1, best.indices, best.values / best.values.sum(dim=1, keepdim=True))
