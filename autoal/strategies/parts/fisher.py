"""Batches that leave least Fisher-weighted variance: tr(M F), M the inverse information of what is labeled or chosen,
F that of all points. Axes: N points, D embedding, C classes, R rank of one point's information.

The information of a point on a last layer is P (x) h h', with P (C, C) of its probabilities and h (D,) its embedding.
Nothing of size N C D is formed: kept of each point are h' M_cc' h and h' (M F M)_cc' h for all pairs of classes, and
a pick changes them by products of rank R.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from autoal.strategies.parts.distances import tiles

__all__ = [
    "best_of",
    "class_information",
    "filled",
    "information",
    "inverse",
    "many_class_batch",
    "rank_one_batch",
    "shuffled_ranks",
]

STEEP = 1e4
"""Where the variance is above this many times a label's noise, float32 would round by as much as gains differ."""
ALIKE = 1e-6
"""Gains that differ by this share of the best are equal, so that rounding decides nothing."""


def class_information(weights_n_C: Tensor, probs_n_C: Tensor) -> Tensor:
    """(n, C, C) P = sum_y w_y (e_y - p)(e_y - p)'; diag(p) - pp' where the weights w are p."""
    cross_n_C_C = weights_n_C[:, :, None] * probs_n_C[:, None]
    outer_n_C_C = probs_n_C[:, :, None] * probs_n_C[:, None]
    return torch.diag_embed(weights_n_C) - cross_n_C_C - cross_n_C_C.transpose(1, 2) + outer_n_C_C


def information(weights_N_C: Tensor, probs_N_C: Tensor, embeddings_N_D: Tensor) -> Tensor:
    """(C D, C D) sum of P (x) h h' over points, class by class, float64."""
    (n, classes), width = probs_N_C.shape, embeddings_N_D.shape[1]
    total = probs_N_C.new_zeros(classes, width, classes, width, dtype=torch.float64)
    for rows in tiles(n, 8 * (classes * width + classes**2), probs_N_C.device):
        h_n_D = embeddings_N_D[rows].double()
        P_n_C_C = class_information(weights_N_C[rows].double(), probs_N_C[rows].double())
        for c in range(classes):
            right = (P_n_C_C[:, c, c:, None] * h_n_D[:, None]).flatten(1)
            total[c, :, c:] += (h_n_D.T @ right).view(width, classes - c, width)
    for c in range(classes):
        for d in range(c):
            total[c, :, d] = total[d, :, c].T
    return total.view(classes * width, classes * width)


def inverse(matrix: Tensor) -> Tensor:
    """Inverse of a positive definite matrix, symmetric."""
    inverted = torch.cholesky_inverse(torch.linalg.cholesky(matrix))
    return 0.5 * (inverted + inverted.T)


def rank_one_batch(
    rows_N_D: Tensor, M: Tensor, F: Tensor, batch_size: int, oversample: float, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(b,) picks and (N,) first gains where the information of a point is the outer product of its row.

    `oversample` times the batch is taken greedily, then the picks that are missed least are put back. M (D, D) is the
    inverse information before, F (D, D) what is to be made small. O(N D) a pick.
    """
    M, rows_N_D = M.clone(), rows_N_D.double()
    rank_N = shuffled_ranks(len(rows_N_D), rng, rows_N_D.device)
    a_N, n_N = _quadratics(rows_N_D, M, F)
    first_N = n_N / (1 + a_N)
    scan = rows_N_D.float() if float(a_N.max()) < STEEP else rows_N_D

    def step(rows: Tensor, i: int, a_i: Tensor, sign: int) -> tuple[Tensor, Tensor]:
        """How a and n change when row i joins (sign 1) or leaves (-1)."""
        u = M @ rows_N_D[i] / (1 + sign * a_i).sqrt()
        Fu = F @ u
        v = M @ Fu
        shift = v - sign * 0.5 * (u @ Fu) * u
        one, two = rows.new_empty(len(rows)), rows.new_empty(len(rows))
        for part in tiles(len(rows), rows.element_size() * rows.shape[1], rows.device):
            torch.mv(rows[part], u.to(rows.dtype), out=one[part])  # two products while the rows are in the cache
            torch.mv(rows[part], shift.to(rows.dtype), out=two[part])
        M.addr_(u, u, alpha=-sign)
        one, two = one.double(), two.double()
        return -sign * one.square(), -sign * 2 * one * two

    picks: list[int] = []
    taken_N = torch.zeros_like(rank_N, dtype=torch.bool)
    for _ in range(_forward_count(len(rows_N_D), batch_size, oversample)):
        i, gain = best_of((n_N / (1 + a_N)).masked_fill(taken_N, -torch.inf), rank_N)
        if not gain > 0:
            break
        picks.append(i)
        taken_N[i] = True
        change_a, change_n = step(scan, i, rows_N_D[i] @ M @ rows_N_D[i], 1)
        a_N, n_N = (a_N + change_a).clamp_(min=0), (n_N + change_n).clamp_(min=0)
    if len(picks) > batch_size:
        chosen = torch.tensor(picks, device=rank_N.device)
        kept = rows_N_D[chosen]
        a, n = _quadratics(kept, M, F)

        def lost() -> Tensor:
            return torch.where(1 - a > 1e-12, n / (1 - a), torch.inf)

        def leave(at: int) -> None:
            nonlocal a, n
            change_a, change_n = step(kept, int(chosen[at]), a[at].clone(), -1)
            a, n = a + change_a, n + change_n

        picks = _drop(picks, batch_size, lost, leave)
    return filled(picks, batch_size, rank_N), first_N


def many_class_batch(
    weights_N_C: Tensor,
    probs_N_C: Tensor,
    embeddings_N_D: Tensor,
    M: Tensor,
    F: Tensor,
    batch_size: int,
    oversample: float,
    rng: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """As `rank_one_batch`, where the information of a point is P (x) h h' (see `class_information`) and M and F are
    (C D, C D). O(N C D R) a pick."""
    classes, width = probs_N_C.shape[1], embeddings_N_D.shape[1]
    M, h_N_D = M.clone(), embeddings_N_D
    rank_N = shuffled_ranks(len(probs_N_C), rng, probs_N_C.device)
    root_N_C, probs_N_C = weights_N_C.double().sqrt(), probs_N_C.double()
    # |S|^2 |h|^2 |M| bounds the variance of a point.
    steepest = h_N_D.double().square().sum(dim=1).max() * torch.linalg.matrix_norm(M, ord=1)
    dtype = torch.float32 if float(steepest) < STEEP else torch.float64

    def factor(i: int) -> Tensor:
        """(C D, R) root of the information of point i."""
        P = class_information(root_N_C[i : i + 1].square(), probs_N_C[i : i + 1])[0]
        values, vectors = torch.linalg.eigh(P)
        kept = values > 1e-12 * values.max().clamp(min=1e-300)
        root_C_R = vectors[:, kept] * values[kept].sqrt()
        return torch.einsum("cr,d->cdr", root_C_R, h_N_D[i].double()).reshape(classes * width, -1)

    def step(i: int, sign: int) -> Tensor:
        """(2 C R, D) directions that `move` takes, after which M knows that point i joined (1) or left (-1)."""
        V = factor(i)
        MV = M @ V
        G = torch.eye(V.shape[1], dtype=M.dtype, device=M.device) + sign * (V.T @ MV)
        U = torch.linalg.solve_triangular(torch.linalg.cholesky(0.5 * (G + G.T)), MV.T, upper=False).T
        FU = F @ U
        W = M @ FU - sign * 0.5 * U @ (U.T @ FU)
        M.addmm_(U, U.T, alpha=-sign)
        both = torch.stack([U, W]).view(2, classes, width, -1)
        return both.permute(0, 1, 3, 2).reshape(-1, width)

    def move(A: Tensor, B: Tensor, h_n_D: Tensor, directions: Tensor, sign: int) -> None:
        """A -= Z Z', B -= Y Z' + Z Y', with Z and Y (C, R, n) the two halves of directions times embeddings."""
        Z, Y = (directions.to(h_n_D.dtype) @ h_n_D.T).view(2, classes, -1, len(h_n_D))
        for r in range(Z.shape[1]):
            z, y = Z[:, r], Y[:, r]
            A.addcmul_(z[:, None], z[None], value=-sign)
            B.addcmul_(y[:, None], z[None], value=-sign).addcmul_(z[:, None], y[None], value=-sign)

    def score(rows: slice | Tensor, A: Tensor, B: Tensor, sign: int) -> Tensor:
        root_C_n, probs_C_n = root_N_C[rows].T.to(A.dtype), probs_N_C[rows].T.to(A.dtype)
        return _trace_ratio(_sandwich(A, root_C_n, probs_C_n), _sandwich(B, root_C_n, probs_C_n), sign)

    n = len(probs_N_C)
    h_N_D = h_N_D.to(dtype).contiguous()
    # One block of classes by classes for each tile of points, so that a pass stays in the cache.
    parts = list(tiles(n, h_N_D.element_size() * (width + 6 * classes**2), h_N_D.device))
    blocks = [_class_quadratics(h_N_D[part], M, F @ M, classes) for part in parts]
    first_N = torch.cat([score(part, *block, 1) for part, block in zip(parts, blocks, strict=True)]).double()
    gain_N = first_N.clone()
    picks: list[int] = []
    for _ in range(_forward_count(n, batch_size, oversample)):
        i, gain = best_of(gain_N, rank_N)
        if not gain > 0:
            break
        picks.append(i)
        directions = step(i, 1)
        for part, (A, B) in zip(parts, blocks, strict=True):
            move(A, B, h_N_D[part], directions, 1)
            gain_N[part] = score(part, A, B, 1).double()
        gain_N[picks] = -torch.inf
    if len(picks) > batch_size:
        chosen = torch.tensor(picks, device=rank_N.device)
        kept_D = embeddings_N_D[chosen].double()
        A, B = _class_quadratics(kept_D, M, F @ M, classes)

        def leave(at: int) -> None:
            move(A, B, kept_D, step(int(chosen[at]), -1), -1)

        picks = _drop(picks, batch_size, lambda: score(chosen, A, B, -1), leave)
    return filled(picks, batch_size, rank_N), first_N


def _class_quadratics(h_n_D: Tensor, M: Tensor, FM: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """(C, C, n) h' M_cc' h and h' (M F M)_cc' h."""
    n, width = h_n_D.shape
    made = []
    for matrix in (M, M @ FM):
        blocks = matrix.view(classes, width, classes, width)
        out = h_n_D.new_empty(classes, classes, n)
        for c in range(classes):
            for d in range(c, classes):
                out[c, d] = out[d, c] = ((h_n_D @ blocks[c, :, d].to(h_n_D.dtype)) * h_n_D).sum(dim=1)
        made.append(out)
    return made[0], made[1]


def _sandwich(X_C_C_n: Tensor, root_C_n: Tensor, probs_C_n: Tensor) -> Tensor:
    """S X S' of symmetric X, S = diag(root) (I - 1 p'), in O(C^2) a point."""
    along_C_n = (X_C_C_n * probs_C_n).sum(dim=1)
    centred = X_C_C_n - along_C_n[:, None] - along_C_n[None] + (along_C_n * probs_C_n).sum(dim=0)
    return centred.mul_(root_C_n[:, None]).mul_(root_C_n)


def _trace_ratio(A_C_C_n: Tensor, B_C_C_n: Tensor, sign: int) -> Tensor:
    """(n,) tr((I + sign A)^-1 B) by elimination of one class after the other, all points at once. Infinite where
    I + sign A is not positive definite. Overwrites B."""
    classes = len(A_C_C_n)
    G = A_C_C_n * sign
    G.diagonal(dim1=0, dim2=1).add_(1)
    total_n = G.new_zeros(G.shape[2])
    smallest_n = torch.full_like(total_n, torch.inf)
    for j in range(classes):
        pivot_n = G[j, j]
        smallest_n = torch.minimum(smallest_n, pivot_n)
        total_n += B_C_C_n[j, j] / pivot_n
        share = G[j + 1 :, j] / pivot_n
        half = B_C_C_n[j + 1 :, j] - 0.5 * B_C_C_n[j, j] * share
        G[j + 1 :, j + 1 :].addcmul_(share[:, None], G[None, j, j + 1 :], value=-1)
        rest = B_C_C_n[j + 1 :, j + 1 :]
        rest.addcmul_(share[:, None], half[None], value=-1).addcmul_(half[:, None], share[None], value=-1)
    return total_n.masked_fill_(~(smallest_n > 1e-12), torch.inf)


def _quadratics(rows_N_D: Tensor, M: Tensor, F: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) x' M x and x' M F M x."""
    a_N, n_N = rows_N_D.new_empty(len(rows_N_D)), rows_N_D.new_empty(len(rows_N_D))
    for part in tiles(len(rows_N_D), 16 * rows_N_D.shape[1], rows_N_D.device):
        seen = rows_N_D[part] @ M
        a_N[part] = (seen * rows_N_D[part]).sum(dim=1)
        n_N[part] = ((seen @ F) * seen).sum(dim=1)
    return a_N, n_N


def _forward_count(n: int, batch_size: int, oversample: float) -> int:
    return min(n, max(batch_size, round(oversample * batch_size)))


def shuffled_ranks(n: int, rng: torch.Generator, device: torch.device) -> Tensor:
    return torch.randperm(n, generator=rng).to(device)


def best_of(score_N: Tensor, rank_N: Tensor) -> tuple[int, float]:
    """Position and value of the largest score; among equal ones that of least rank."""
    best = float(score_N.max())
    near_N = score_N >= best - ALIKE * abs(best)
    return int(torch.where(near_N, rank_N, len(rank_N)).argmin()), best


def _drop(picks: list[int], keep: int, lost: Callable[[], Tensor], leave: Callable[[int], None]) -> list[int]:
    """The picks that stay, in order, when again and again the one that is missed least leaves."""
    there = torch.ones(len(picks), dtype=torch.bool)
    for _ in range(len(picks) - keep):
        missed = lost().double().cpu().masked_fill(~there, torch.inf)
        least = float(missed.min())
        if least == torch.inf:  # rounding has used up the information; the last ones in go first
            at = int(there.nonzero().flatten()[-1])
        else:
            at = int((missed <= least + ALIKE * abs(least)).nonzero().flatten()[-1])
            leave(at)
        there[at] = False
    return [pick for pick, stays in zip(picks, there.tolist(), strict=True) if stays]


def filled(picks: list[int], batch_size: int, rank_N: Tensor) -> Tensor:
    """(b,) the picks, and where they are too few points of no gain in random order."""
    chosen = torch.tensor(picks, dtype=torch.int64, device=rank_N.device)
    others = rank_N.index_fill(0, chosen, len(rank_N)).argsort()
    return torch.cat([chosen, others[: batch_size - len(picks)]])
