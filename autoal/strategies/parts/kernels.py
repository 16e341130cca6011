"""Kernels over pool and labeled points, and what turns one into another (Holzmueller et al. 2023). Axes: N points,
L labeled, P features, I inputs.

A selection sees a space: k(x, x), inner products and squared distances of pool points, in tiles. Most spaces are two
matrices of features; infinitely wide networks have none, and give the products asked for.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from autoal.strategies.parts.distances import centred, nearest_centre, squared_distances, tiles

__all__ = [
    "Features",
    "InfiniteNetwork",
    "Posterior",
    "Space",
    "acs_grad",
    "acs_rf",
    "acs_rf_hyper",
    "posterior",
    "robust_cholesky",
    "scaled",
    "sketch",
]

Rows = slice | Tensor
EQUAL = 1e-12
"""A squared distance below this share of the two sizes is rounding of float64."""


class Space(ABC):
    """Kernel values of N pool points among each other and with L labeled ones, float64."""

    n: int
    labeled_count: int
    device: torch.device

    @abstractmethod
    def sizes(self) -> Tensor:
        """(N,) k(x, x)."""

    @abstractmethod
    def labeled_sizes(self) -> Tensor:
        """(L,) k(x, x) of the labeled points."""

    @abstractmethod
    def products(self, rows: Rows, picks: Tensor) -> Tensor:
        """(n, m) kernel values of pool points."""

    @abstractmethod
    def labeled_products(self, rows: Rows) -> Tensor:
        """(n, L) kernel values of pool and labeled points."""

    @abstractmethod
    def tile_bytes(self) -> int:
        """Temporary bytes for one row, besides what is returned."""

    def squared_distances(self, rows: Rows, picks: Tensor) -> Tensor:
        """(n, m) k(x, x) + k(y, y) - 2 k(x, y)."""
        sizes_N = self.sizes()
        return _distances(sizes_N[rows], sizes_N[picks], self.products(rows, picks))

    def nearest_labeled(self) -> tuple[Tensor, Tensor]:
        """(N,) squared distance to the nearest labeled point and (N,) which; infinity where there is none."""
        nearest_N = torch.full((self.n,), torch.inf, dtype=torch.float64, device=self.device)
        which_N = torch.zeros(self.n, dtype=torch.int64, device=self.device)
        if self.labeled_count:
            sizes_N, known_L = self.sizes(), self.labeled_sizes()
            for rows in tiles(self.n, self.tile_bytes() + 32 * self.labeled_count, self.device):
                found = _distances(sizes_N[rows], known_L, self.labeled_products(rows)).min(dim=1)
                nearest_N[rows], which_N[rows] = found.values, found.indices
        return nearest_N, which_N


def _distances(left_n: Tensor, right_m: Tensor, products_n_m: Tensor) -> Tensor:
    both_n_m = left_n[:, None] + right_m
    squared_n_m = both_n_m - 2 * products_n_m
    return squared_n_m.masked_fill_(squared_n_m < EQUAL * both_n_m, 0)


class Features(Space):
    """The linear kernel on rows of features. Distances are float32 on centred rows, products float64."""

    def __init__(self, pool_N_P: Tensor, labeled_L_P: Tensor) -> None:
        self.pool_N_P, self.labeled_L_P = pool_N_P, labeled_L_P
        self.n, self.labeled_count, self.device = len(pool_N_P), len(labeled_L_P), pool_N_P.device
        self._centred: tuple[Tensor, ...] | None = None
        self._sizes_N: Tensor | None = None

    @property
    def centred(self) -> tuple[Tensor, ...]:
        """Pool and labeled rows, float32, without the mean of the pool; sizes near 1 where they left float32."""
        if self._centred is None:
            self._centred = centred(self.pool_N_P, self.labeled_L_P)
        return self._centred

    def sizes(self) -> Tensor:
        if self._sizes_N is None:
            self._sizes_N = _sizes(self.pool_N_P)
        return self._sizes_N

    def labeled_sizes(self) -> Tensor:
        return _sizes(self.labeled_L_P)

    def products(self, rows: Rows, picks: Tensor) -> Tensor:
        return self.pool_N_P[rows].double() @ self.pool_N_P[picks].double().T

    def labeled_products(self, rows: Rows) -> Tensor:
        return self.pool_N_P[rows].double() @ self.labeled_L_P.double().T

    def tile_bytes(self) -> int:
        return 8 * self.pool_N_P.shape[1]

    def squared_distances(self, rows: Rows, picks: Tensor) -> Tensor:
        points = self.centred[0]
        return squared_distances(points[rows], points[picks])

    def nearest_labeled(self) -> tuple[Tensor, Tensor]:
        return nearest_centre(*self.centred)

    def map(self, function: Any) -> Features:
        """Features `function(rows)` (n, Q), float64, made in tiles of `rows` (n, P) float64."""
        return Features(*(_mapped(rows, function) for rows in (self.pool_N_P, self.labeled_L_P)))


def _sizes(rows_n_P: Tensor) -> Tensor:
    made = torch.empty(len(rows_n_P), dtype=torch.float64, device=rows_n_P.device)
    for part in tiles(len(rows_n_P), 16 * rows_n_P.shape[1], rows_n_P.device):
        made[part] = rows_n_P[part].double().square().sum(dim=1)
    return made


def _mapped(rows_n_P: Tensor, function: Any) -> Tensor:
    width = function(rows_n_P[:0].double()).shape[1]
    made = torch.empty(len(rows_n_P), width, dtype=torch.float64, device=rows_n_P.device)
    for part in tiles(len(rows_n_P), 8 * (rows_n_P.shape[1] + 2 * width), rows_n_P.device):
        made[part] = function(rows_n_P[part].double())
    return made


class InfiniteNetwork(Space):
    """Kernel of an infinitely wide ReLU network of `layers` weight layers without biases: of its output at a random
    start (`nngp`), or of its gradient there (`ntk`). Without biases the weight variance is one factor for all; it is
    2, which keeps the size of a signal."""

    def __init__(self, pool_N_I: Tensor, labeled_L_I: Tensor, gradient: bool = False, layers: int = 3) -> None:
        self.pool_N_I, self.labeled_L_I = pool_N_I, labeled_L_I
        self.gradient, self.layers = gradient, layers
        self.n, self.labeled_count, self.device = len(pool_N_I), len(labeled_L_I), pool_N_I.device
        self._sizes_N = self._own(pool_N_I)

    def _own(self, rows_n_I: Tensor) -> Tensor:
        times = 2 * self.layers if self.gradient else 2
        return times / rows_n_I.shape[1] * _sizes(rows_n_I)

    def _kernel(self, left_n_I: Tensor, right_m_I: Tensor) -> Tensor:
        left, right = left_n_I.double(), right_m_I.double()
        both_n_m = (left.square().sum(dim=1)[:, None] * right.square().sum(dim=1)).sqrt_().mul_(2 / left.shape[1])
        value_n_m = (left @ right.T).mul_(2 / left.shape[1])
        total_n_m = value_n_m
        for _ in range(self.layers - 1):
            cosine = (value_n_m / both_n_m.clamp_min(torch.finfo(torch.float64).tiny)).clamp_(-1, 1)
            angle = cosine.arccos()
            share = (math.pi - angle) / math.pi
            value_n_m = both_n_m * ((1 - cosine.square()).sqrt_() / math.pi + share * cosine)
            total_n_m = value_n_m + share * total_n_m if self.gradient else value_n_m
        return total_n_m

    def scaled(self, factor: float) -> InfiniteNetwork:
        """The kernel times `factor`."""
        pool, labeled = (rows * factor**0.5 for rows in (self.pool_N_I, self.labeled_L_I))
        return InfiniteNetwork(pool, labeled, self.gradient, self.layers)

    def sizes(self) -> Tensor:
        return self._sizes_N

    def labeled_sizes(self) -> Tensor:
        return self._own(self.labeled_L_I)

    def products(self, rows: Rows, picks: Tensor) -> Tensor:
        return self._kernel(self.pool_N_I[rows], self.pool_N_I[picks])

    def labeled_products(self, rows: Rows) -> Tensor:
        return self._kernel(self.pool_N_I[rows], self.labeled_L_I)

    def among_labeled(self) -> Tensor:
        """(L, L) kernel of the labeled points."""
        return self._kernel(self.labeled_L_I, self.labeled_L_I)

    def tile_bytes(self) -> int:
        return 48 * self.pool_N_I.shape[1]


class Posterior(Space):
    """k(x, y) - k(x, R) (k(R, R) + noise I)^-1 k(R, y) of factor times a kernel without features. Keeps an (N, L)
    matrix. The labeled points have no part in what follows."""

    def __init__(self, prior: InfiniteNetwork, factor: float, noise: float) -> None:
        self.prior, self.factor = prior, factor
        self.n, self.labeled_count, self.device = prior.n, 0, prior.device
        known = factor * prior.among_labeled()
        self.root_L_L = robust_cholesky(known + noise * torch.eye(len(known), dtype=known.dtype, device=known.device))
        self.known_N_L = torch.empty(prior.n, len(known), dtype=torch.float64, device=prior.device)
        for rows in tiles(prior.n, prior.tile_bytes() + 48 * len(known), prior.device):
            seen = factor * prior.labeled_products(rows)
            self.known_N_L[rows] = torch.linalg.solve_triangular(self.root_L_L, seen.T, upper=False).T
        self._sizes_N = (factor * prior.sizes() - _sizes(self.known_N_L)).clamp_(min=0)

    def sizes(self) -> Tensor:
        return self._sizes_N

    def labeled_sizes(self) -> Tensor:
        return self._sizes_N[:0]

    def products(self, rows: Rows, picks: Tensor) -> Tensor:
        return self.factor * self.prior.products(rows, picks) - self.known_N_L[rows] @ self.known_N_L[picks].T

    def labeled_products(self, rows: Rows) -> Tensor:
        return self.known_N_L[rows, :0]

    def tile_bytes(self) -> int:
        return self.prior.tile_bytes()


def robust_cholesky(matrix: Tensor) -> Tensor:
    """Lower Cholesky factor of a symmetric matrix; where that fails or is not finite, with a growing number added to
    the diagonal, from 1e-5 of its mean."""
    extra = 1e-5 * float(matrix.diagonal().mean()) + 1e-30 if len(matrix) else 0.0
    tried = matrix
    for _ in range(16):
        root, info = torch.linalg.cholesky_ex(tried)
        if not bool((info > 0).any()) and bool(root.isfinite().all()):
            return root
        tried = matrix + extra * torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
        extra *= 2
    raise RuntimeError("a covariance matrix is far from positive; check that the features are finite")


def factor_of(space: Space) -> float:
    """1 / mean k(x, x) of the labeled points; of the pool where none is labeled or all those are 0; 1 where all are."""
    for sizes in (space.labeled_sizes(), space.sizes()):
        if len(sizes) and float(sizes.mean()) > 0:
            return 1 / float(sizes.mean())
    return 1.0


def scaled(space: Features) -> Features:
    """The kernel divided by its mean on the labeled points."""
    root = factor_of(space) ** 0.5
    return space.map(lambda rows: rows * root)


def posterior(space: Features, noise: float, given: Tensor | None = None) -> Features:
    """Covariance of a Bayesian linear model with weights N(0, I), once the labeled points (or rows `given`) are known
    up to noise of this variance: phi' = sigma L^-1 phi, where L L^T = R^T R + noise I. The prior where L = 0."""
    whiten_P_P = whitening(space.labeled_L_P if given is None else given, noise)
    return space.map(lambda rows: rows @ whiten_P_P)


def whitening(given_L_P: Tensor, noise: float) -> Tensor:
    """(P, P) sigma L^-T: what rows of features are multiplied by, to be those of the posterior."""
    width = given_L_P.shape[1]
    eye = torch.eye(width, dtype=torch.float64, device=given_L_P.device)
    if len(given_L_P) == 0:
        return eye
    root_P_P = robust_cholesky(given_L_P.double().T @ given_L_P.double() + noise * eye)
    return noise**0.5 * torch.linalg.solve_triangular(root_P_P, eye, upper=False).T


def normal(rng: torch.Generator, device: torch.device, *shape: int) -> Tensor:
    """Standard normal, float64, the same numbers on every device."""
    return torch.randn(*shape, generator=rng, dtype=torch.float64).to(device)


def sketch(space: Features, width: int, rng: torch.Generator) -> Features:
    """Gaussian random projection to `width` features: inner products are unbiased."""
    map_P_Q = normal(rng, space.device, space.pool_N_P.shape[1], width) / width**0.5
    return space.map(lambda rows: rows @ map_P_Q)


def acs_rf(space: Features, noise: float, width: int, rng: torch.Generator, compat: bool = False) -> Features:
    """Random features of what a label of x would tell: its expected log likelihood f_x(theta_j) / sqrt(width) at
    draws theta_j of the posterior (Pinsler et al. 2019).

    With compat the posterior covariance lacks its factor `noise` and the root is that of the number of features that
    come in, as in the package bmdal_reg 3.0.2, which the published figures were made with.
    """
    whiten_P_P = whitening(space.labeled_L_P, noise)
    if compat:
        whiten_P_P = whiten_P_P / noise**0.5
    draws_P_Q = whiten_P_P @ normal(rng, space.device, len(whiten_P_P), width)
    count = len(whiten_P_P) if compat else width

    def told(rows: Tensor) -> Tensor:
        variance = (rows @ whiten_P_P).square().sum(dim=1, keepdim=True)
        expected = 0.5 * torch.log1p(variance / noise) - ((rows @ draws_P_Q).square() + variance) / (2 * noise)
        return expected / count**0.5

    return space.map(told)


def acs_rf_hyper(space: Features, targets_L: Tensor, width: int, rng: torch.Generator) -> Features:
    """As `acs_rf`, with the noise variance unknown too: inverse gamma with a = b = 1, weights N(0, variance I)."""
    known = space.labeled_L_P.double()
    y_L = targets_L.double().to(known.device)
    whiten_P_P = whitening(known, 1.0)
    project_L = (known @ whiten_P_P).T @ y_L
    shape, rate = 1 + 0.5 * len(known), 1 + 0.5 * float((y_L.square().sum() - project_L.square().sum()).clamp_min(0))
    draws_P_Q = whiten_P_P @ normal(rng, space.device, len(whiten_P_P), width)

    def told(rows: Tensor) -> Tensor:
        variance = rate / shape * (1 + (rows @ whiten_P_P).square().sum(dim=1, keepdim=True))
        return (-0.5 * math.log(2 * math.pi) - ((rows @ draws_P_Q).square() + variance) / 2) / width**0.5

    return space.map(told)


def acs_grad(space: Features, noise: float, width: int, rng: torch.Generator, compat: bool = False) -> Features:
    """Sketch of k k_post / noise^2, the Fisher inner product of two labels' expected log likelihoods. With compat
    k k_post / noise^4, as in bmdal_reg."""
    whiten_P_P = whitening(space.labeled_L_P, noise)
    first, second = (normal(rng, space.device, len(whiten_P_P), width) for _ in range(2))
    second = whiten_P_P @ second / (width**0.5 * noise ** (2 if compat else 1))
    return space.map(lambda rows: (rows @ first) * (rows @ second))
