"""How much a point looks like the labeled ones: larger is more in distribution. Axes: N pool, L labeled, D embedding.

Every score is float64, finite, and says nothing (all equal) where no point is labeled.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from autoal.compute import chunks
from autoal.errors import InvalidInput

__all__ = ["gmm_confidence", "knn_confidence", "mahalanobis_confidence", "relative_confidence"]


def _nearest(points_N_D: Tensor, centers_M_D: Tensor, k: int = 1) -> Tensor:
    """(N,) distance to the k-th nearest center, both float64; differences, not dot products, where M is small."""
    nearest = points_N_D.new_empty(len(points_N_D))
    for part in chunks(len(points_N_D), 8.0 * len(centers_M_D)):
        distances = torch.cdist(points_N_D[part], centers_M_D)
        nearest[part] = distances.min(dim=1).values if k == 1 else distances.kthvalue(k, dim=1).values
    return nearest


def mahalanobis_confidence(
    pool_N_D: Tensor, labeled_L_D: Tensor, labels_L: Tensor, ridge: float | str = 1e-3
) -> Tensor:
    """(N,) minus half the squared Mahalanobis distance to the nearest class mean, shifted so that the least is 0.

    Lee et al. 2018, arXiv 1807.03888, on one layer: one covariance S for all classes, from the points around their
    class means, with `ridge` tr(S)/D on its diagonal because it is singular for L < D, or mixed with tr(S)/D as much as
    Ledoit and Wolf 2004 advise (`ridge="ledoit_wolf"`). A class with one point gives a mean only.
    Cost O((L + N) D^2 + D^3).
    """
    if len(labels_L) == 0:
        return pool_N_D.new_zeros(len(pool_N_D), dtype=torch.float64)
    means, factor = _tied(labeled_L_D.double(), torch.unique(labels_L, return_inverse=True)[1], ridge)
    whitened_means = torch.linalg.solve_triangular(factor, means.T, upper=False).T
    distance = means.new_empty(len(pool_N_D))
    for part in chunks(len(pool_N_D), 24.0 * pool_N_D.shape[1]):
        whitened = torch.linalg.solve_triangular(factor, pool_N_D[part].double().T, upper=False).T
        distance[part] = _nearest(whitened, whitened_means)
    score = -0.5 * distance.square()
    return score - score.min()


def relative_confidence(
    pool_N_D: Tensor,
    labeled_L_D: Tensor,
    labels_L: Tensor,
    rejected_R_D: Tensor,
    ridge: float | str = "ledoit_wolf",
) -> Tensor:
    """(N,) half of what the squared Mahalanobis distance to the mean of the rejected points exceeds that to the nearest
    class mean by: above 0 for points that are more like a known class. Not shifted.

    Ours, after the score of Lee et al. 2018: the rejected are one more class under the one covariance S of all, with
    `ridge` as in `mahalanobis_confidence`. The squares cancel, which leaves for class c with mean m_c, and the mean r
    of the rejected, (m_c - r)^T S^-1 (x - (m_c + r) / 2), largest over c. All 0 where no point is labeled or none
    rejected. Cost O((L + R) D^2 + D^3 + N C D).
    """
    if len(labels_L) == 0 or len(rejected_R_D) == 0:
        return pool_N_D.new_zeros(len(pool_N_D), dtype=torch.float64)
    member_L = torch.unique(labels_L, return_inverse=True)[1]
    member = torch.cat([member_L, (member_L.max() + 1).expand(len(rejected_R_D))])
    means, factor = _tied(torch.cat([labeled_L_D.double(), rejected_R_D.double()]), member, ridge)
    away_C_D = means[:-1] - means[-1]
    slopes_C_D = torch.cholesky_solve(away_C_D.T, factor).T
    # From the mean of the rejected, so that no large offset of all embeddings is subtracted from another.
    halves_C = 0.5 * (slopes_C_D * away_C_D).sum(dim=1)
    score = means.new_empty(len(pool_N_D))
    for part in chunks(len(pool_N_D), 16.0 * pool_N_D.shape[1]):
        score[part] = ((pool_N_D[part].double() - means[-1]) @ slopes_C_D.T - halves_C).amax(dim=1)
    return score


def _tied(points_n_D: Tensor, member_n: Tensor, ridge: float | str) -> tuple[Tensor, Tensor]:
    """(K, D) means of the classes `member_n`, 0..K-1, and the Cholesky factor (D, D) of their one covariance."""
    means = points_n_D.new_zeros(int(member_n.max()) + 1, points_n_D.shape[1]).index_add_(0, member_n, points_n_D)
    means /= torch.bincount(member_n).double()[:, None]
    centred = points_n_D - means[member_n]
    covariance = centred.T @ centred / len(centred)
    scale = float(covariance.diagonal().mean())
    if isinstance(ridge, str):
        if ridge != "ledoit_wolf":
            raise InvalidInput(f"got ridge={ridge!r}; wanted a number or 'ledoit_wolf'")
        from sklearn.covariance import ledoit_wolf_shrinkage

        shrinkage = float(ledoit_wolf_shrinkage(centred.cpu().numpy(), assume_centered=True)) if scale > 0 else 0.0
        covariance *= 1 - shrinkage
        ridge = max(shrinkage, 1e-9)
    if scale == 0:  # one point per class, or all equal: nothing is known of the shape
        covariance, scale = torch.eye(len(covariance), dtype=torch.float64, device=covariance.device), 1.0
    covariance.diagonal().add_(ridge * scale)
    return means, torch.linalg.cholesky(covariance)


def gmm_confidence(
    pool_N_D: Tensor,
    labeled_L_D: Tensor,
    labels_L: Tensor,
    random_state: int,
    max_components: int = 9,
    ridge: float = 1e-3,
) -> Tensor:
    """(N,) largest minus own Mahalanobis distance to the nearest component of Gaussian mixtures, one per class.

    A mixture has the number of components, below the number of points, with the least BIC; a class with one point has
    none. Where no class has two, the tied Mahalanobis score instead. Full covariances with `ridge` times the mean
    variance of the class on the diagonal.
    """
    from sklearn.mixture import GaussianMixture

    pool, labeled, labels = (t.cpu().double().numpy() for t in (pool_N_D, labeled_L_D, labels_L))
    nearest = np.full(len(pool), np.inf)
    for c in np.unique(labels):
        points = labeled[labels == c]
        if len(points) < 2:
            continue
        floor = max(ridge * float(points.var(axis=0).mean()), 1e-12)
        fits = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than components
            for components in range(1, min(max_components, len(points) - 1) + 1):
                mixture = GaussianMixture(components, reg_covar=floor, random_state=random_state)
                fits.append(mixture.fit(points))
        chosen = min(fits, key=lambda fit: float(fit.bic(points)))
        for mean, factor in zip(chosen.means_, chosen.precisions_cholesky_, strict=True):
            for part in chunks(len(pool), 16.0 * pool.shape[1]):
                squared = np.square((pool[part] - mean) @ factor).sum(axis=1)
                nearest[part] = np.minimum(nearest[part], np.sqrt(squared))
    if not np.isfinite(nearest).all():
        return mahalanobis_confidence(pool_N_D, labeled_L_D, labels_L, ridge)
    return torch.from_numpy(nearest.max() - nearest).to(pool_N_D.device)


def knn_confidence(pool_N_D: Tensor, labeled_L_D: Tensor, k: int = 5) -> Tensor:
    """(N,) minus the distance to the k-th nearest labeled point, of whatever class; the last one where L < k."""
    if len(labeled_L_D) == 0:
        return pool_N_D.new_zeros(len(pool_N_D), dtype=torch.float64)
    return -_nearest(pool_N_D.double(), labeled_L_D.double(), min(k, len(labeled_L_D)))
