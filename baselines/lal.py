"""LAL: a regressor, trained on made-up tasks, predicts how much the label of a point would help."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from autoal.anchor.space import geometry
from autoal.rng import derive_seed, numpy_rng, random_state
from autoal.selectors.base import RoundState, Selection
from autoal.selectors.portfolio import NamedCandidate
from autoal.strategies.base import ordered

from .rival import CLASSES_ONLY, Memory, Rival, best, check_option

__all__ = ["LAL", "base_forest", "features", "synthetic_gains", "train_regressor"]

Floats = NDArray[np.float64]
TREES = 50


def base_forest(x: Floats, y: NDArray[np.int64], seed: int) -> RandomForestClassifier:
    """The base learner: a random forest of 50 trees."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # with a handful of points some have no out-of-bag score
        return RandomForestClassifier(TREES, oob_score=True, random_state=seed, n_jobs=1).fit(x, y)


def features(
    forest: RandomForestClassifier, x_labeled: Floats, y_labeled: NDArray[np.int64], x: Floats, num_classes: int,
    wide: bool,
) -> Floats:  # fmt: skip
    """(n, 8), or (n, 10) where `wide`, which is how more than two classes are described.

    Mean and sd over trees of the probability of class 0 (wide: of the first and of the second class by mean
    probability); share of class 1 in L (wide: entropy of the classes of L over ln C); out-of-bag accuracy; sd
    of the feature importances over the number of inputs; mean over the points of the (first) sd; mean depth; |L|.
    """
    by_tree = np.stack([tree.predict_proba(x) for tree in forest.estimators_])
    trees = np.zeros((*by_tree.shape[:2], num_classes))
    trees[:, :, forest.classes_.astype(int)] = by_tree
    mean, deviation = trees.mean(0), trees.std(0)
    shares = np.bincount(y_labeled, minlength=num_classes) / len(y_labeled)
    if not wide:
        own, share = [mean[:, 0], deviation[:, 0]], shares[1]
    else:
        top = np.argsort(-mean, axis=1, kind="stable")[:, :2]
        firsts, seconds = np.take_along_axis(mean, top, 1).T, np.take_along_axis(deviation, top, 1).T
        own = [firsts[0], seconds[0], firsts[1], seconds[1]]
        share = -np.sum(shares * np.log(np.where(shares > 0, shares, 1.0))) / np.log(num_classes)
    spread = forest.feature_importances_.std() / x_labeled.shape[1]
    depth = np.mean([tree.get_depth() for tree in forest.estimators_])
    state = [share, forest.oob_score_, spread, own[1].mean(), depth, len(y_labeled)]
    return np.column_stack([*own, *(np.full(len(x), value) for value in state)])


def synthetic_gains(tasks: int, points: int, multiclass: bool) -> tuple[Floats, Floats]:
    """Features (tasks * points, 8 or 10), and by how much the label of each point lowers the test error.

    A task is two Gaussians in the plane, of random means and covariances, the share of class 0 between 10 and 90 %,
    with 10 to 50 random labels ("independent"); `points` of its pool are tried one by one, always with the same
    forest seed. The multi-class features are worked out on the same two classes, as if there were more.
    """
    rng = numpy_rng(0, "LAL", "synthetic tasks")
    rows, gains = [], []
    for task in range(tasks):
        x, y = _gaussians(rng, 600)
        start = int(rng.integers(10, 51))
        order = rng.permutation(200)
        # One label of each class comes first, so that the forest has something to tell apart.
        order = np.concatenate([order[[np.argmax(y[order] == 0), np.argmax(y[order] == 1)]], order])
        order = order[np.sort(np.unique(order, return_index=True)[1])]
        labeled, pool = order[:start], order[start:]
        seed = derive_seed(0, "LAL", "forest", task) % 2**31
        forest = base_forest(x[labeled], y[labeled], seed)
        before = 1 - forest.score(x[200:], y[200:])
        # The other features are means over the pool, so that all of it goes in.
        described = features(forest, x[labeled], y[labeled], x[pool], 2, multiclass)
        for k in range(min(points, len(pool))):
            grown = np.append(labeled, pool[k])
            after = 1 - base_forest(x[grown], y[grown], seed).score(x[200:], y[200:])
            rows.append(described[k])
            gains.append(before - after)
    return np.array(rows), np.array(gains)


def _gaussians(rng: np.random.Generator, n: int) -> tuple[Floats, NDArray[np.int64]]:
    """n points of two Gaussians, both classes among the first 200."""
    share = rng.uniform(0.1, 0.9)
    y = (rng.random(n) >= share).astype(np.int64)
    y[:2] = [0, 1]
    x = np.empty((n, 2))
    for c in (0, 1):
        mixing = rng.normal(size=(2, 2))
        x[y == c] = rng.normal(size=(int((y == c).sum()), 2)) @ mixing + rng.uniform(-1.5, 1.5, 2)
    return x, y


@functools.lru_cache(maxsize=8)
def train_regressor(tasks: int, points: int, trees: int, multiclass: bool) -> RandomForestRegressor:
    """The regressor: a random forest of depth 40 that looks at 6 features in a split. The same in every process."""
    x, gains = synthetic_gains(tasks, points, multiclass)
    seed = derive_seed(0, "LAL", "regressor") % 2**31
    return RandomForestRegressor(trees, max_depth=40, max_features=6, random_state=seed, n_jobs=1).fit(x, gains)


class LAL(Rival):
    """Learning active learning, `LAL-independent`: buys the points for which a regressor predicts the largest drop of
    the test error. The regressor is trained once per process on `synthetic_tasks` made-up tasks with `points` tried in
    each; it is a function of these numbers alone, so that nothing needs to be kept.

    It chooses points and not candidates, so it takes none. The base learner is a forest of its own on the embeddings.
    The paper's regressor has 2,000 trees and a grid of thousands of tasks; our defaults take seconds, and are small.
    `LAL-iterative`, whose tasks label as the regressor of the size before would, is not built. For more than two
    classes the features are ours, after the first two classes (see `features`).
    """

    name = "lal"
    source = "Konyushkova, Sznitman and Fua, NIPS 2017, arXiv 1703.03365"
    cost = "0; a forest of 50 trees, and a regressor once per process"
    tasks = CLASSES_ONLY
    reads = frozenset({"embeddings"})

    def __init__(self, synthetic_tasks: int = 20, points: int = 8, trees: int = 200) -> None:
        super().__init__(["random"])
        for option, value in (("synthetic_tasks", synthetic_tasks), ("points", points), ("trees", trees)):
            check_option(option, value, 1, 1e6, whole=True)
        self.synthetic_tasks, self.points, self.trees = synthetic_tasks, points, trees

    def _play(
        self, state: RoundState, portfolio: list[NamedCandidate], batch_size: int, memory: Memory
    ) -> tuple[Selection, Memory]:
        view = state.view
        x_labeled, x = (geometry(side).double().cpu().numpy() for side in (view.labeled, view.pool))
        y = view.labels.cpu().numpy()
        # Trees see labeled points by id, so that their bootstraps do too.
        by_id: Any = state.labeled_ids.argsort().numpy()
        forest = base_forest(x_labeled[by_id], y[by_id], random_state(self._rng(state)))
        regressor = train_regressor(self.synthetic_tasks, self.points, self.trees, view.num_classes > 2)
        found = features(forest, x_labeled, y, x, view.num_classes, view.num_classes > 2)
        # Rounded: a sum over the pool in another order is another sum in the last digit.
        gains = torch.from_numpy(regressor.predict(found.round(9)).round(12))
        picked = best(gains, state.pool_ids, batch_size)
        return Selection(picked, ordered(picked, gains).scores), {}
