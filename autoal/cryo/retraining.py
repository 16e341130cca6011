"""After some windows are labeled: the picker trained again with what they say, and features of the pool anew."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from autoal.cryo.checks import each
from autoal.cryo.peaks import spaced
from autoal.cryo.picker import ENOUGH, CryoMAE
from autoal.cryo.pool import BACKGROUND, FOREIGN, PARTICLE, UNLABELED, WindowPool
from autoal.errors import InvalidInput, shown

__all__ = ["refit"]


def refit(
    pool: WindowPool,
    picker: CryoMAE,
    micrographs: Any,
    labels: Any,
    *,
    foreign: Literal["background", "reject"] = "background",
) -> tuple[CryoMAE, NDArray[np.float32]]:
    """A new picker with the settings of `picker`, and (n, width) features of the windows of `pool` from it.

    `micrographs` are those of the pool, `labels` (n,) as `WindowPool.ask` takes them: 1 particle, 0 background, 2 ice
    and the like, -1 unlabeled. Exemplars are the pool's marks, or without any all windows labeled 1. What is labeled
    background becomes negatives of the training, and so does what is foreign unless it is to be rejected. With ten
    labeled windows of each kind besides the marks they set the threshold too. `picker` itself stays as it is.
    Raises InvalidInput for labels of another length, and without any particle among them.
    """
    told = np.asarray(labels)
    if told.shape != (len(pool),):
        raise InvalidInput(f"got labels of shape {told.shape} for {len(pool)} windows; wanted one for each")
    if not np.isin(told, (PARTICLE, BACKGROUND, FOREIGN, UNLABELED)).all():
        raise InvalidInput(f"got labels {np.unique(told)[:10]}; wanted 1, 0, 2 and -1")
    if foreign not in ("background", "reject"):
        raise InvalidInput(f"got foreign={shown(foreign)}; wanted 'background' or 'reject'")
    pictures, _ = each(micrographs)
    if len(pool) and int(pool.group.max()) >= len(pictures):
        raise InvalidInput(
            f"got {len(pictures)} micrographs for windows of micrograph {int(pool.group.max())}; wanted those of the "
            "pool, in the same order"
        )
    marks = (pool.kind == "mark") & (told == PARTICLE)
    exemplars = marks if marks.any() else told == PARTICLE
    if not exemplars.any():
        raise InvalidInput("got labels without a particle; wanted the marks as 1, or some windows labeled 1")
    negatives = (told == BACKGROUND) | (told == FOREIGN if foreign == "background" else False)
    numbers = [number for number in range(len(pictures)) if (pool.group[exemplars | negatives] == number).any()]

    def places(mask: NDArray[np.bool_], number: int) -> NDArray[np.float64]:
        return np.asarray(pool.centres[mask & (pool.group == number), 1:])

    made: CryoMAE = clone(picker)
    used = [pictures[number] for number in numbers]
    # Windows nearer together than that show one particle.
    marked = [(found := places(exemplars, n))[spaced(found, pool.diameter / 2)] for n in numbers]
    made.fit(used, marked, [places(negatives, n) for n in numbers])
    own = (told == PARTICLE) & ~exemplars
    if min(int(own.sum()), int(negatives.sum())) >= ENOUGH:
        every = range(len(pictures))
        made.calibrate(pictures, [places(own, n) for n in every], [places(negatives, n) for n in every])
    return made, made.embed(pictures, pool.centres)
