"""Labels that held-out predictions contradict: where somebody should look again.

Classes: confident learning (Northcutt, Jiang and Chuang 2021, Journal of Artificial Intelligence Research 70,
arXiv 1911.00068). The threshold t_j of class j is the mean probability that held-out predictions give j on the points
labeled j (eq. 2). A point labeled i counts as j where p_j >= t_j, of several such classes as the most probable (eq. 1,
the confident joint). Its rows, brought to the number of labels of each class (eq. 3), say how many labels are wrong:
what is off the diagonal. So many are contradicted, as in the paper's "prune by noise rate" (section 3.2), but chosen
over all classes at once and by the margin of log probabilities.

A regression has no joint: a label is contradicted where its held-out residual, less the median residual, is more than
3.5 times 1.4826 median absolute deviations (the modified z-score of Iglewicz and Hoaglin 1993).
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autoal.data import Rows
from autoal.errors import InvalidInput, shown
from autoal.rng import derive_seed
from autoal.session.fitting import FOLDS, Known, held_out
from autoal.session.ids import Ids
from autoal.session.labels import Label

__all__ = [
    "NO_PROBABILITIES",
    "confident_joint",
    "find_suspects",
    "margins",
    "of_classes",
    "of_targets",
    "wrong_labels",
]

NO_PROBABILITIES = "the model has no predict_proba"
REPEATS = 3
"""Cross-validations whose mean probabilities are judged by."""

FEWEST_LABELS = 10
"""Of a regression; with fewer, residuals say nothing."""
FAR = 3.5
"""Modified z-score of a residual that contradicts a label."""
TINY = 1e-12


def find_suspects(
    rows: Rows, labels: dict[int, Label], task: str, ids: Ids, *, model: Any, device: Any, seed: int, most: int | None
) -> tuple[pd.DataFrame, list[str]]:
    """The frame of `Session.suspects`, and what is to be said about it. Raises InvalidInput for too few labels."""
    known = Known.of(labels, task)
    said: list[str] = []
    if known.table is None:
        if len(labels) < FEWEST_LABELS:
            raise InvalidInput(f"got {len(labels)} labels; wanted {FEWEST_LABELS} or more to compare residuals")
        judged = None
    else:
        judged = judged_classes(known)
        few = [name for name, enough in zip(known.table.tolist(), judged, strict=True) if not enough]
        if few:
            brief = ", ".join(shown(name, 40) for name in few[:5]) + (", ..." if len(few) > 5 else "")
            said.append(f"labels of {len(few)} class(es) with fewer than {FOLDS} labels are not judged: {brief}")
    seed = derive_seed(seed, "suspects")
    looks = [held_out(rows, known, model=model, device=device, seed=seed, repeat=i) for i in range(REPEATS)]
    given = pd.Series([labels[row] for row in known.rows.tolist()], dtype=object if judged is not None else float)
    frame = pd.DataFrame({"id": pd.Series(ids.of(known.rows.tolist()), dtype=object).infer_objects(), "label": given})
    if judged is None or known.table is None:
        predicted = np.mean([found.double().numpy() for found, _ in looks], axis=0)
        frame["suggested"] = predicted
        frame["score"] = of_targets(predicted, known.values.numpy())
        frame["contradicted"] = frame["score"].abs() > FAR
        order = np.argsort(-frame["score"].abs().to_numpy(), kind="stable")
    else:
        if not all(own for _, own in looks):
            said.append(f"{NO_PROBABILITIES}; its decision function stands for probabilities, uncalibrated")
        probs = np.mean([found.double().exp().numpy() for found, _ in looks], axis=0)
        numbers = known.values.numpy()
        order, suggested, count = of_classes(probs, numbers, judged)
        places, names = np.arange(len(numbers)), known.table.tolist()
        frame["suggested"] = pd.Series([names[number] for number in suggested], dtype=object)
        frame["confidence"], frame["label_confidence"] = probs[places, suggested], probs[places, numbers]
        frame["contradicted"] = np.isin(places, order[:count])
        frame[["label", "suggested"]] = frame[["label", "suggested"]].infer_objects()
    frame = frame.iloc[order]
    kept = frame[frame["contradicted"]] if most is None else frame.head(most)
    return kept.reset_index(drop=True), said


def margins(probs: NDArray[np.float64], labels: NDArray[np.int64], judged: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(L,) log p(label) - log p(likeliest other judged class), lowest for the most suspicious label."""
    places = np.arange(len(labels))
    others = np.where(judged, probs, 0.0)
    others[places, labels] = 0.0
    own, best = np.maximum(probs[places, labels], TINY), np.maximum(others.max(axis=1), TINY)
    return np.log(own) - np.log(best)


def thresholds(probs: NDArray[np.float64], labels: NDArray[np.int64], judged: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(C,) mean self-confidence of each class; infinite for classes that are not judged."""
    found = np.full(probs.shape[1], np.inf)
    for number in np.flatnonzero(judged):
        found[number] = probs[labels == number, number].mean()
    return found


def confident_joint(
    probs: NDArray[np.float64], labels: NDArray[np.int64], judged: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(C, C) labels of class i that count as j, and (L,) as what each label counts, -1 where as nothing."""
    over = np.where(probs >= thresholds(probs, labels, judged), probs, -1.0)
    counts_as = np.where(judged[labels] & (over.max(axis=1) >= 0), over.argmax(axis=1), -1)
    joint = np.zeros((probs.shape[1], probs.shape[1]), dtype=np.int64)
    np.add.at(joint, (labels[counts_as >= 0], counts_as[counts_as >= 0]), 1)
    return joint, counts_as


def wrong_labels(joint: NDArray[np.int64], labels: NDArray[np.int64]) -> int:
    """How many labels the confident joint says are wrong, with each class at its number of labels."""
    counts = np.bincount(labels, minlength=len(joint))
    rows = joint.sum(axis=1)
    wrong = np.where(rows > 0, 1 - joint.diagonal() / np.maximum(rows, 1), 0.0)
    return round(float((wrong * counts).sum()))


def of_classes(
    probs: NDArray[np.float64], labels: NDArray[np.int64], judged: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """From held-out `probs` (L, C) and class numbers `labels` (L,): the positions of the labels of judged classes, most
    suspicious first; (L,) the class number that each would be instead; and how many of the first are contradicted.

    Only the classes in `judged` (C,) take part: neither are others' labels contradicted, nor is a label said to be one
    of them.
    """
    joint, counts_as = confident_joint(probs, labels, judged)
    others = np.where(judged, probs, -1.0)
    others[np.arange(len(labels)), labels] = -2.0
    suggested = np.where((counts_as >= 0) & (counts_as != labels), counts_as, others.argmax(axis=1))
    margin = margins(probs, labels, judged)
    order = np.argsort(margin, kind="stable")
    order = order[judged[labels[order]]]
    return order, suggested, min(wrong_labels(joint, labels), int((margin[order] < 0).sum()))


def of_targets(predicted: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """(L,) modified z-scores of held-out residuals; 0 where all residuals are alike."""
    centred = targets - predicted
    centred = centred - np.median(centred)
    spread = 1.4826 * float(np.median(np.abs(centred)))
    if spread == 0:  # most are predicted exactly: then any residual beyond rounding is far
        spread = 1e-6 * max(float(np.abs(targets).max()), 1e-300)
    return np.asarray(centred / spread)


def judged_classes(known: Known) -> NDArray[np.bool_]:
    """(C,) classes of which every part of a cross-validation holds a label. Raises InvalidInput where they are fewer
    than two."""
    assert known.table is not None
    counts = np.bincount(known.values.numpy(), minlength=len(known.table))
    judged = np.asarray(counts >= FOLDS)
    if judged.sum() < 2:
        listed = Counter({str(name): int(n) for name, n in zip(known.table.tolist(), counts, strict=True) if n})
        brief = ", ".join(f"{n} of {name[:40]}" for name, n in listed.most_common(8)) or "none"
        raise InvalidInput(
            f"got {brief}; wanted {FOLDS} labels or more of each of two classes or more: before that held-out "
            "predictions contradict nobody; label more first"
        )
    return judged
