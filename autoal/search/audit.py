"""The audit: a part of every batch is drawn at random, so that what the rest of it gains can be measured.

Labels that were chosen are no fair sample of the pool and cannot say how good a model is there, or whether choosing
them paid. Those drawn at random can. What the model said of each before its label came is judged by that label
(progressive validation: Blum, Kalai and Langford 1999), and heads can be trained on some of them in the place of as
many chosen ones, and be judged by the others.

Axes: L labeled points, A of them drawn at random, D features (a constant column included), J splits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from scipy.stats import t as students_t
from torch import Tensor

from autoal.anchor.heads import fit_heads
from autoal.compute import chunks, single_threaded
from autoal.search.fit_net import clipped_log_loss

__all__ = ["AuditReport", "audit_report", "compact", "draw_audit"]

SPLITS = 20
LATEST = 50
"""Random points that the value is the mean over: the last ones, since the model gets better."""
FEWEST = 6
"""Random points below which nothing is estimated."""
ALARMING = 20
"""Random points from which there may be an alarm."""
LEVEL = 0.05
"""One-sided level of `better` and of `worse`."""
MOST = 2_000
"""Random points that an estimate looks at: the first ones."""


@dataclass(frozen=True)
class AuditReport:
    """What the labels drawn at random say by now. Estimates are None while there are fewer than six."""

    labels: int
    """Points drawn at random whose labels are in."""
    value: float | None = None
    """Accuracy of the model on what was left of the pool, over the latest 50 of them, each predicted before it was
    labeled; in a regression the RMSE. Where choosing takes the hard points, what is left is easier than the whole."""
    value_error: float | None = None
    """Its standard error; of an accuracy, or a difference of two, never below one point's worth."""
    compared: int = 0
    """So many chosen labels against as many random ones, each beside the labels there were at first."""
    gain: float | None = None
    """Accuracy with the chosen ones minus that with the random ones; in a regression what they take off the mean
    squared error, in units of the variance of the targets."""
    gain_error: float | None = None
    gain_nats: float | None = None
    """The same in held-out log-loss, in nats; in a regression `gain` again. Not what the verdict goes by: hard points
    make for probabilities that fit the pool less well, also where they make for better answers."""
    gain_nats_error: float | None = None
    verdict: str = "too few"
    """`better` or `worse` than random at the one-sided level 0.05 of `gain`, `open`, or `too few` to say. The level is
    that of one look: who stops at the first `better` of many rounds errs more often."""
    alarm: bool = False
    """Whether, with 20 random points or more, `gain` lies below zero by a standard error or more."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        if self.gain is None or self.gain_error is None:
            return f"{self.labels} labels drawn at random are in: too few to say anything"
        said = {
            "better": "choosing pays",
            "worse": "random points would have done better",
            "open": "not told apart from random",
        }[self.verdict]
        value = ""
        if self.value is not None:
            value = f"; value on the rest of the pool {self.value:.3f} (standard error {self.value_error:.3f})"
        return (
            f"{self.compared} chosen labels against as many random ones: {self.gain:+.3f} (standard error "
            f"{self.gain_error:.3f}), {said}{value}; {self.labels} labels drawn at random are in"
        )


def draw_audit(keys: Tensor, batch_size: int, share: float, earlier: Sequence[Mapping[str, Any]], rng: Any) -> Tensor:
    """(a,) positions of the points of this batch that are drawn at random from a pool with `keys` (N,).

    `a` is what is missing to `share` of all points asked for, so that batches of one have their turn, too.
    """
    so_far = sum(len(batch["random"]) for batch in earlier)
    in_all = so_far + sum(len(batch["chosen"]) for batch in earlier) + batch_size
    due = min(batch_size, max(0, math.floor(share * in_all + 0.5) - so_far))
    return keys.cpu().argsort()[torch.randperm(len(keys), generator=rng)[:due]]


@single_threaded()
def compact(rows: Tensor, width: int) -> Tensor:
    """(L, D) of (L, ...): columns standardised; beyond `width`, that many principal components. Of mean square 1."""
    flat = rows.flatten(1).float()
    flat = (flat - flat.mean(0)) / flat.std(0, correction=0).clamp_min(1e-6)
    if flat.shape[1] > width:
        flat = flat @ torch.pca_lowrank(flat, q=min(width, len(flat)), center=False)[2]
    return flat / flat.square().mean().sqrt().clamp_min(1e-12)


@torch.no_grad()
@single_threaded()
def audit_report(
    features: Tensor,
    labels: Tensor,
    num_classes: int,
    keys: Tensor,
    asked: Sequence[Mapping[str, Any]],
    *,
    l2: float,
    rng: torch.Generator,
) -> AuditReport:
    """From features (L, D), labels (L,) and keys (L,) of the labeled points, and what was `asked` for in each batch:
    the keys of `chosen` and of `random` points, what the model `predicted` of the latter, and among how many `classes`.

    Gain: in each of 20 splits two thirds of the random points train, or as many of the chosen ones, those asked for
    first; both judge on the other third. The variance of the mean over splits that overlap is taken as
    (1/J + test/train) times that between them (Nadeau and Bengio 2003, Machine Learning 52, eq. 8).
    """
    row_of = {key: row for row, key in enumerate(keys.tolist())}
    random, chosen = (
        [row_of[key] for batch in asked for key in batch[part] if key in row_of] for part in ("random", "chosen")
    )
    n = len(random)
    if n < FEWEST:
        return AuditReport(n)
    report = AuditReport(n, *_value(labels, num_classes, row_of, asked))
    if not num_classes:
        labels = labels - labels.mean()
        labels = labels / labels.square().mean().sqrt().clamp_min(1e-12)
    first = torch.ones(len(labels), dtype=torch.bool)
    first[[*random, *chosen]] = False
    at = torch.tensor(random[:MOST], device=labels.device)
    judge = _Judge(features, labels, num_classes, l2)
    train = (2 * len(at)) // 3
    compared = min(train, len(chosen))
    if compared < 1:
        return report
    orders = torch.stack([torch.randperm(len(at), generator=rng) for _ in range(SPLITS)])
    weights = features.new_zeros(2, SPLITS, len(labels))
    weights[:, :, first] = 1.0
    weights[0, :, chosen[:compared]] = 1.0
    weights[1].scatter_(1, at[orders[:, :compared]], 1.0)
    test = at[orders[:, train:]]
    loss, wrong = judge(weights.reshape(2 * SPLITS, -1), torch.cat([test, test]))
    spread = 1 / SPLITS + test.shape[1] / train
    gains = []
    for each in (loss, wrong):
        by_split = each.reshape(2, SPLITS, -1).double().mean(2)
        difference = by_split[1] - by_split[0]
        gains.append((float(difference.mean()), float((difference.var() * spread).sqrt())))
    (nats, nats_error), (gain, gain_error) = gains
    gain_error = max(gain_error, 1 / len(at)) if num_classes else gain_error
    p = float(students_t.sf(gain / max(gain_error, 1e-12), SPLITS - 1))
    verdict = "better" if p <= LEVEL else "worse" if p >= 1 - LEVEL else "open"
    return replace(
        report, compared=compared, gain=gain, gain_error=gain_error, gain_nats=nats, gain_nats_error=nats_error,
        verdict=verdict, alarm=n >= ALARMING and gain + gain_error < 0,
    )  # fmt: skip


class _Judge:
    """Trains heads on weighted labeled points and judges them on others."""

    def __init__(self, features: Tensor, labels: Tensor, num_classes: int, l2: float) -> None:
        self.features, self.labels, self.num_classes, self.l2 = features, labels, num_classes, l2

    def __call__(self, weights: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
        """(E, m) clipped log-loss and (E, m) whether wrong, at positions `test` (E, m), of E heads trained with
        weights (E, L); in a regression both are the squared error."""
        kept = (weights > 0).any(0).nonzero().flatten()
        rows, truth = self.features[kept], self.labels[kept]
        parts = []
        for some in chunks(len(weights), 32.0 * rows.numel()):
            count = some.stop - some.start
            heads = fit_heads(
                rows.expand(count, -1, -1), truth.expand(count, -1), weights[some][:, kept],
                num_classes=self.num_classes, l2=self.l2, tolerance=1e-3, max_steps=100,
            )  # fmt: skip
            parts.append(heads(self.features[test[some]]))
        answers, truth = torch.cat(parts), self.labels[test]
        if not self.num_classes:
            squares = (answers[..., 0] - truth).square()
            return squares, squares
        return clipped_log_loss(answers, truth), (answers.argmax(-1) != truth).to(answers.dtype)


def _value(
    labels: Tensor, num_classes: int, row_of: Mapping[int, int], asked: Sequence[Mapping[str, Any]]
) -> tuple[float | None, float | None]:
    """Accuracy, or RMSE, of what was predicted of the latest random points, and its standard error. Classes are
    numbered anew when one turns up for the first time: what was predicted before that is left out."""
    pairs = [
        (row_of[key], said)
        for batch in asked
        if batch["classes"] == num_classes
        for key, said in zip(batch["random"], batch["predicted"], strict=True)
        if key in row_of
    ][-LATEST:]
    if len(pairs) < FEWEST:
        return None, None
    truth = labels[[row for row, _ in pairs]].double().cpu()
    said = torch.tensor([said for _, said in pairs], dtype=torch.float64)
    each = (said == truth).double() if num_classes else (said - truth).square()
    mean, error = float(each.mean()), float(each.std(correction=0)) / math.sqrt(len(each))
    if num_classes:
        return mean, max(error, 1 / len(each))
    return math.sqrt(mean), error / (2 * math.sqrt(max(mean, 1e-12)))
