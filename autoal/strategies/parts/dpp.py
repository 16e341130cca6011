"""Fixed-size determinantal point processes (k-DPPs), exactly: P(S) = det(L_S) / e_k(eigenvalues of L) for |S| = k.

Kulesza and Taskar 2011 (k-DPPs) and 2012 (arXiv 1207.6083); greedy mode: Chen et al. 2018, arXiv 1709.05135.
Everything is float64. Axes: N items, D features with L = B B^T, r rank, k size of a set.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from autoal.compute import chunks
from autoal.errors import InvalidInput

__all__ = ["KDPP", "condition_on", "greedy_map", "log_esp", "poisson_binomial", "sample_projection", "whiten_given"]

CACHE_BYTES = 4 * 2**20
"""Sets are drawn together as long as they stay in the cache."""
FLAT = 1e-10
"""A gain below this share of the largest one is rounding: the rank is used up."""


def log_esp(values_n: np.ndarray, k: int) -> np.ndarray:
    """(k+1, n+1) log elementary symmetric polynomials; [l, m] is that of degree l of the first m values."""
    with np.errstate(divide="ignore"):
        logs_n = np.log(values_n)
    table = np.full((k + 1, len(values_n) + 1), -np.inf)
    table[0] = 0.0
    for m, log_value in enumerate(logs_n):
        table[1:, m + 1] = np.logaddexp(table[1:, m], log_value + table[:-1, m])
    return table


def poisson_binomial(values_n: np.ndarray, k: int) -> tuple[np.ndarray, float]:
    """Odds c * value turned into probabilities p (n,) that sum to k, and log c. Needs more than k positive values.

    With P[l, m] the probability of l heads among the first m coins, e_l = P[l, m] / (c^l prod(1 - p)): the same
    ratios as the polynomials, but in [0, 1], and P[k, n] is near the mode, so nothing overflows or vanishes.
    """
    if np.count_nonzero(values_n) <= k:
        raise InvalidInput(f"got {np.count_nonzero(values_n)} positive eigenvalues; wanted more than k={k}")
    with np.errstate(divide="ignore"):
        logs_n = np.log(values_n)
    low, high = -logs_n.max() - 50.0, -logs_n[np.isfinite(logs_n)].min() + 50.0
    while high - low > 1e-14 * max(1.0, abs(low), abs(high)):
        log_c = (low + high) / 2
        if log_c in (low, high):
            break
        low, high = (log_c, high) if _logistic(logs_n + log_c).sum() < k else (low, log_c)
    return _logistic(logs_n + low), low


def _logistic(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _heads(p_n: np.ndarray, k: int) -> np.ndarray:
    """(k+1, n+1) probability of l heads among the first m coins."""
    table = np.zeros((k + 1, len(p_n) + 1))
    table[0, 0] = 1.0
    for m, p in enumerate(p_n):
        table[:, m + 1] = (1 - p) * table[:, m]
        table[1:, m + 1] += p * table[:-1, m]
    return table


class KDPP:
    """A k-DPP for every k, from its kernel or, for N >> D, from features B with L = B B^T (the dual form).

    The eigendecomposition is made once: N^3 for a kernel, N D^2 + D^3 for features; a sample costs N D k + N k^2.
    """

    def __init__(self, *, kernel: Tensor | None = None, features: Tensor | None = None) -> None:
        if (kernel is None) == (features is None):
            raise InvalidInput("got both or neither of kernel and features; wanted one")
        if kernel is not None:
            self._basis = None
            values, vectors = torch.linalg.eigh(kernel.double())
            n = len(kernel)
        else:
            assert features is not None
            self._basis = features.double()
            values, vectors = torch.linalg.eigh(self._basis.T @ self._basis)
            n = max(self._basis.shape)
        top = float(values[-1]) if len(values) else 0.0
        keep = values > max(top, 0.0) * n * torch.finfo(torch.float64).eps
        self.values_r = values[keep].cpu().numpy()
        """(r,) positive eigenvalues, ascending."""
        self._vectors = vectors[:, keep]
        self._rows = len(self._vectors if self._basis is None else self._basis)
        if self._basis is not None:
            self._vectors = self._vectors / values[keep].sqrt()
        self._tables: dict[tuple[int, str], np.ndarray] = {}

    @property
    def rank(self) -> int:
        """Size of the largest set with positive probability, in floating point."""
        return len(self.values_r)

    def eigenvectors(self, which: Tensor) -> Tensor:
        """(N, len(which)) of the kernel, orthonormal."""
        chosen = self._vectors[:, which]
        return chosen if self._basis is None else self._basis @ chosen

    @cached_property
    def _unit_values(self) -> np.ndarray:
        return self.values_r / self.values_r.max()  # scaling the kernel changes no k-DPP

    def _check(self, k: int) -> None:
        if not 1 <= k <= self.rank:
            raise InvalidInput(f"got k={k}; wanted 1 to the rank of the kernel, {self.rank}")

    def log_normaliser(self, k: int) -> float:
        """log e_k of the eigenvalues."""
        self._check(k)
        return float(log_esp(self._unit_values, k)[k, -1] + k * np.log(self.values_r.max()))

    def selection_table(self, k: int, form: str = "poisson_binomial") -> np.ndarray:
        """(k+1, r+1); [l, m] is the probability of taking eigenvector m (from 1) when l are to come from the first m.

        `form="log"` computes the same from log polynomials.
        """
        self._check(k)
        if (k, form) not in self._tables:
            chance = np.ones((k + 1, self.rank + 1))
            chance[0] = 0.0
            if k < self.rank:
                with np.errstate(divide="ignore", invalid="ignore"):
                    if form == "log":
                        table = log_esp(self._unit_values, k)
                        chance[1:, 1:] = np.exp(np.log(self._unit_values) + table[:-1, :-1] - table[1:, 1:])
                    else:
                        p_r, _ = poisson_binomial(self._unit_values, k)
                        table = _heads(p_r, k)
                        chance[1:, 1:] = p_r * table[:-1, :-1] / table[1:, 1:]
                # All that are left must be taken; below that a state cannot be reached.
                chance[1:][np.arange(1, k + 1)[:, None] >= np.arange(self.rank + 1)] = 1.0
            self._tables[k, form] = chance
        return self._tables[k, form]

    def sample(self, k: int, rng: torch.Generator, count: int = 1, form: str = "poisson_binomial") -> Tensor:
        """(count, k) independent sets of distinct items. Raises InvalidInput where k is above the rank."""
        chance = self.selection_table(k, form)
        uniform = torch.rand(count, self.rank, generator=rng, dtype=torch.float64).numpy()
        left, taken = np.full(count, k), np.zeros((count, self.rank), dtype=bool)
        for m in range(self.rank, 0, -1):
            taken[:, m - 1] = uniform[:, m - 1] < chance[left, m]
            left -= taken[:, m - 1]
        which = torch.from_numpy(taken.nonzero()[1].reshape(count, k)).to(self._vectors.device)
        place = torch.rand(count, k, generator=rng, dtype=torch.float64)
        sets = []
        for part in chunks(count, 16.0 * k * self._rows, CACHE_BYTES):
            vectors = self.eigenvectors(which[part].flatten()).reshape(self._rows, -1, k)
            sets.append(sample_projection(vectors.transpose(0, 1), place[part]))
        return torch.cat(sets)

    def marginals(self, k: int) -> Tensor:
        """(N,) probability that an item is in the set; sums to k. Without divisions, O(r k^2) after the spectrum."""
        self._check(k)
        weight_r = np.ones(self.rank)
        if k < self.rank:
            p_r, _ = poisson_binomial(self._unit_values, k)
            before, after = _heads(p_r, k), _heads(p_r[::-1], k)
            for m in range(self.rank):
                others = before[:k, m] @ after[k - 1 :: -1, self.rank - 1 - m]
                weight_r[m] = p_r[m] * others / before[k, -1]
        vectors_N_r = self.eigenvectors(torch.arange(self.rank, device=self._vectors.device))
        return vectors_N_r.square() @ torch.from_numpy(weight_r).to(vectors_N_r)


def sample_projection(vectors_J_N_k: Tensor, uniform_J_k: Tensor) -> Tensor:
    """(J, k) items, one set from each of J DPPs whose kernels are the projections on k orthonormal columns. O(N k^2).

    The chain rule with one Gram-Schmidt step per item, so that the columns are never made orthonormal again.
    """
    j, n, k = vectors_J_N_k.shape
    vectors_J_N_k = vectors_J_N_k.contiguous()
    uniform_J_k = uniform_J_k.to(vectors_J_N_k)
    left_J_N = vectors_J_N_k.square().sum(dim=2)
    steps_J_k_N = vectors_J_N_k.new_zeros(j, k, n)
    picks_J_k = torch.empty(j, k, dtype=torch.int64, device=left_J_N.device)
    sets = torch.arange(j, device=left_J_N.device)
    for t in range(k):
        sums_J_N = left_J_N.cumsum(dim=1)
        total_J = sums_J_N[:, -1]
        # Below the total even where the product is rounded up, so that no item without mass is drawn.
        target_J = torch.minimum(uniform_J_k[:, t] * total_J, torch.nextafter(total_J, torch.zeros_like(total_J)))
        item_J = torch.searchsorted(sums_J_N, target_J[:, None], right=True)[:, 0]
        step_J_N = torch.bmm(vectors_J_N_k, vectors_J_N_k[sets, item_J][:, :, None])[:, :, 0]
        if t:
            step_J_N -= torch.bmm(steps_J_k_N[sets, :t, item_J][:, None], steps_J_k_N[:, :t])[:, 0]
        step_J_N /= left_J_N[sets, item_J].sqrt()[:, None]
        steps_J_k_N[:, t] = step_J_N
        picks_J_k[:, t] = item_J
        left_J_N = (left_J_N - step_J_N.square()).clamp_(min=0).scatter_(1, picks_J_k[:, : t + 1], 0.0)
    return picks_J_k


def greedy_map(k: int, *, kernel: Tensor | None = None, features: Tensor | None = None, form: str = "auto") -> Tensor:
    """At most k items, each the one that multiplies det(L_S) most; fewer where the rank is used up first.

    `form="rows"` keeps one Cholesky row per pick, O(N k^2) after the rows of L; `"residuals"` keeps what is left of
    every feature row, O(N k D). `"auto"` takes the cheaper one.
    """
    if features is None:
        if kernel is None:
            raise InvalidInput("got neither kernel nor features; wanted one")
        full = kernel.double()
        return _greedy_rows(lambda item: full[item], full.diagonal().clone(), k)
    rows = features.double()
    if form == "residuals" or (form == "auto" and rows.shape[1] < k):
        return _greedy_residuals(rows.clone(), k)
    return _greedy_rows(lambda item: rows @ rows[item], rows.square().sum(dim=1), k)


def _greedy_rows(row: Callable[[int], Tensor], gain_N: Tensor, k: int) -> Tensor:
    floor = FLAT * float(gain_N.max()) if len(gain_N) else 0.0
    factor_k_N = gain_N.new_empty(k, len(gain_N))
    picks: list[int] = []
    for t in range(min(k, len(gain_N))):
        item = int(gain_N.argmax())
        gain = float(gain_N[item])
        if gain <= floor:
            break
        factor_k_N[t] = (row(item) - factor_k_N[:t, item] @ factor_k_N[:t]) / gain**0.5
        gain_N = gain_N - factor_k_N[t].square()
        picks.append(item)
        gain_N[picks] = -torch.inf
    return torch.tensor(picks, dtype=torch.int64, device=gain_N.device)


def _greedy_residuals(rows_N_D: Tensor, k: int) -> Tensor:
    gain_N = rows_N_D.square().sum(dim=1)
    floor = FLAT * float(gain_N.max()) if len(gain_N) else 0.0
    picks: list[int] = []
    for _ in range(min(k, len(gain_N))):
        item = int(gain_N.argmax())
        if float(gain_N[item]) <= floor:
            break
        direction = rows_N_D[item] / torch.linalg.vector_norm(rows_N_D[item])
        rows_N_D -= torch.outer(rows_N_D @ direction, direction)
        gain_N = rows_N_D.square().sum(dim=1)
        picks.append(item)
        gain_N[picks] = -torch.inf
    return torch.tensor(picks, dtype=torch.int64, device=rows_N_D.device)


def condition_on(features_N_D: Tensor, items: Tensor) -> Tensor:
    """Features of the DPP given that `items` are in the set: det L_(A u S) = det L_A det L'_S. Their own rows are 0."""
    _, size, directions = torch.linalg.svd(features_N_D[items].double(), full_matrices=False)
    directions = directions[size > FLAT * size.max()] if float(size.max()) > 0 else directions[:0]
    rest = features_N_D.double()
    for _ in range(2):  # once more for what rounding left of long rows
        rest = rest - (rest @ directions.T) @ directions
    rest[items] = 0.0
    return rest


def whiten_given(features_N_D: Tensor, given_L_D: Tensor, noise: float) -> Tensor:
    """Features whose kernel is S_NN - S_NL (S_LL + noise I)^-1 S_LN: similarity left once the given rows are known.

    Through the D x D matrix I + G^T G / noise, so that L may be large.
    """
    values, vectors = torch.linalg.eigh(given_L_D.double().T @ given_L_D.double())
    return features_N_D.double() @ (vectors / (1 + values.clamp(min=0) / noise).sqrt())
