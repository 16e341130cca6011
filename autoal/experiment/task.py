"""What every selector of a seed starts from: split, initial labels, pool. Made from the seed alone."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from autoal.data import Rows, as_rows, load_dataset
from autoal.data.labeled_data import LabeledData
from autoal.errors import ConfigError, UnknownName
from autoal.experiment.config import DatasetSpec, ExperimentConfig
from autoal.experiment.metrics import CLASS_METRICS, TARGET_METRICS
from autoal.experiment.rebench import rebench_split, standard_scores
from autoal.experiment.regimes import beside_noise, in_bins, long_tail, near_copies, unreliable_labels, with_share
from autoal.rng import numpy_rng

__all__ = ["Task", "dataset_contents", "dataset_fingerprint", "forget_data", "make_task"]

Indices = NDArray[np.int64]
Scaling = tuple[NDArray[Any], NDArray[Any]]
REJECTED = -1


@dataclass(frozen=True, eq=False)
class Task:
    """The training part of one (data set, seed), with n rows, and the points its curve is measured on.

    In a regression, labels are targets in deviations of the training part from its mean, float64.
    """

    rows: Rows
    """Inputs of the n rows that are or may be labeled."""
    ids: Tensor
    """(n,) row of the data set; ascending, but for splits that have an order of their own."""
    labels: Tensor
    """(n,) class in 0..num_classes-1, or -1 where the oracle rejects the point; targets in a regression."""
    initial: Tensor
    """Positions of the first labels in `rows`, ascending."""
    holdout_rows: Rows
    holdout_labels: Tensor
    num_classes: int
    """0 in a regression."""

    @property
    def rejected(self) -> Tensor:
        """(n,) whether the oracle rejects the point."""
        return (self.labels == REJECTED) & (self.num_classes > 0)


@functools.lru_cache(maxsize=4)
def _load(name: str, target: str | None, encoder: str | None) -> LabeledData:
    """Tables come as one matrix, so that every split has the same columns: numbers as they are, gaps too; of other
    columns what the encoder of tables makes of all rows, without labels."""
    data = load_dataset(name, label=target, encoder=encoder)
    if not isinstance(data.X, pd.DataFrame):
        return data
    return replace(data, X=as_rows(data.X).take(slice(0, len(data.X))).numpy())


def forget_data() -> None:
    """Files that were read in this process are read again: they may be others by now."""
    _load.cache_clear()


def _data(spec: DatasetSpec) -> LabeledData:
    return _load(spec.name, spec.target, spec.encoder)


def dataset_fingerprint(spec: DatasetSpec) -> str:
    """Changes when the inputs do; kept in the manifest."""
    X = _data(spec).X
    if isinstance(X, np.ndarray) and X.dtype.kind == "f" and not np.isfinite(X).all():
        X = np.nan_to_num(X)
    return str(as_rows(X).fingerprint())


def dataset_contents(spec: DatasetSpec) -> str | None:
    """Changes when any value does, of the inputs or of the labels; None where they are no arrays."""
    data = _data(spec)
    found = hashlib.blake2b(digest_size=16)
    for array in (data.X, data.y):
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biufSU":
            return None
        found.update(f"{array.dtype.str}{array.shape}".encode())
        step = max(1, (1 << 24) // max(1, array.itemsize * int(np.prod(array.shape[1:]))))
        for start in range(0, len(array), step):
            found.update(np.ascontiguousarray(array[start : start + step]).tobytes())
    return found.hexdigest()


def make_task(config: ExperimentConfig, spec: DatasetSpec, seed: int) -> Task:
    """The task of a scenario and a seed: no selector has a part in it.

    Each draw has a generator of its own, derived from (seed, purpose), so a larger pool moves no split.
    Raises ConfigError where the data set is too small for what is asked.
    """
    config = config.of(spec)
    data = _data(spec)
    if spec.bins is not None:
        data = _binned(data, spec)
    if spec.irrelevant:
        data = replace(data, X=beside_noise(data.X, spec.irrelevant, numpy_rng(seed, "irrelevant"), spec.label))
    _check_metric(config, spec, data.classes is None)
    if spec.split == "rebench":
        return _rebench(config, spec, data, seed)
    if data.classes is None:
        return _regression(config, spec, data, seed)
    y, num_classes = _classes(np.asarray(data.y), [str(name) for name in data.classes], spec, seed)
    train, test = _parts(config, spec, data, np.flatnonzero(y > _ABSENT), y, seed)
    test = _test_rows(config, spec, test[y[test] >= 0], seed)
    _require_classes(train, y, num_classes, spec, "training")
    if spec.imbalance is not None:
        train = long_tail(train, y, num_classes, spec.imbalance, numpy_rng(seed, "long tail"))
    if spec.ood_share is not None:
        if not (y[train] < 0).any():
            raise ConfigError(f"data set {spec.label}: got ood_share without ood_classes; give both")
        train = with_share(train, y[train] < 0, spec.ood_share, numpy_rng(seed, "ood share"))
    initial = _initial(train, y, num_classes, config, spec, seed)
    part = _part(config, spec, train, initial, seed)
    scaling = _scaling(data.X, train) if config.standardize else None
    labels = y[part]
    if spec.noise_share is not None:
        flat = as_rows(_inputs(data.X, part, scaling)).take(torch.arange(len(part))).flatten(1).numpy()
        may = ~np.isin(part, initial)
        rng = numpy_rng(seed, "label noise")
        labels = unreliable_labels(flat, labels, may, num_classes, spec.noise_share, spec.noise_rate, rng)
    return _assembled(spec, data.X, part, labels, initial, test, y[test], num_classes, scaling, seed)


_ABSENT = -2


def _binned(data: LabeledData, spec: DatasetSpec) -> LabeledData:
    """The data set with classes cut from its targets, as if it had been published so."""
    assert spec.bins is not None
    targets = np.asarray(data.y, dtype=np.float64)
    if data.classes is not None:  # targets without fractions were taken for numbered classes
        if data.classes.dtype.kind not in "fiu":
            raise ConfigError(
                f"data set {spec.label} has classes by name, and `bins` cuts numbers into classes; leave it out"
            )
        targets = np.where(data.y < 0, np.nan, data.classes.astype(np.float64)[data.y])
    y = in_bins(targets, spec.bins, spec.label)
    return replace(data, y=y, classes=np.array([str(c) for c in range(spec.bins)]))


def _check_metric(config: ExperimentConfig, spec: DatasetSpec, regression: bool) -> None:
    allowed = TARGET_METRICS if regression else CLASS_METRICS
    if config.metric not in allowed:
        what = "targets" if regression else "classes"
        raise ConfigError(
            f"data set {spec.label} has {what}, and metric = {config.metric!r} is not for those; wanted one of "
            f"{', '.join(allowed)} (a scenario may have a `metric` of its own)"
        )


def _regression(config: ExperimentConfig, spec: DatasetSpec, data: Any, seed: int) -> Task:
    """Random split and random first labels; targets standardised over the training part, labeled or not."""
    of_classes = ("classes", "ood_classes", "ood_share", "imbalance", "noise_share", "batch_per_class")
    given = [name for name in of_classes if getattr(spec, name) not in (None, ())]
    if given:
        raise ConfigError(f"data set {spec.label} has targets, so {', '.join(given)} mean nothing; leave them out")
    if config.initial.total is None:
        raise ConfigError(f"data set {spec.label} has targets, not classes; wanted initial = N, not per_class")
    y = np.asarray(data.y, dtype=np.float64)
    one_class = np.zeros(len(y), dtype=np.int64)  # a split by class, of which there is one
    train, test = _parts(config, spec, data, np.flatnonzero(np.isfinite(y)), one_class, seed)
    test = _test_rows(config, spec, test, seed)
    if len(train) <= config.initial.total:
        raise ConfigError(f"data set {spec.label}: the initial labels leave no pool; lower `initial`")
    initial = np.sort(numpy_rng(seed, "initial").permutation(train)[: config.initial.total])
    part = _part(config, spec, train, initial, seed)
    mean, deviation = float(y[train].mean()), float(y[train].std()) or 1.0
    targets = (y - mean) / deviation
    scaling = _scaling(data.X, train) if config.standardize else None
    return _assembled(spec, data.X, part, targets[part], initial, test, targets[test], 0, scaling, seed)


def _rebench(config: ExperimentConfig, spec: DatasetSpec, data: Any, seed: int) -> Task:
    """The task of arXiv 2306.08954 for its valid seed number `seed`; rows lie in the order that benchmark trains in."""
    of_ours = DatasetSpec.model_fields.keys() - {"name", "label", "split", "model", "metric", "initial", "rounds"}
    plain = DatasetSpec(name=spec.name)
    given = sorted(name for name in of_ours if getattr(spec, name) != getattr(plain, name))
    given += [name for name in ("max_pool", "max_test") if getattr(config, name) is not None and name not in given]
    unfit = config.holdout != "test" or config.initial.total is None or data.classes is None
    if given or unfit or not isinstance(data.X, np.ndarray):
        raise ConfigError(
            f'data set {spec.label}: split = "rebench" is the protocol of a published table; wanted a table of '
            "numbers with classes, initial = N (a total), holdout = test, and nothing else changed (got "
            f"{', '.join(given) or 'none of these'})"
        )
    assert config.initial.total is not None and data.classes is not None
    y = np.asarray(data.y, dtype=np.int64)
    train, test = rebench_split(y, 1 - config.test_share, config.initial.total, seed)
    if len(train) <= config.initial.total:
        raise ConfigError(f"data set {spec.label}: the initial labels leave no pool; lower `initial`")
    X = standard_scores(data.X, train) if config.standardize else data.X.astype(np.float64)
    return Task(
        rows=as_rows(X[train]),
        ids=torch.from_numpy(train),
        labels=torch.from_numpy(y[train]),
        initial=torch.arange(config.initial.total),
        holdout_rows=as_rows(X[test]),
        holdout_labels=torch.from_numpy(y[test]),
        num_classes=len(data.classes),
    )


def _parts(
    config: ExperimentConfig, spec: DatasetSpec, data: Any, kept: Indices, y: Indices, seed: int
) -> tuple[Indices, Indices]:
    """(training rows, rows to measure on) of those that are kept."""
    if spec.subsample is not None and spec.subsample < len(kept):
        kept = np.sort(numpy_rng(seed, "subsample").choice(kept, spec.subsample, replace=False))
    own = None if spec.split == "random" or data.test_index is None else np.asarray(data.test_index)
    train, test = _split(kept, y, config.test_share, own, data.group, seed, "split")
    if config.holdout == "validation":
        train, test = _split(train, y, config.validation_share, None, data.group, seed, "validation")
    return train, test


def _test_rows(config: ExperimentConfig, spec: DatasetSpec, test: Indices, seed: int) -> Indices:
    if len(test) == 0:
        raise ConfigError(f"data set {spec.label}: nothing is left to measure on; raise test_share")
    if config.max_test is not None and len(test) > config.max_test:
        test = np.sort(numpy_rng(seed, "test").choice(test, config.max_test, replace=False))
    return test


def _part(config: ExperimentConfig, spec: DatasetSpec, train: Indices, initial: Indices, seed: int) -> Indices:
    """First labels and pool, ascending, copies not yet made."""
    pool = np.setdiff1d(train, initial)
    if len(pool) == 0:
        raise ConfigError(f"data set {spec.label}: the initial labels leave no pool; lower `initial`")
    most = None if config.max_pool is None else max(1, config.max_pool // (spec.copies + 1))
    if most is not None and len(pool) > most:
        pool = np.sort(numpy_rng(seed, "pool").choice(pool, most, replace=False))
    return np.union1d(initial, pool)


def _assembled(
    spec: DatasetSpec, X: Any, part: Indices, labels: NDArray[Any], initial: Indices, test: Indices,
    test_labels: NDArray[Any], num_classes: int, scaling: Scaling | None, seed: int,
) -> Task:  # fmt: skip
    """The task of these rows, with near-copies of its pool behind them; copy k of row i has id i + k n."""
    ids = part
    if spec.copies:
        source = ~np.isin(part, initial)
        rng = numpy_rng(seed, "copies")
        inputs = _inputs(X, part, scaling)
        copies = near_copies(inputs, np.flatnonzero(source), spec.copies, spec.copy_noise, rng, spec.label)
        rows = as_rows(np.concatenate([inputs, copies]))
        numbers = np.repeat(np.arange(1, spec.copies + 1), source.sum())
        ids = np.concatenate([part, np.tile(part[source], spec.copies) + numbers * len(X)])
        labels = np.concatenate([labels, np.tile(labels[source], spec.copies)])
    else:
        rows = as_rows(_inputs(X, part, scaling))
    return Task(
        rows=rows,
        ids=torch.from_numpy(ids),
        labels=torch.from_numpy(labels),
        initial=torch.from_numpy(np.searchsorted(part, initial)),
        holdout_rows=as_rows(_inputs(X, test, scaling)),
        holdout_labels=torch.from_numpy(test_labels),
        num_classes=num_classes,
    )


def _classes(y: NDArray[Any], names: Sequence[str], spec: DatasetSpec, seed: int) -> tuple[Indices, int]:
    """Class of each row in 0..C-1, -1 for a class the oracle rejects, -2 for one that was left out; and C."""
    kept = _numbers(spec.classes, names) if spec.classes is not None else set(range(len(names)))
    if isinstance(spec.ood_classes, float):
        count = max(1, round(spec.ood_classes * len(kept)))
        if len(kept) < 3:
            raise ConfigError(
                f"data set {spec.label}: {len(kept)} classes are too few for foreign ones among them; wanted 3 or more"
            )
        drawn = numpy_rng(seed, "ood classes").permutation(sorted(kept))[: min(count, len(kept) - 2)]
        rejected = {int(one) for one in drawn}
    else:
        rejected = _numbers(spec.ood_classes, names)
    wanted = sorted(kept - rejected)
    if len(wanted) < 2:
        raise ConfigError(f"data set {spec.label}: {len(wanted)} class(es) are left; wanted at least 2")
    table = np.full(len(names), _ABSENT, dtype=np.int64)
    table[sorted(rejected)] = REJECTED
    table[wanted] = np.arange(len(wanted))
    return np.where(y < 0, _ABSENT, table[y.astype(np.int64)]), len(wanted)


def _numbers(chosen: Sequence[str | int], names: Sequence[str]) -> set[int]:
    """Class numbers; a class may be given by name or by number."""
    numbers = set()
    for one in chosen:
        if isinstance(one, int) and 0 <= one < len(names):
            numbers.add(one)
        elif str(one) in names:
            numbers.add(names.index(str(one)))
        else:
            raise UnknownName("class", one, names)
    return numbers


def _split(
    rows: Indices, y: Indices, share: float, own: Indices | None, group: Any, seed: int, purpose: str
) -> tuple[Indices, Indices]:
    """(rest, held out) of `rows`: the data set's own test rows, else whole groups, else a share of each class."""
    if own is not None:
        held = np.intersect1d(rows, own)
    elif group is not None:
        groups = np.asarray(group)[rows]
        names = np.unique(groups)
        numpy_rng(seed, purpose).shuffle(names)
        sizes = np.cumsum([int((groups == name).sum()) for name in names])
        take = min(int(np.searchsorted(sizes, share * len(rows))) + 1, len(names) - 1)
        held = rows[np.isin(groups, names[:take])]
    else:
        rng, parts = numpy_rng(seed, purpose), []
        for value in np.unique(y[rows]):
            members = rng.permutation(rows[y[rows] == value])
            # One row of each class at least stays, so that the class can be learned.
            parts.append(members[: min(round(share * len(members)), len(members) - 1)])
        held = np.sort(np.concatenate(parts))
    return np.setdiff1d(rows, held), held


def _initial(
    train: Indices, y: Indices, num_classes: int, config: ExperimentConfig, spec: DatasetSpec, seed: int
) -> Indices:
    """The first labels, ascending: as many of each class as asked, or one of each and then any."""
    rng = numpy_rng(seed, "initial")
    order = rng.permutation(train[y[train] >= 0])
    each = config.initial.per_class or 1
    first = [order[y[order] == c][:each] for c in range(num_classes)]
    if config.initial.total is None:
        return np.sort(np.concatenate(first))
    if config.initial.total < num_classes:
        raise ConfigError(
            f"data set {spec.label}: got initial={config.initial.total}, but there are {num_classes} classes; wanted "
            "at least one label of each"
        )
    ones = np.concatenate(first)
    rest = order[~np.isin(order, ones)][: config.initial.total - num_classes]
    return np.sort(np.concatenate([ones, rest]))


def _require_classes(rows: Indices, y: Indices, num_classes: int, spec: DatasetSpec, what: str) -> None:
    missing = sorted(set(range(num_classes)) - set(np.unique(y[rows]).tolist()))
    if missing:
        raise ConfigError(f"data set {spec.label}: the {what} part has no row of class(es) {missing}; raise subsample")


def _scaling(X: Any, train: Indices) -> Scaling | None:
    """Mean and deviation of each column over the training part, labeled or not; None where X is not tabular."""
    if not isinstance(X, np.ndarray) or X.ndim != 2 or X.dtype.kind not in "fiu":
        return None
    part = X[train].astype(np.float64)
    known = np.isfinite(part)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, part, 0).sum(axis=0) / count
    deviation = np.sqrt((np.where(known, part - mean, 0) ** 2).sum(axis=0) / count)
    deviation[deviation < 1e-12] = 1.0
    return mean, deviation


def _inputs(X: Any, rows: Indices, scaling: Scaling | None) -> Any:
    if scaling is None:
        indexable = isinstance(X, np.ndarray) or sparse.issparse(X)
        part = X[rows] if indexable else as_rows(X).take(torch.from_numpy(rows)).numpy()
        # Task models get numbers in double precision, and these are handed on as they are.
        narrow = isinstance(part, np.ndarray) and part.ndim == 2 and part.dtype == np.float32
        return part.astype(np.float64) if narrow else part
    mean, deviation = scaling
    scaled = (X[rows].astype(np.float64) - mean) / deviation
    return np.nan_to_num(scaled, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32).astype(np.float64)
