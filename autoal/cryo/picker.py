"""CryoMAE: finds the particles of micrographs from few marks in one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from autoal.compute import resolve_device
from autoal.cryo.checks import check_parameters, each, marks_of
from autoal.cryo.encoding import AT_ONCE, encoded, encoded_turned, scores_of
from autoal.cryo.exemplars import drawn, for_each, recentred, reference
from autoal.cryo.peaks import Peaks, Picks, ScoreMap, best_threshold, find_peaks, score_at, threshold_of
from autoal.cryo.pictures import Prepared, check_diameter, prepare
from autoal.cryo.training import Recipe, Reference, train
from autoal.cryo.windows import grid, slices, windows
from autoal.errors import InvalidInput, NotFitted
from autoal.models.masked import MaskedAutoencoder
from autoal.rng import derive_seed, fresh_seed, isolated

__all__ = ["CryoMAE"]

Floats = NDArray[np.floating[Any]]
OF_WINDOW = 23 / 32
"""Diameter of the particle in sides of a window."""
ENOUGH = 10
"""Labeled windows of each kind from which on they say where the threshold is."""
FEW = 5
"""Exemplars below which they do not say what a particle scores."""
NEARBY = 0.3
"""Diameters about a labeled place in which its score is looked for: people do not hit the middle."""


class CryoMAE(BaseEstimator):
    """Few-shot particle picking with a masked autoencoder whose features are made alike for the marked particles.

    After "CryoMAE: Few-Shot Cryo-EM Particle Picking with Masked Autoencoders" (Xu, Zhan, Xu, arXiv 2404.10178), of
    which neither code nor formulas are public: the shape of the method is theirs, the loss and all numbers are ours.
    docs/cryo-em.md says what it is worth, and where a plain template is better.

    Parameters
    ----------
    diameter : float
        Of a particle, in pixels of the micrographs.
    exemplars : int
        How many of the marks are used, drawn at random, where `fit` gets more.
    steps, batch, lr
        Training: `batch` windows of exemplars and as many others in a step.
    lam, tau, pi, near : float
        Weight and temperature of the similarity loss; share of the unlabeled windows that may hold a particle; share of
        them replaced by off-centre copies of an exemplar.
    crop, patch, mask_ratio, width, depth, heads
        The network. `crop` is the side of a window after scaling; it spans 1.4 diameters.
    stride : float
        Diameters between the windows of a score map.
    similarity : "mean" | "top3"
        A window's score is its mean cosine to all exemplars, or to the three nearest ones.
    recentre : bool
        Whether each exemplar is first moved, by at most a fifth of a diameter, to where it correlates best with the
        rotational average of the others: where marks were set by hand and in haste.
    device : "auto" | "cpu" | "cuda" | ...
    random_state : int or None
        The same seed gives the same picks on a CPU, also of a micrograph in other units (a x + b with a > 0).
    progress : callable(done, total) or None
        Called after each step of training.

    Attributes
    ----------
    net_ : the trained MaskedAutoencoder
    references_ : (m, width) unit features of the exemplars, each the mean of eight turns
    floor_ : the score that half of the exemplars have in their own micrograph, and that the best peak of another must
        reach for it to hold any particle; -1 with fewer than five exemplars
    labels_threshold_ : the threshold that `calibrate` found; None before
    history_ : a dict for each step, with both parts of the loss
    """

    def __init__(
        self,
        diameter: float,
        exemplars: int = 15,
        steps: int = 300,
        *,
        batch: int = 32,
        lr: float = 1.5e-3,
        lam: float = 0.5,
        tau: float = 0.2,
        pi: float = 0.2,
        near: float = 0.3,
        crop: int = 32,
        patch: int = 8,
        mask_ratio: float = 0.75,
        width: int = 96,
        depth: int = 3,
        heads: int = 3,
        stride: float = 0.125,
        similarity: str = "mean",
        recentre: bool = False,
        device: str | torch.device = "auto",
        random_state: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.diameter = diameter
        self.exemplars = exemplars
        self.steps = steps
        self.batch = batch
        self.lr = lr
        self.lam = lam
        self.tau = tau
        self.pi = pi
        self.near = near
        self.crop = crop
        self.patch = patch
        self.mask_ratio = mask_ratio
        self.width = width
        self.depth = depth
        self.heads = heads
        self.stride = stride
        self.similarity = similarity
        self.recentre = recentre
        self.device = device
        self.random_state = random_state
        self.progress = progress

    def fit(self, micrograph: Any, centres: Any, negatives: Any = None) -> Self:
        """Trains on a micrograph (h, w) and the `centres` (m, 2) of some of its particles, rows and columns in pixels.

        `negatives` (k, 2) are places known to hold no centred particle. Several references: a list of micrographs, and
        a list of arrays for each. Raises InvalidInput for marks at the border or without number, for a diameter that
        cannot be right, and for a picture that is none.
        """
        check_parameters(self.get_params())
        check_diameter(self.diameter)
        pictures, alone = each(micrograph)
        marks = [centres] if alone else for_each(centres, len(pictures), "centres")
        known = [negatives] if alone else for_each(negatives, len(pictures), "negatives")
        seed = fresh_seed() if self.random_state is None else int(self.random_state)
        device = resolve_device(self.device)
        references = [
            reference(*given, self.diameter, self._scaled) for given in zip(pictures, marks, known, strict=True)
        ]
        references = drawn(references, self.exemplars, seed)
        if self.recentre:
            references = recentred(references, self._scaled)
        with isolated(derive_seed(seed, "cryo weights")):
            net = MaskedAutoencoder(
                self.crop, self.patch, self.width, self.depth, self.heads, mask_ratio=self.mask_ratio
            ).to(device)
        recipe = Recipe(self.steps, self.batch, self.lam, self.tau, self.pi, self.near, self.lr)
        self.history_ = train(net, references, self._scaled, recipe, seed, device, self.progress)
        self.net_ = net
        self.references_ = np.concatenate([encoded_turned(net, one.pixels, one.exemplars) for one in references])
        self.labels_threshold_: float | None = None
        self.floor_ = self._floor(pictures, references)
        return self

    def calibrate(self, micrograph: Any, positives: Any, negatives: Any) -> Self:
        """Sets the threshold to the one with the best F1 on labeled places, (n, 2) rows and columns: of particles, and
        of what is none. Not the exemplars: a network scores what it was trained on too high.

        Several micrographs: lists, as in `fit`. Raises InvalidInput with fewer than ten of either kind.
        """
        self._check_fitted()
        pictures, alone = each(micrograph)
        right = [positives] if alone else for_each(positives, len(pictures), "positives")
        wrong = [negatives] if alone else for_each(negatives, len(pictures), "negatives")
        values: tuple[list[Floats], list[Floats]] = ([], [])
        for picture, *both in zip(pictures, right, wrong, strict=True):
            if any(given is not None and len(given) for given in both):
                scores = self.score(picture)
                for told, given in zip(values, both, strict=True):
                    told.append(score_at(scores, marks_of([] if given is None else given), NEARBY * self.diameter))
        own, known = (np.concatenate([np.zeros(0), *told]) for told in values)
        if min(len(own), len(known)) < ENOUGH:
            raise InvalidInput(
                f"got {len(own)} particles and {len(known)} places without one; wanted {ENOUGH} or more of each "
                "kind to set a threshold by"
            )
        self.labels_threshold_ = best_threshold(own, known)
        return self

    def embed(self, micrographs: Any, centres: Any) -> NDArray[np.float32]:
        """(n, width) unit features of the windows about `centres`: (n, 2) rows and columns in one micrograph, or (n, 3)
        with the number of the micrograph first, in several."""
        self._check_fitted()
        pictures, _ = each(micrographs)
        given = np.asarray(centres, dtype=np.float64)
        if given.ndim == 2 and given.shape[1] == 2 and len(pictures) == 1:
            given = np.column_stack([np.zeros(len(given)), given])
        if given.ndim != 2 or given.shape[1] != 3:
            raise InvalidInput(
                f"got centres of shape {given.shape} for {len(pictures)} micrographs; wanted (n, 3): micrograph, row, "
                "column, or (n, 2) with one micrograph"
            )
        owner = given[:, 0].astype(np.int64)
        if len(given) and (owner.min() < 0 or owner.max() >= len(pictures)):
            raise InvalidInput(f"got micrographs {owner.min()} to {owner.max()}; there are {len(pictures)}, from 0 on")
        out = np.zeros((len(given), self.width), dtype=np.float32)
        for number in np.unique(owner):
            prepared = self._prepared(pictures[number], f"micrograph {number}")
            mine = owner == number
            out[mine] = encoded(
                self.net_, windows(prepared.pixels, prepared.inside(marks_of(given[mine, 1:])), self.crop)
            )
        return out

    def features(self, micrograph: Any) -> tuple[NDArray[np.float32], ScoreMap]:
        """(h, w, width) unit features on the grid of `score`, for a model of one's own; and where they are, as a map
        of the scores."""
        self._check_fitted()
        prepared = self._prepared(micrograph, "micrograph")
        step = max(1, round(self.stride * self._scaled))
        rows, columns = grid(prepared.pixels.shape, step)
        parts = [encoded(self.net_, part) for part in slices(prepared.pixels, self.crop, step, AT_ONCE)]
        features = np.concatenate(parts).reshape(len(rows), len(columns), -1)
        outer = [prepared.outside(np.column_stack([line, line]))[:, axis] for axis, line in enumerate((rows, columns))]
        shape = np.shape(micrograph)
        scores = scores_of(features, self.references_, self.similarity)
        return features, ScoreMap(scores, outer[0], outer[1], (shape[0], shape[1]))

    def score(self, micrograph: Any) -> ScoreMap:
        """How like the exemplars each place of a micrograph is, in cosines, on a grid of an eighth of a diameter."""
        return self.features(micrograph)[1]

    def peaks(self, micrograph: Any) -> Peaks:
        """Every place that may be a particle, best first, before any threshold."""
        return find_peaks(self.score(micrograph), self.diameter)

    def pick(self, micrograph: Any, threshold: float | None = None) -> Picks:
        """The particles of a micrograph, best first; none nearer to its border than half a diameter.

        The threshold is that of `calibrate`; else the valley in the density of the peaks' scores, or Otsu's.
        `threshold` sets another. Where no peak reaches `floor_` there are no picks: the rule is then "empty".
        """
        return self.cut(self.peaks(micrograph), threshold)

    def cut(self, peaks: Peaks, threshold: float | None = None) -> Picks:
        """Picks of peaks that are there already."""
        self._check_fitted()
        if threshold is not None:
            bound, rule = float(threshold), "given"
        elif not len(peaks) or peaks.scores[0] < self.floor_:
            bound, rule = self.floor_, "empty"
        elif self.labels_threshold_ is not None:
            bound, rule = self.labels_threshold_, "labels"
        else:
            bound, rule = threshold_of(peaks.scores)
        kept = peaks.scores >= bound
        return Picks(peaks.centres[kept], peaks.scores[kept], bound, rule)

    # --- parts ------------------------------------------------------------------------------------------------

    @property
    def _scaled(self) -> float:
        return OF_WINDOW * self.crop

    def _prepared(self, micrograph: Any, what: str) -> Prepared:
        return prepare(micrograph, float(self.diameter), self._scaled, what)

    def _floor(self, pictures: list[Any], references: list[Reference]) -> float:
        if sum(len(one.exemplars) for one in references) < FEW:
            return -1.0
        own = []
        for picture, one in zip(pictures, references, strict=True):
            if len(one.exemplars):
                there = self._prepared(picture, "micrograph").outside(one.exemplars)
                own.append(score_at(self.score(picture), there, NEARBY * self.diameter))
        return float(np.median(np.concatenate(own)))

    def _check_fitted(self) -> None:
        if not hasattr(self, "net_"):
            raise NotFitted("CryoMAE was used before fit; call fit(micrograph, centres) first")
