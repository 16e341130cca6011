"""Three criteria in one set: informative, representative and diverse points from a fixed-size DPP."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from sklearn.base import clone
from torch import Tensor

from autoal.errors import UnknownName
from autoal.outputs import PoolView
from autoal.rng import random_state
from autoal.strategies.base import Proposal, Strategy, ordered, random_ties
from autoal.strategies.parts.distances import centred, kmeans, nearest_centre, squared_distances, tiles, unit_rows
from autoal.strategies.parts.dpp import KDPP, condition_on, greedy_map, whiten_given
from autoal.strategies.parts.embeddings import pool_and_labeled
from autoal.strategies.parts.information import by_rows, entropy

__all__ = ["MultiCriteriaDPP", "committee_weights", "informativeness"]

DIRECT = 5_000
"""Pools up to this size go to the DPP whole."""
REFERENCES = 1_024
"""Points of the pool that a mean similarity or a median distance is taken over."""
PORTION = 500
"""Larger batches are drawn in portions, each given the ones before."""
LANDMARKS = 1_024
"""Most columns of an RBF kernel that its features are made from."""
TAU = 0.1
"""Nats of cross-validated loss over which a classifier's weight falls by e."""
NOISE = 1e-3
"""How exactly labeled points pin down what is around them."""


class MultiCriteriaDPP(Strategy):
    """Draws a batch from a k-DPP with kernel q_i s(x_i, x_j) q_j: q is high where a point is uncertain and typical of
    the pool, and the determinant keeps alike points apart, from each other and from the labeled ones.

    Our design. The paper's own formula is not public; from its abstract come the three criteria, the fixed-size DPP,
    the hardest point that is always in the batch, the weights of the classifiers, and clusters for large pools.

    `mode="sample"` keeps the likeliest of `tries` exact draws (above 100 points fewer, in proportion), `"map"` is
    greedy. `kernel` is `rbf` (Nystroem
    features, median distance) or `cosine`, whose rank is that of the embeddings. `committee="full"` fits a logistic
    regression, an SVM and a random forest to the labeled embeddings, weighted by cross-validated loss, and adds their
    disagreement; `"model"` is the task model alone. `alpha` is the weight of quality against diversity, `balance`
    that of informativeness against representativeness. Where the kernel has too small a rank the rest of the batch is
    filled by quality, from places not yet taken.
    """

    name = "mcdpp"
    family = "diversity"
    source = "after Zhan et al. 2021, arXiv 2107.01622"
    cost = "N K D + K^3, K = min(N, 10 b)"
    needs = frozenset({"log_probs", "embeddings"})
    draws = True

    def __init__(
        self,
        mode: str = "sample",
        committee: str = "model",
        kernel: str = "rbf",
        alpha: float = 4.0,
        balance: float = 0.5,
        disagreement: float = 1.0,
        condition_on_labeled: bool = True,
        tries: int = 10,
    ) -> None:
        self.mode = mode
        self.committee = committee
        self.kernel = kernel
        self.alpha = alpha
        self.balance = balance
        self.disagreement = disagreement
        self.condition_on_labeled = condition_on_labeled
        self.tries = tries

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        for name, value, known in (
            ("mode", self.mode, ("sample", "map")),
            ("committee", self.committee, ("model", "full")),
            ("kernel", self.kernel, ("rbf", "cosine")),
        ):
            if value not in known:
                raise UnknownName(name, value, known)
        raw = pool_and_labeled(view)
        pool_N_D, labeled_L_D = map(unit_rows, raw) if self.kernel == "cosine" else centred(*raw)
        width = _median_distance(pool_N_D, rng)

        log_probs_M_N_C, weights_M = self._judges(view, rng)
        information_N = informativeness(log_probs_M_N_C, weights_M, self.disagreement)
        likeness_N = _mean_similarity(pool_N_D, None if self.kernel == "cosine" else width, rng)
        mixed_N = _mid_ranks(information_N) ** self.balance * _mid_ranks(likeness_N) ** (1 - self.balance)
        log_quality_N = 0.5 * self.alpha * mixed_N

        hardest = random_ties(information_N, rng, 1)
        candidates = torch.arange(len(view), device=view.device)
        if len(view) > DIRECT:
            candidates = torch.cat([hardest, _cluster_candidates(pool_N_D, log_quality_N, batch_size, rng)]).unique()
        # By falling quality: draws then depend on the points, on their positions only where these are equal.
        candidates = candidates[random_ties(log_quality_N[candidates], rng)]
        quality_n = (log_quality_N[candidates] - log_quality_N[candidates].max()).exp()

        picks = hardest
        while len(picks) < batch_size:
            size = min(batch_size - len(picks), PORTION)
            given = pool_N_D[picks[1:]]  # empty at first: the hardest point is in the set, not beside it
            if self.condition_on_labeled:
                given = torch.cat([labeled_L_D, given])
            similar_n_F, given_L_F = _features(pool_N_D[candidates], given, width, self.kernel, size, rng)
            similar_n_F = whiten_given(similar_n_F, given_L_F, NOISE) if len(given) else similar_n_F
            scaled_n_F = similar_n_F * quality_n[:, None]
            taken = torch.isin(candidates, picks[1:])
            scaled_n_F[taken] = 0.0
            scaled_n_F = condition_on(scaled_n_F, (candidates == hardest).nonzero().flatten())
            drawn = candidates[_draw(scaled_n_F, size, self.mode, self.tries, rng)]
            if self.mode == "sample":
                drawn = drawn[log_quality_N[drawn].argsort(descending=True, stable=True)]
            picks = torch.cat([picks, drawn])
            if len(drawn) < size:  # the rank is used up
                break
        return ordered(_filled(picks, log_quality_N, raw[0], batch_size, rng), log_quality_N)

    def _judges(self, view: PoolView, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """(M, N, C) log probabilities of M classifiers and their weights (M,)."""
        own_N_C = view.pool.require("log_probs")
        if self.committee == "model" or len(view.labels.unique()) < 2:
            return own_N_C[None], own_N_C.new_ones(1, dtype=torch.float64)
        pool_N_D, labeled_L_D = (embeddings.cpu().double().numpy() for embeddings in pool_and_labeled(view))
        labels_L = view.labels.cpu().numpy()
        members = _classifiers(random_state(rng))
        weights_M = committee_weights(members, labeled_L_D, labels_L, view.num_classes, random_state(rng))
        probs_M_N_C = [_predict(member.fit(labeled_L_D, labels_L), pool_N_D, view.num_classes) for member in members]
        log_probs_M_N_C = torch.from_numpy(np.stack(probs_M_N_C)).log()
        return log_probs_M_N_C.to(own_N_C.device), torch.from_numpy(weights_M).to(own_N_C.device)


def informativeness(log_probs_M_N_C: Tensor, weights_M: Tensor, disagreement: float = 1.0) -> Tensor:
    """(N,) mean entropy of M weighted classifiers over log C, plus `disagreement` times their Jensen-Shannon
    divergence over log min(M, C)."""
    classifiers, _, classes = log_probs_M_N_C.shape
    if classes == 1:
        return log_probs_M_N_C.new_zeros(log_probs_M_N_C.shape[1], dtype=torch.float64)

    def mean_entropy(log_probs_n_M_C: Tensor) -> Tensor:
        return entropy(log_probs_n_M_C) @ weights_M

    def entropy_of_mean(log_probs_n_M_C: Tensor) -> Tensor:
        return entropy((log_probs_n_M_C + weights_M.log()[:, None]).logsumexp(dim=1))

    log_probs_N_M_C = log_probs_M_N_C.transpose(0, 1)
    mean_N = by_rows(mean_entropy, log_probs_N_M_C)
    if classifiers == 1 or disagreement == 0:
        return mean_N / math.log(classes)
    divergence_N = (by_rows(entropy_of_mean, log_probs_N_M_C) - mean_N).clamp(min=0)
    return mean_N / math.log(classes) + disagreement * divergence_N / math.log(min(classifiers, classes))


def committee_weights(
    classifiers: list[Any], inputs_L_D: np.ndarray, labels_L: np.ndarray, num_classes: int, random_state: int
) -> np.ndarray:
    """(M,) softmax of minus cross-validated log-loss over `TAU`; equal where L < 2 C.

    Up to five folds, fewer where a class has fewer points. The only point of a class is always trained on, never
    tested on.
    """
    from sklearn.model_selection import StratifiedKFold

    counts = np.bincount(labels_L, minlength=num_classes)
    tested = np.flatnonzero(counts[labels_L] > 1)
    if len(labels_L) < 2 * num_classes or len(np.unique(labels_L[tested])) < 2:
        return np.full(len(classifiers), 1 / len(classifiers))
    folds = StratifiedKFold(min(5, int(counts[counts > 1].min())), shuffle=True, random_state=random_state)
    losses = np.zeros(len(classifiers))
    for _, held in folds.split(tested, labels_L[tested]):
        test = tested[held]
        train = np.setdiff1d(np.arange(len(labels_L)), test)
        for m, classifier in enumerate(classifiers):
            probs = _predict(clone(classifier).fit(inputs_L_D[train], labels_L[train]), inputs_L_D[test], num_classes)
            losses[m] -= np.log(probs[np.arange(len(test)), labels_L[test]].clip(1e-12)).sum()
    weights = np.exp((losses.min() - losses) / (len(tested) * TAU))
    return weights / weights.sum()


def _classifiers(random_state: int) -> list[Any]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    return [
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
        make_pipeline(StandardScaler(), SVC()),
        RandomForestClassifier(50, random_state=random_state),
    ]


def _predict(classifier: Any, inputs_n_D: np.ndarray, num_classes: int) -> np.ndarray:
    """(n, C) probabilities, softmax of the margins where the classifier has no others; 0 for a class not seen."""
    if hasattr(classifier, "predict_proba"):
        seen = classifier.predict_proba(inputs_n_D)
    else:
        margins = classifier.decision_function(inputs_n_D)
        seen = softmax(margins if margins.ndim == 2 else np.stack([-margins, margins], axis=1) / 2, axis=1)
    probs = np.zeros((len(inputs_n_D), num_classes))
    probs[:, classifier.classes_] = seen
    return probs


def _mid_ranks(values_N: Tensor) -> Tensor:
    """(N,) rank over N, in (0, 1], larger for larger; equal values share the mean of their ranks."""
    _, level_N, count = torch.unique(values_N, return_inverse=True, return_counts=True)
    return (count.cumsum(0) - (count - 1) / 2)[level_N].double() / len(values_N)


def _median_distance(points_N_D: Tensor, rng: torch.Generator) -> float:
    """Median distance between points, over a sample; 1 where more than half of them coincide."""
    some = points_N_D[torch.randperm(len(points_N_D), generator=rng)[: REFERENCES // 2].to(points_N_D.device)]
    upper = torch.triu_indices(len(some), len(some), offset=1, device=some.device)
    distances = squared_distances(some, some)[upper[0], upper[1]]
    return float(distances.median().sqrt()) or 1.0 if len(distances) else 1.0


def _rbf(left_n_D: Tensor, right_m_D: Tensor, width: float) -> Tensor:
    return squared_distances(left_n_D, right_m_D).div_(-2 * width**2).exp_()


def _mean_similarity(points_N_D: Tensor, width: float | None, rng: torch.Generator) -> Tensor:
    """(N,) mean similarity to the pool: cosine where `width` is None, else RBF over at most `REFERENCES` of it."""
    if width is None:
        return (points_N_D @ points_N_D.mean(dim=0)).double()
    references = points_N_D[torch.randperm(len(points_N_D), generator=rng)[:REFERENCES].to(points_N_D.device)]
    mean_N = points_N_D.new_empty(len(points_N_D), dtype=torch.float64)
    for rows in tiles(len(points_N_D), 8 * len(references), points_N_D.device):
        mean_N[rows] = _rbf(points_N_D[rows], references, width).double().mean(dim=1)
    return mean_N


def _cluster_candidates(points_N_D: Tensor, log_quality_N: Tensor, batch_size: int, rng: torch.Generator) -> Tensor:
    """The best point and the one nearest to the centre of each of min(10 b, N / 5) clusters, 2 000 of them (b, for
    larger batches) at most. The centres come from a sample."""
    n, device = len(points_N_D), points_N_D.device
    count = min(10 * batch_size, n // 5, max(2_000, batch_size))
    sample = torch.randperm(n, generator=rng)[: 10 * count].to(device)
    centres, _, _ = kmeans(points_N_D[sample], count, rng, mini_batch=False, max_iterations=5)
    distance_N, cluster_N = nearest_centre(points_N_D, centres)
    chosen = []
    for key_N in (-log_quality_N, distance_N):
        order = random_ties(-key_N, rng)
        order = order[cluster_N[order].sort(stable=True).indices]
        first = torch.ones(n, dtype=torch.bool, device=device)
        first[1:] = cluster_N[order][1:] != cluster_N[order][:-1]
        chosen.append(order[first])
    return torch.cat(chosen)


def _features(
    points_n_D: Tensor, given_L_D: Tensor, width: float, kernel: str, size: int, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Rows whose inner products are the similarities, of the points and of the given ones, float64.

    For the RBF kernel Nystroem: exact with all points as landmarks, which are at least five a pick where they can be.
    """
    if kernel == "cosine":
        return points_n_D.double(), given_L_D.double()
    count = min(len(points_n_D), max(5 * size, 256), LANDMARKS)
    landmarks = points_n_D[torch.randperm(len(points_n_D), generator=rng)[:count].to(points_n_D.device)]
    values, vectors = torch.linalg.eigh(_rbf(landmarks, landmarks, width).double())
    keep = values > 1e-10 * values[-1]
    to_features = vectors[:, keep] / values[keep].sqrt()
    return tuple(_rbf(rows, landmarks, width).double() @ to_features for rows in (points_n_D, given_L_D))


def _draw(features_n_F: Tensor, size: int, mode: str, tries: int, rng: torch.Generator) -> Tensor:
    """At most `size` positions, fewer where the rank is smaller."""
    if mode == "map":
        return greedy_map(size, features=features_n_F)
    dpp = KDPP(features=features_n_F)
    size = min(size, dpp.rank)
    if size == 0:
        return torch.empty(0, dtype=torch.int64, device=features_n_F.device)
    sets = dpp.sample(size, rng, count=max(1, min(tries, tries * 100 // size)))
    if len(sets) == 1:
        return sets[0]
    rows = features_n_F[sets]
    return sets[torch.linalg.slogdet(rows @ rows.transpose(1, 2)).logabsdet.argmax()]


def _filled(picks: Tensor, log_quality_N: Tensor, raw_N_D: Tensor, batch_size: int, rng: torch.Generator) -> Tensor:
    """`picks` and the best of the rest, from places not yet taken as long as there are any."""
    missing = batch_size - len(picks)
    if missing == 0:
        return picks
    place_N = torch.unique(raw_N_D, dim=0, return_inverse=True)[1]
    rest = random_ties(log_quality_N, rng)
    rest = rest[~torch.isin(rest, picks)]
    # The first of each place in this order, places of picks left out; then everything else.
    order = place_N[rest].sort(stable=True).indices
    fresh = torch.ones(len(rest), dtype=torch.bool, device=rest.device)
    places = place_N[rest[order]]
    fresh[order[1:]] = places[1:] != places[:-1]
    fresh &= ~torch.isin(place_N[rest], place_N[picks])
    return torch.cat([picks, rest[fresh], rest[~fresh]])[:batch_size]
