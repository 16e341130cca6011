"""Windows of micrographs as a pool: which there are, which show the same thing, what one costs, which to ask for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from autoal.cryo.checks import each, marks_of, refuse_at_border
from autoal.cryo.peaks import inside, spaced
from autoal.cryo.picker import CryoMAE
from autoal.cryo.pictures import Prepared, check_diameter, prepare
from autoal.errors import InvalidInput, PoolExhausted, shown
from autoal.rng import numpy_rng

__all__ = ["BACKGROUND", "FOREIGN", "PARTICLE", "UNLABELED", "WindowPool", "answers"]

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
PARTICLE, BACKGROUND, FOREIGN, UNLABELED = 1, 0, 2, -1
SCALED = 23.0
SCALES = (1.0, 0.6)
APART = 0.5
FIRST = 3
"""Windows drawn at random as long as no background is known."""
HIT, HALF = 0.3, 0.6
TOP = 10
"""Windows whose utility speaks for a micrograph."""


class WindowPool:
    """Candidate windows of several micrographs: a pool of up to 2 x `most` + `random` a micrograph.

    Not every window: nineteen of twenty are plain background, and how well random choice does hangs on that. Local
    maxima of a Laplacian of a Gaussian at one and at 0.6 diameters, bright and dark, at least half a diameter apart,
    up to `most` of each scale; and `random` others. `marks` (k, 3), micrograph, row and column, come first: what is
    labeled already. A fitted `picker` adds its best peaks, up to twice `most`: well centred, and its mistakes among
    them, where blobs of one size are a poor guess at the particle.

    Attributes
    ----------
    centres : (n, 3) float64, micrograph, row and column of each window
    group : (n,) int64, the micrograph of each
    kind : (n,) "mark", "peak" or "random"
    """

    def __init__(
        self,
        micrographs: Any,
        diameter: float,
        candidates: Literal["peaks+random", "peaks", "random"] = "peaks+random",
        *,
        marks: Any = None,
        picker: CryoMAE | None = None,
        most: int = 120,
        random: int = 60,
        random_state: int = 0,
    ) -> None:
        if candidates not in ("peaks+random", "peaks", "random"):
            raise InvalidInput(f"got candidates={shown(candidates)}; wanted 'peaks+random', 'peaks' or 'random'")
        self.diameter = check_diameter(diameter)
        pictures, _ = each(micrographs)
        known = np.zeros((0, 3)) if marks is None else np.asarray(marks, dtype=np.float64)
        if known.ndim != 2 or known.shape[1] != 3:
            raise InvalidInput(f"got marks of shape {known.shape}; wanted (k, 3): micrograph, row, column")
        if len(known) and not (np.isin(known[:, 0], range(len(pictures))).all()):
            raise InvalidInput(
                f"got marks in micrographs {np.unique(known[:, 0])}; there are {len(pictures)}, from 0 on"
            )
        parts, kinds = [known], ["mark"] * len(known)
        for number, picture in enumerate(pictures):
            prepared = prepare(picture, self.diameter, SCALED, f"micrograph {number}")
            shape = (np.shape(picture)[0], np.shape(picture)[1])
            mine = known[known[:, 0] == number, 1:]
            refuse_at_border(marks_of(mine), shape, self.diameter, f"marks in micrograph {number}")
            rng = numpy_rng(random_state, "cryo pool", number)
            found = _maxima(prepared, shape, self.diameter, most) if "peaks" in candidates else np.zeros((0, 2))
            if picker is not None:
                found = np.concatenate([picker.peaks(picture).centres[: 2 * most], found])
                found = found[spaced(found, APART * self.diameter)]
            low, high = self.diameter / 2, np.asarray(shape) - 1 - self.diameter / 2
            anywhere = low + rng.random((random if "random" in candidates else 0, 2)) * (high - low)
            for kind, centres in (("peak", found), ("random", anywhere)):
                parts.append(np.column_stack([np.full(len(centres), number), centres]))
                kinds += [kind] * len(centres)
        self.centres = np.concatenate(parts)
        self.kind = np.asarray(kinds, dtype="<U6")
        self._index()

    def _index(self) -> None:
        self.group: Ints = self.centres[:, 0].astype(np.int64)
        # Micrographs side by side, too far apart to touch.
        self._flat = self.centres[:, 1:] + self.group[:, None] * np.asarray([[1e7, 0.0]])
        self._tree = cKDTree(self._flat) if len(self._flat) else None

    def __len__(self) -> int:
        return len(self.centres)

    def __repr__(self) -> str:
        counts = ", ".join(f"{int((self.kind == kind).sum())} {kind}" for kind in ("mark", "peak", "random"))
        return f"WindowPool({len(self)} windows of {len(np.unique(self.group))} micrographs: {counts})"

    def kept(self, rows: Any) -> WindowPool:
        """The pool of these windows alone, in this order; `rows` are numbers or a mask."""
        out = object.__new__(type(self))
        out.diameter = self.diameter
        out.centres, out.kind = self.centres[rows], self.kind[rows]
        out._index()
        return out

    def overlaps(self, row: int) -> Ints:
        """Windows within one diameter of window `row`, itself not among them: they show much the same."""
        near = [] if self._tree is None else self._tree.query_ball_point(self._flat[row], self.diameter)
        return np.asarray(sorted(set(near) - {int(row)}), dtype=np.int64)

    def blocked(self, rows: Iterable[int]) -> Ints:
        """Those windows and all that overlap one of them."""
        out: set[int] = set()
        for row in rows:
            out |= {int(row), *self.overlaps(int(row)).tolist()}
        return np.asarray(sorted(out), dtype=np.int64)

    def thinned(self) -> WindowPool:
        """No two windows within a diameter of one another: marks stay, then peaks, then random ones."""
        order = np.argsort([{"mark": 0, "peak": 1, "random": 2}[kind] for kind in self.kind], kind="stable")
        return self.kept(np.sort(order[spaced(self._flat[order], self.diameter)]))

    def costs(self, opened: Iterable[int], *, opening: float = 5.0, batch_size: int = 1) -> Floats:
        """(n,) price of a window: 1, and in a micrograph not yet opened its share of `opening`, which a batch pays
        once."""
        if not opening >= 0 or batch_size < 1:
            raise InvalidInput(
                f"got opening={shown(opening)}, batch_size={shown(batch_size)}; wanted 0 or more, 1 or more"
            )
        return np.where(np.isin(self.group, list(opened)), 1.0, 1.0 + opening / batch_size)

    def next_micrograph(self, utilities: Any, opened: Iterable[int] = ()) -> int:
        """The micrograph not yet opened whose ten most wanted windows have the highest mean utility.

        `utilities` (n,) as a `Query` has them, NaN where a window could not be asked for. Raises PoolExhausted where
        every micrograph is open.
        """
        values = np.asarray(utilities, dtype=np.float64)
        if values.shape != (len(self),):
            raise InvalidInput(f"got utilities of shape {values.shape}; wanted ({len(self)},), one for each window")
        left = sorted(set(self.group.tolist()) - {int(number) for number in opened})
        means = {}
        for number in left:
            mine = values[(self.group == number) & np.isfinite(values)]
            if len(mine):
                means[number] = float(np.sort(mine)[-TOP:].mean())
        if not means:
            raise PoolExhausted("every micrograph with windows left to ask for is open; add micrographs to the pool")
        return max(means, key=lambda number: (means[number], -number))

    def ask(
        self,
        selector: Any,
        embeddings: Any,
        labels: Any,
        batch_size: int,
        *,
        foreign: Literal["background", "reject"] = "background",
        opened: Iterable[int] | None = None,
        opening: float = 5.0,
        random_state: int = 0,
    ) -> Ints:
        """(b,) windows to label next, best first, no two of them within a diameter of one another or of a labeled one.

        `selector` is an `AutoAL`, or whatever has its `fit_query`. `embeddings` (n, D) are `CryoMAE.embed`'s. `labels`
        (n,) are 1 for a particle, 0 for background, 2 for ice, carbon, dirt and the like, -1 where unlabeled. A picker
        has to know ice, so 2 is background by default; with `foreign="reject"` it is of no class, never trained on, and
        told to the selector as rejected: where the question is which of several particles a window shows.

        With `opened`, windows of other micrographs cost their share of `opening` more. As long as no background is
        known, random windows are asked for. Raises PoolExhausted where fewer windows are left than wanted.
        """
        answers_, fixed = np.asarray(labels), np.asarray(embeddings)
        if answers_.shape != (len(self),) or len(fixed) != len(self):
            raise InvalidInput(
                f"got labels of shape {answers_.shape} and {len(fixed)} embeddings for {len(self)} windows; wanted one "
                "of each for each window"
            )
        if not np.isin(answers_, (PARTICLE, BACKGROUND, FOREIGN, UNLABELED)).all():
            raise InvalidInput(f"got labels {np.unique(answers_)[:10]}; wanted 1, 0, 2 and -1")
        if foreign not in ("background", "reject"):
            raise InvalidInput(f"got foreign={shown(foreign)}; wanted 'background' or 'reject'")
        known = answers_ != UNLABELED
        y = np.where(answers_ == FOREIGN, BACKGROUND if foreign == "background" else UNLABELED, answers_)
        rejected = np.flatnonzero(answers_ == FOREIGN) if foreign == "reject" else np.zeros(0, dtype=np.int64)
        blocked = set(self.blocked(np.flatnonzero(known)).tolist())
        if not (y == BACKGROUND).any() or not (y == PARTICLE).any():
            return self._random(blocked, batch_size, random_state)
        costs = None if opened is None else self.costs(opened, opening=opening, batch_size=batch_size)
        picked: list[int] = []
        labeled = np.flatnonzero(y != UNLABELED)
        while len(picked) < batch_size:
            left = len(self) - len(blocked | set(labeled.tolist()) | set(rejected.tolist()))
            if left == 0:
                raise PoolExhausted(
                    f"{len(picked)} windows can be asked for that do not overlap one another or a labeled one; wanted "
                    f"{batch_size}: ask for fewer, or add micrographs"
                )
            query = selector.fit_query(
                fixed, y[labeled], labeled=labeled, batch_size=min(batch_size - len(picked), left), embeddings=fixed,
                exclude=np.asarray(sorted(blocked - set(labeled.tolist()) - set(rejected.tolist())), dtype=np.int64),
                rejected=rejected if len(rejected) else None, classes=[BACKGROUND, PARTICLE], costs=costs,
            )  # fmt: skip
            for row in query:
                if row not in blocked:
                    picked.append(row)
                    blocked |= {row, *self.overlaps(row).tolist()}
        return np.asarray(picked, dtype=np.int64)

    def _random(self, blocked: set[int], batch_size: int, seed: int) -> Ints:
        picked: list[int] = []
        kinds = self.kind == "random"
        order = numpy_rng(seed, "cryo cold start").permutation(len(self))
        for row in sorted(order.tolist(), key=lambda row: not kinds[row]):
            if len(picked) < batch_size and row not in blocked:
                picked.append(row)
                blocked |= {row, *self.overlaps(row).tolist()}
        if len(picked) < batch_size:
            raise PoolExhausted(f"{len(picked)} windows are left that do not overlap; wanted {batch_size}")
        return np.asarray(picked, dtype=np.int64)


def answers(pool: WindowPool, marks: Sequence[Any], foreign: Sequence[Any] | None = None) -> Ints:
    """(n,) what a person who knows all particles would say: 1 where a mark lies within 0.3 diameters, 0 where none lies
    within 0.6, -1 between them, where half a particle shows. `marks` (m, 2) for each micrograph; with `foreign`, 2
    where one of those lies within 0.6 diameters and no mark does."""
    out = np.full(len(pool), BACKGROUND, dtype=np.int64)
    for number in np.unique(pool.group):
        rows = np.flatnonzero(pool.group == number)
        if foreign is not None:
            other = _nearest(pool.centres[rows, 1:], foreign[number])
            out[rows[other <= HALF * pool.diameter]] = FOREIGN
        far = _nearest(pool.centres[rows, 1:], marks[number])
        out[rows[far <= HALF * pool.diameter]] = UNLABELED
        out[rows[far <= HIT * pool.diameter]] = PARTICLE
    return out


def _nearest(centres: Floats, marks: Any) -> Floats:
    given = marks_of(marks)
    return cKDTree(given).query(centres)[0] if len(given) else np.full(len(centres), np.inf)


def _maxima(prepared: Prepared, shape: tuple[int, int], diameter: float, most: int) -> Floats:
    """(n, 2) centres, those of the larger scale first, the strongest first."""
    found = []
    for scale in SCALES:
        response = ndimage.gaussian_laplace(
            prepared.pixels.astype(np.float64), scale * SCALED / (2 * np.sqrt(2)), mode="reflect"
        )
        size = np.abs(response)
        bright = (response == ndimage.minimum_filter(response, 3)) & (response < 0)
        dark = (response == ndimage.maximum_filter(response, 3)) & (response > 0)
        at = np.argwhere(bright | dark)
        centres = prepared.outside(at.astype(np.float64)[np.argsort(-size[at[:, 0], at[:, 1]], kind="stable")])
        centres = centres[inside(centres, shape, diameter / 2)]
        found.append(centres[spaced(centres, APART * diameter)][:most])
    together = np.concatenate(found)
    return together[spaced(together, APART * diameter)]
