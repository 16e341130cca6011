"""SIMILAR: points alike to known ones and unlike rejected ones, by submodular conditional mutual information."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, ordered, random_ties
from autoal.strategies.parts.coverage import MAX_EVALUATION, lazy_greedy, row_keys
from autoal.strategies.parts.distances import tiles, unit_rows
from autoal.strategies.parts.embeddings import pool_and_labeled
from autoal.strategies.parts.rejected import cross_entropy_head, rejected_with

__all__ = ["Similar"]


class Similar(Strategy):
    """Asks greedily for the batch A with the largest facility-location conditional mutual information, the sum over
    the pool of max(min(max_A s_ij, eta max_Q s_ij) - nu max_P s_ij, 0), Q the labeled and P the rejected points.

    s is the cosine of the gradients of the last layer, kept as two factors, 0 where it is negative; the label of a pool
    point is the predicted one. With rejected points the layer is one of C + 1 outputs fitted to the embeddings of the
    task model (the paper's network has them itself); without, it is the model's own and nu does nothing. With nothing
    labeled no similarity is cut off, which is coverage. At least 1 - 1/e of the best.

    Above 10 000 points the sum runs over that many drawn ones (ours). Once nothing has a gain the rest is by
    the first gains. Only FLCMI is here, of the measures of the paper.
    """

    name = "similar"
    family = "open set"
    source = "Kothawade et al. 2021, arXiv 2107.00717"
    cost = "N min(N, 10 000) (C + D)"
    needs = frozenset({"log_probs", "embeddings"})

    def __init__(self, eta: float = 1.0, nu: float = 1.0) -> None:
        self.eta = eta
        self.nu = nu

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        if not (self.eta > 0 and self.nu >= 0):
            raise InvalidInput(f"got eta={self.eta}, nu={self.nu}; wanted eta above 0 and nu of 0 or more")
        pool, known, rejected = self._gradients(view)
        n, device = len(pool[0]), pool[0].device
        rows = torch.cat(pool, dim=1)
        some = torch.arange(n, device=device)
        if n > MAX_EVALUATION:
            some = torch.randperm(n, generator=rng)[:MAX_EVALUATION].to(device)
        cut = pool[0].shape[1]
        gains = _CappedCover(rows[some], cut)
        ceiling = gains.nearest(torch.cat(known, dim=1)) * self.eta if len(known[0]) else None
        floor = gains.nearest(torch.cat(rejected, dim=1)) * self.nu
        gains.start(floor, ceiling)
        first = gains.gains(rows)
        value = first.clone()
        shuffle = random_ties(torch.zeros(n, dtype=torch.float64, device=device), rng)
        keys = row_keys(rows, fine=False)
        picks = lazy_greedy(gains, rows, value, keys, None, batch_size, shuffle)[0]
        chosen = torch.tensor(picks, dtype=torch.int64, device=device)
        if len(picks) < batch_size:
            rest = random_ties(first.index_fill(0, chosen, -torch.inf), rng)
            chosen = torch.cat([chosen, rest[: batch_size - len(picks)]])
        return ordered(chosen, first)

    def _gradients(self, view: PoolView) -> tuple[tuple[Tensor, Tensor], ...]:
        """Residuals and embeddings, both of length 1, float64, of pool, labeled and rejected points."""
        pool, labeled = pool_and_labeled(view)
        turned_away = rejected_with(view, "embeddings")
        labels = view.labels.to(pool.device)
        classes = view.num_classes
        if turned_away is None or len(labeled) == 0:
            unknown = pool[:0]
            pool_probs = view.pool.require("log_probs").double().exp()
            known_probs = pool_probs[:0]
            if len(labeled):
                known_probs = view.labeled.require("log_probs").to(pool.device).double().exp()
        else:
            unknown = turned_away.require("embeddings").to(pool.dtype)
            targets = torch.cat([labels, labels.new_full((len(unknown),), classes)])
            classes += 1
            head = cross_entropy_head(torch.cat([labeled.to(pool.dtype), unknown]), targets, classes)
            pool_probs, known_probs = head(pool).softmax(dim=1), head(labeled).softmax(dim=1)
        sides = [(pool, pool_probs, pool_probs.argmax(dim=1)), (labeled, known_probs, labels)]
        if len(unknown):
            sides.append((unknown, head(unknown).softmax(dim=1), labels.new_full((len(unknown),), classes - 1)))
        else:
            sides.append((unknown, pool_probs[:0], labels[:0]))
        made = []
        for embeddings, probs, target in sides:
            residual = probs - torch.nn.functional.one_hot(target[: len(probs)], classes)
            made.append((unit_rows(residual), unit_rows(embeddings.double())))
        return tuple(made)


class _CappedCover:
    """How alike each point of the sum is to the picks, between a floor and a ceiling."""

    def __init__(self, points_E_W: Tensor, cut: int) -> None:
        self.points, self.cut = points_E_W.float(), cut

    def _similarities(self, rows_n_W: Tensor) -> Tensor:
        rows, cut = rows_n_W.float(), self.cut
        return (rows[:, :cut] @ self.points[:, :cut].T).mul_(rows[:, cut:] @ self.points[:, cut:].T).clamp_(min=0)

    def nearest(self, rows_n_W: Tensor) -> Tensor:
        """(E,) largest similarity to one of the rows, 0 where there is none."""
        largest = self.points.new_zeros(len(self.points))
        for rows in tiles(len(rows_n_W), 12 * len(self.points), self.points.device):
            largest = torch.maximum(largest, self._similarities(rows_n_W[rows]).amax(dim=0))
        return largest

    def start(self, floor_E: Tensor, ceiling_E: Tensor | None) -> None:
        self.covered, self.ceiling = floor_E, ceiling_E

    def _capped(self, rows_n_W: Tensor) -> Tensor:
        similar = self._similarities(rows_n_W)
        return similar if self.ceiling is None else torch.minimum(similar, self.ceiling, out=similar)

    def gains(self, rows_n_W: Tensor) -> Tensor:
        """(n,) float64 what each row would add."""
        total = torch.zeros(len(rows_n_W), dtype=torch.float64, device=rows_n_W.device)
        for rows in tiles(len(rows_n_W), 12 * len(self.points), rows_n_W.device):
            total[rows] = self._capped(rows_n_W[rows]).sub_(self.covered).clamp_(min=0).double().sum(dim=1)
        return total

    def add(self, row_W: Tensor) -> None:
        self.covered = torch.maximum(self.covered, self._capped(row_W[None])[0])
