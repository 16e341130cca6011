"""Picking and asking as the gates and the benchmark measure them; `AUTOAL_DATA` holds the real micrographs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from autoal import AutoAL
from autoal.cryo import CryoMAE, Measures, ScoreMap, WindowPool, answers, find_peaks, measures, threshold_of
from autoal.cryo.matching import hits_of
from autoal.cryo.peaks import inside
from autoal.cryo.pictures import prepare
from autoal.cryo.rivals import Template, laplacian
from autoal.cryo.synthetic import KINDS, synthetic_micrograph
from autoal.cryo.windows import windows
from autoal.rng import numpy_rng

Values = np.ndarray[Any, Any]
EXEMPLARS = 15
REAL = {  # file, diameter, unseen micrographs
    "apoferritin": ("cryoem_apoferritin_a", 20.4, (10, 12)),
    "10028": ("cryoem_ribosome_10028", 28.0, (7, 9)),
}


class Set(NamedTuple):
    """Micrographs with all their marks. The first is the reference."""

    pictures: list[Values]
    marks: list[Values]
    diameter: float
    sign: int
    """1 where particles are bright."""
    foreign: list[Values] | None = None


def synthetic(kind: str, seed: int, count: int, *, snr: float = 0.1, confounders: bool = False, start: int = 0) -> Set:
    """`count` synthetic micrographs; those of one seed show the same particle."""
    made = [
        synthetic_micrograph(kind, 100 * seed + start + i, snr=snr, confounders=confounders)  # type: ignore[arg-type]
        for i in range(count)
    ]
    assert kind in KINDS
    return Set([m.pixels for m in made], [m.centres for m in made], 24.0, 1, [m.foreign for m in made])


def real(name: str, numbers: Sequence[int]) -> Set:
    """Some of the micrographs of a set on the disk."""
    file, diameter, _ = REAL[name]
    with np.load(Path(os.environ["AUTOAL_DATA"]) / "images" / f"{file}.npz", allow_pickle=False) as stored:
        pictures, picks = stored["micrographs"], stored["picks"]
    marks = [picks[picks[:, 0] == number, 1:].astype(np.float64) for number in numbers]
    return Set([pictures[number] for number in numbers], marks, diameter, -1)


def exemplars(data: Set, seed: int, count: int = EXEMPLARS) -> Values:
    """(count, 2) marks of the reference that are whole."""
    whole = data.marks[0][inside(data.marks[0], data.pictures[0].shape, data.diameter / 2)]
    return whole[numpy_rng(seed, "exemplars").permutation(len(whole))[:count]]


def measured(maps: Sequence[ScoreMap], data: Set, bound: Callable[[Values], float] | None = None) -> Measures:
    """Of the micrographs after the first."""
    peaks = [find_peaks(one, data.diameter) for one in maps]
    bounds = [threshold_of(one.scores)[0] if bound is None else bound(one.scores) for one in peaks]
    return measures(peaks, bounds, data.marks[1:], [one.shape for one in maps], data.diameter)


def rivals(data: Set, seed: int) -> dict[str, Measures]:
    """Template and blobs on the same marks."""
    template = Template(data.diameter, data.pictures[0], exemplars(data, seed))
    return {
        "NCC": measured([template.score(one) for one in data.pictures[1:]], data),
        "LoG": measured([laplacian(data.diameter, one, data.sign) for one in data.pictures[1:]], data),  # type: ignore[arg-type]
    }


def picker(data: Set, seed: int, negatives: Values | None = None, count: int = EXEMPLARS, **settings: Any) -> CryoMAE:
    model = CryoMAE(data.diameter, exemplars=count, random_state=seed, device="cpu", **settings)
    return model.fit(data.pictures[0], exemplars(data, seed, count), negatives)


def picked(model: CryoMAE, data: Set) -> Measures:
    """With the threshold that the picker itself takes."""
    return cut(model, [model.score(one) for one in data.pictures[1:]], data)


def cut(model: CryoMAE, maps: Sequence[ScoreMap], data: Set) -> Measures:
    """`picked`, of maps that are there."""
    peaks = [find_peaks(one, data.diameter) for one in maps]
    bounds = [float("inf") if (got := model.cut(one)).rule == "empty" else got.threshold for one in peaks]
    return measures(peaks, bounds, data.marks[1:], [one.shape for one in maps], data.diameter)


def false_peaks(model: CryoMAE, data: Set, count: int) -> Values:
    """(<= count, 2) the best peaks in the reference that are no particle: what a person who looks at the picks would
    strike out."""
    peaks = model.peaks(data.pictures[0])
    return peaks.centres[~hits_of(peaks, data.marks[0], data.diameter / 2)][:count]


# --- windows as a pool ------------------------------------------------------------------------------------------


@dataclass
class Pooled:
    """Windows with what a person would answer, and features of them."""

    pool: WindowPool
    truth: Values
    first: Values
    embeddings: Values


def pooled(data: Set, model: CryoMAE, seed: int, *, foreign: bool = False, peaks: bool = True) -> Pooled:
    """The exemplars and three random windows of background are labeled; windows with half a particle are left out.
    `peaks`: those of `model` are candidates too."""
    marks = np.column_stack([np.zeros(EXEMPLARS), exemplars(data, seed)])
    pool = WindowPool(data.pictures, data.diameter, marks=marks, picker=model if peaks else None, random_state=seed)
    truth = answers(pool, data.marks, data.foreign if foreign else None)
    whole = truth != -1
    pool, truth = pool.kept(whole), truth[whole]
    plain = np.flatnonzero((pool.kind == "random") & (truth == 0))
    drawn = numpy_rng(seed, "first background").permutation(plain)[:3]
    first = np.concatenate([np.flatnonzero(pool.kind == "mark"), drawn])
    return Pooled(pool, truth, first, model.embed(data.pictures, pool.centres))


def candidates(data: Set, seed: int) -> tuple[WindowPool, Values]:
    """Windows of micrographs never asked for, with what they hold; half particles are left out."""
    pool = WindowPool(data.pictures, data.diameter, random_state=seed)
    truth = answers(pool, data.marks)
    return pool.kept(truth != -1), truth[truth != -1]


def head() -> LogisticRegression:
    return LogisticRegression(class_weight="balanced", C=10, max_iter=1000)


def strategy(name: str, seed: int) -> AutoAL:
    if name == "autoal":
        return AutoAL("default", model=head(), random_state=seed, device="cpu")
    return AutoAL([name], model=head(), mode="uniform", random_state=seed, device="cpu")


def asked(
    made: Pooled, name: str, seed: int, *, rounds: int = 8, batch_size: int = 10, foreign: str = "background"
) -> list[Values]:
    """Labels, -1 where there are none, at the start and after each batch."""
    labels = np.full(len(made.pool), -1)
    labels[made.first] = made.truth[made.first]
    out = [labels.copy()]
    for number in range(rounds):
        selector = strategy(name, 1000 * seed + number)
        rows = made.pool.ask(selector, made.embeddings, labels, batch_size, foreign=foreign)  # type: ignore[arg-type]
        labels[rows] = made.truth[rows]
        out.append(labels.copy())
    return out


def trained(made: Pooled, labels: Values, *, foreign: str = "background") -> LogisticRegression:
    """On what is labeled; what is foreign is background, or not trained on."""
    known = labels >= 0 if foreign == "background" else (labels == 0) | (labels == 1)
    return head().fit(made.embeddings[known], labels[known] == 1)


def window_ap(model: LogisticRegression, embeddings: Values, truth: Values) -> float:
    """Average precision of particle against all else, over windows."""
    return float(average_precision_score(truth == 1, model.decision_function(embeddings)))


def pixels_of(data: Set, centres: Values) -> Values:
    """(n, 1024) prepared pixels of windows."""
    out = np.zeros((len(centres), 1024), dtype=np.float32)
    for number, picture in enumerate(data.pictures):
        prepared, mine = prepare(picture, data.diameter, 23.0), centres[:, 0] == number
        out[mine] = windows(prepared.pixels, prepared.inside(centres[mine, 1:]), 32).reshape(-1, 1024)
    return out


def pca_of(data: Set, centres: Values, others: Set, other_centres: Values, width: int = 32) -> tuple[Values, Values]:
    """Unit vectors of the principal components of pixels, of a pool and of windows never asked for."""
    pixels = pixels_of(data, centres)
    fitted = PCA(width, random_state=0).fit(pixels)
    both = [fitted.transform(one) for one in (pixels, pixels_of(others, other_centres))]
    return tuple(one / np.linalg.norm(one, axis=1, keepdims=True) for one in both)  # type: ignore[return-value]
