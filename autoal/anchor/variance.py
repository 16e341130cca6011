"""Batches that leave the least variance where it counts: a Gaussian process over the pool, weighted by value.

Cohn, Ghahramani and Jordan 1996 (arXiv cs/9603104) choose the point that lowers the expected variance over the inputs
most; Seo et al. 2000 do so with a Gaussian process. Ours: the inputs count by their value, the kernel has several
scales, and a batch is chosen greedily.

Axes: N pool points, L labeled points, E evaluation points, J candidates, D columns, M landmarks, b picks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.anchor.space import squared_distances
from autoal.compute import chunks, full_precision_matmul

__all__ = ["NOISE", "greedy_variance", "kernel", "posterior"]

SCALES = (1.0, 2.0, 4.0, 8.0)
"""Lengths of the kernel, in bandwidths."""
NOISE = 0.3
"""Variance of a label's noise, in units of the prior variance."""
LANDMARKS = 1024
"""Points whose values explain the others'; all of them where there are no more, and then nothing is approximated."""
JITTER = 1e-8


def kernel(squared: Tensor) -> Tensor:
    """Mean of `exp(-d / s)` over the scales s, for squared distances (...) in units of the squared bandwidth."""
    distances = (squared.clamp_min(0) + 1e-20).sqrt()
    total = torch.exp(-distances / SCALES[0])
    for scale in SCALES[1:]:
        total = total + torch.exp(-distances / scale)
    return total / len(SCALES)


def posterior(prior: Tensor, known: Tensor, between: Tensor) -> Tensor:
    """Covariances (..., n, n) once l labels are known, from `prior` (..., n, n), those of the known points (..., l, l)
    and those between the two (..., n, l)."""
    noisy = known + (NOISE + JITTER) * torch.eye(known.shape[-1], dtype=known.dtype, device=known.device)
    solved = torch.linalg.solve_triangular(torch.linalg.cholesky(noisy), between.mT, upper=False)
    return prior - solved.mT @ solved


@torch.no_grad()
@full_precision_matmul()
def greedy_variance(
    rows: Tensor,
    value: Tensor,
    labeled: Tensor,
    batch_size: int,
    *,
    bandwidth: float,
    candidates: Tensor,
    evaluation: Tensor,
    prices: Tensor | None,
    order: Tensor,
    rng: torch.Generator,
) -> Tensor:
    """Picks (b,), positions in `rows` (N, D), in order, all among `candidates` (J,).

    Each pick j lowers `sum_u value_u var(u)` over `evaluation` (E,) most, by
    `sum_u value_u cov(u, j)^2 / (var(j) + noise)`; divided by its price where there are `prices` (N,). `labeled` (L, D)
    and earlier picks are known. Equal gains go by `order` (J,), a permutation of positions in `candidates`.

    Up to 1,024 points this is exact. For more, that many drawn landmarks explain the others (Snelson and Ghahramani
    2006: what they leave unexplained is a point's own). Cost: (L + E) M^2 once, then J M per pick; memory (J + L) M.
    """
    landmarks = [which.to(rows.device) for which in _landmarks(len(rows), len(labeled), rng)]
    base = torch.cat([rows[landmarks[0]], labeled[landmarks[1]]]).double()
    among = candidates[order]
    # Differences first: by products of rows two copies come out apart, by more than their variance allows them to be.
    apart = torch.cdist(base, base, compute_mode="donot_use_mm_for_euclid_dist")
    prior = kernel((apart / bandwidth).square())
    prior.diagonal().add_(JITTER)
    root = torch.linalg.cholesky(prior)

    def features(points: Tensor) -> tuple[Tensor, Tensor]:
        """(n, M) whose products are the covariances that landmarks explain, and (n,) the variance they do not."""
        out = torch.empty(len(points), len(base), dtype=base.dtype, device=base.device)
        for part in chunks(len(points), 32.0 * len(base)):
            cross = kernel(squared_distances(points[part].double(), base) / bandwidth**2)
            out[part] = torch.linalg.solve_triangular(root, cross.T, upper=False).T
        return out, (1.0 - out.square().sum(1)).clamp_min(0)

    known, own = features(labeled)
    precision = torch.eye(len(base), dtype=base.dtype, device=base.device)
    precision.addmm_((known / (NOISE + own)[:, None]).T, known)
    weights = value.double()
    # In coordinates where what is known so far leaves unit variance, only the picks are left to take in.
    known_root = torch.linalg.cholesky(precision)

    def whitened(x: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(known_root, x.T, upper=False).T

    wanted = torch.zeros_like(precision)
    for part in chunks(len(evaluation), 32.0 * len(base)):
        seen = whitened(features(rows[evaluation[part]])[0])
        wanted.addmm_((weights[evaluation[part], None] * seen).T, seen)
    z, own = features(rows[among])
    z = whitened(z)
    counted = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    counted[evaluation] = True
    weight = torch.where(counted[among], weights[among], torch.zeros_like(own))
    price = torch.ones_like(own) if prices is None else prices.double().to(rows.device)[among]

    explained = z.square().sum(1)
    gain = ((z @ wanted) * z).sum(1)
    left = torch.eye(len(base), dtype=base.dtype, device=base.device)
    taken = torch.zeros(len(among), dtype=torch.bool, device=rows.device)
    picks = []
    for _ in range(batch_size):
        # The part of a variance that is a point's own falls only when the point itself is labeled.
        total = gain.clamp_min(0) + weight * own * (2 * explained + own)
        score = (total / (explained + own + NOISE) / price).masked_fill(taken, -torch.inf)
        best = int(score.argmax())
        picks.append(best)
        taken[best] = True
        a = left @ z[best]
        wanted_a = wanted @ a
        scale = 1.0 / (float(explained[best]) + float(own[best]) + NOISE)
        c, e = (z @ torch.stack([a, left @ wanted_a], dim=1)).T
        gain = gain - 2 * scale * c * e + (scale * c).square() * (a @ wanted_a)
        explained = (explained - scale * c.square()).clamp_min(0)
        left = left - scale * torch.outer(a, a)
    return among[torch.tensor(picks, dtype=torch.int64, device=rows.device)]


def _landmarks(n_pool: int, n_labeled: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Positions in the pool and in the labeled points: all, or up to half of them labeled ones and the rest pool."""
    if n_pool + n_labeled <= LANDMARKS:
        return torch.arange(n_pool), torch.arange(n_labeled)
    labeled = torch.randperm(n_labeled, generator=rng)[: LANDMARKS // 2]
    pool = torch.randperm(n_pool, generator=rng)[: LANDMARKS - len(labeled)]
    return pool.sort().values, labeled.sort().values
