"""A scikit-learn classifier or regressor as a model; skorch's too."""

from __future__ import annotations

import copy
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from sklearn.base import BaseEstimator, clone, is_regressor
from torch import Tensor

from autoal import rng
from autoal.compute import chunks
from autoal.data.faces import AS_GIVEN, FIRST
from autoal.data.notes import Quiet
from autoal.data.rows import Rows, check_finite
from autoal.errors import AutoALError, InvalidInput, MissingOutput, NotFitted
from autoal.lazy import is_a
from autoal.models.gathered import Gathered
from autoal.models.head import GRADIENT_WIDTH, HEAD_FIELDS, Head
from autoal.models.sklearn_features import SPARSE_WIDTH, Featurizer, before_last
from autoal.models.sklearn_members import can_sample, member_means, member_probabilities
from autoal.models.targets import check_labels, fields_of
from autoal.outputs import ModelOutputs

__all__ = ["SklearnModel", "log_probabilities", "regresses"]

SklearnPosterior = Literal["auto", "members", "laplace", "none"]

_FLOOR = 1e-12


class SklearnModel:
    """ModelAdapter of a classifier with `predict_proba`, or of a regressor; the estimator is cloned, never fitted.

    Labels are the user's own, and a `random_state` that the user set stays; one left at None is set from the
    seed. Without `predict_proba` the softmax of `decision_function` stands for probabilities: it orders points, and is
    not calibrated.

    It gets the rows in the container they came in, untouched: array, frame, list of texts, dict. One that refuses them
    gets the next form there is (pictures flattened, a frame of one column as that column), and `notes` says so. A class
    without labels yet gets probability 1e-12.

    Embeddings: the hidden layer of an MLPClassifier or MLPRegressor, else what the last step of a pipeline sees,
    standardised over all rows of what `fit` was given (so that other rows land in the same space), else the
    standardised inputs, sparse ones reduced to 64 columns; where these are no numbers, what the encoder of the rows
    makes of them, and that of the user where one was given. `inputs` are the rows themselves, standardised and reduced
    in the same way. Ensembles whose members have `predict_proba` (forests, bagging, voting), and those of
    regressors, give MC samples: their first `mc_samples` members, of classifiers also as `ensemble_log_probs`.
    Targets of a regressor are not scaled (TransformedTargetRegressor does that). Other estimators give draws of a
    last layer fitted on the embeddings of the labeled points (`Head`: softmax regression, or exact Bayesian linear
    regression). `posterior` chooses: "members", "laplace", "none", or "auto", members where there are such, else
    laplace. Logits, gradients, their norms and deviations are those of that layer, whatever the estimator.

    Raises InvalidInput for an estimator that is no regressor and has neither of the two; some say what they have only
    once they are fitted, so that `fit` raises.
    """

    def __init__(self, estimator: BaseEstimator, *, mc_samples: int = 32, posterior: SklearnPosterior = "auto") -> None:
        name = type(estimator).__name__
        if posterior not in ("auto", "members", "laplace", "none"):
            raise InvalidInput(f"got posterior={posterior!r}; wanted 'auto', 'members', 'laplace' or 'none'")
        self.posterior = posterior
        self.regressor = regresses(estimator)
        """Whether it predicts targets, and not classes."""
        says = hasattr(estimator, "predict_proba") or hasattr(estimator, "decision_function")
        if not self.regressor and not (hasattr(estimator, "fit") and (says or _tells_late(estimator))):
            raise InvalidInput(_neither(name))
        self.estimator, self.mc_samples = estimator, mc_samples
        self.fitted: Any = None
        """The clone the latest `fit` trained; None before."""
        self.num_classes = 0
        self._numbers: dict[Any, int] = {}
        self._form = AS_GIVEN
        self.notes: list[str] = []
        """What the latest `fit` had to do that the user may not expect, one sentence each."""
        self._featurizer: Featurizer | None = None
        self._standard = Featurizer(None)
        self._fitted_on: Rows | None = None
        self._known: tuple[Tensor, Tensor] | None = None
        self._head: Head | None = None

    @property
    def provides(self) -> frozenset[str]:
        given = {"log_probs", "means", "embeddings", "inputs", *HEAD_FIELDS}
        if self.regressor:
            given.discard("deviations")
        if self._sampler() != "none":
            given |= {"mc_log_probs", "mc_means"}
        if can_sample(_last_step(self.estimator)):
            given.add("ensemble_log_probs")
        return frozenset(given) & fields_of(0 if self.regressor else 1)

    def fit(
        self,
        rows: Rows,
        indices: Tensor,
        labels: Tensor,
        num_classes: int,
        *,
        seed: int,
        classes: NDArray[Any] | None = None,
    ) -> None:
        """Fits a clone on rows[indices]. Raises InvalidInput with the estimator's own words where it fails.

        `classes` (C,) are the user's labels, by class number: the estimator is fitted on those, so that its class
        weights and scorers mean what the user wrote. Without them it is fitted on the numbers. One that refuses labels
        which are not 0..k-1 (XGBoost) gets codes of the classes there are, and its columns are mapped back.
        """
        check_labels(labels, num_classes)
        if self.regressor != (num_classes == 0):
            name = type(self.estimator).__name__
            raise InvalidInput(
                f"got {num_classes} classes for {name}, a regressor; wanted targets, or a classifier"
                if self.regressor
                else f"got targets of a regression for {name}, a classifier; wanted classes, or a regressor"
            )
        fitted = _fresh(self.estimator)
        parameters = fitted.get_params(deep=True)
        seeds = {
            name: rng.derive_seed(seed, "sklearn", name) % 2**31
            for name in sorted(parameters)
            if (name == "random_state" or name.endswith("__random_state")) and parameters[name] is None
        }
        if seeds:
            fitted.set_params(**seeds)
        with rng.isolated(rng.derive_seed(seed, "sklearn")):
            fitted, self._numbers = self._first_that_fits(fitted, rows, indices, labels, classes)
        self.fitted, self.num_classes, self._fitted_on = fitted, num_classes, rows
        self._featurizer = Featurizer(fitted)
        self._known, self._head = (indices, labels), None

    def _first_that_fits(
        self, fitted: Any, rows: Rows, indices: Tensor, labels: Tensor, classes: NDArray[Any] | None
    ) -> tuple[Any, dict[Any, int]]:
        """The estimator, fitted on the rows as they were given; where it refuses those, in the next of their forms."""
        refused: Exception | None = None
        self.notes = []
        for name in rows.forms:
            try:
                found = self._trained(_fresh(fitted), rows.form(name, indices), labels, classes)
            except AutoALError:
                raise
            except Exception as error:
                refused = refused or error
                continue
            if not (self.regressor or hasattr(found[0], "predict_proba") or hasattr(found[0], "decision_function")):
                raise InvalidInput(_neither(type(fitted).__name__))
            self._form = name
            if refused is not None:
                note = f"{type(fitted).__name__} refuses the rows {AS_GIVEN}, and got {name}"
                self.notes.append(note if name == FIRST else Quiet(note))
            if getattr(rows, "is_sparse", False) and rows.row_shape[0] > SPARSE_WIDTH:
                self.notes.append(
                    Quiet(
                        f"the rows are sparse: distances between them are those of {SPARSE_WIDTH} columns that they "
                        "were reduced to; the same numbers in an array are compared as they are, and may lead to "
                        "other picks"
                    )
                )
            return found
        assert refused is not None
        raise InvalidInput(
            f"{type(fitted).__name__}.fit fails on {len(indices)} rows"
            + (f": {refused}" if self.regressor else f" of {len(labels.unique())} classes: {refused}")
            + _advice(rows)
        ) from refused

    def _trained(
        self, estimator: Any, x: Any, labels: Tensor, classes: NDArray[Any] | None
    ) -> tuple[Any, dict[Any, int]]:
        """The estimator, fitted, and the class number of each label it was fitted on."""
        if self.regressor:
            targets = labels.cpu().numpy()
            try:
                return _fresh(estimator).fit(x, targets), {}
            except Exception:
                if not _is_skorch(_last_step(estimator)):
                    raise
                return estimator.fit(x, targets.astype(np.float32).reshape(-1, 1)), {}
        numbers = labels.cpu().numpy()
        table = np.arange(int(numbers.max()) + 1) if classes is None else np.asarray(classes)
        net = _is_skorch(_last_step(estimator))  # its columns are its outputs, whatever the labels are called
        present = np.unique(numbers)
        spare = _fresh(estimator)
        try:
            fitted = estimator.fit(x, table[numbers])
        except AutoALError:
            raise
        except Exception:
            codes = np.arange(len(table)) if net else present
            if table.dtype.kind in "iu" and np.array_equal(table[present], np.arange(len(present))):
                raise  # the labels are such codes already
            number_of = dict(enumerate(codes.tolist()))
            self.notes.append(
                Quiet(f"{type(spare).__name__} refuses the labels as they are, and was fitted on 0, 1, 2, ...")
            )
            return spare.fit(x, np.searchsorted(codes, numbers)), number_of
        return fitted, {label: number for number, label in enumerate(table.tolist())}

    def _columns(self, fitted: Any, width: int) -> NDArray[np.int64]:
        """The class number of each column of a fitted estimator. Raises InvalidInput for classes nobody named."""
        name = type(fitted).__name__
        given = getattr(fitted, "classes_", None)
        if given is None or (_is_skorch(_last_step(fitted)) and width == self.num_classes):
            given = np.arange(width)
            known = {label: label for label in range(self.num_classes)}
        else:
            known = self._numbers
        labels = np.asarray(given).tolist()
        if len(labels) != width:
            raise InvalidInput(f"{name} gives {width} columns for {len(labels)} classes; wanted one column a class")
        unknown = [label for label in labels if label not in known]
        if unknown:
            raise InvalidInput(
                f"{name} knows the classes {labels[:10]}, of which {unknown[:5]} are not among the labels "
                f"({list(known)[:10]}); name all of them with classes=[...], as the model has them"
            )
        return np.asarray([known[label] for label in labels], dtype=np.int64)

    def _sampler(self) -> str:
        if self.posterior in ("auto", "members") and can_sample(_last_step(self.estimator)):
            return "members"
        return "laplace" if self.posterior in ("auto", "laplace") else "none"

    def _fitted_head(self) -> Head:
        """The last layer on the embeddings of the labeled points, fitted when first asked for."""
        if self._head is None:
            assert self._fitted_on is not None and self._known is not None
            indices, labels = self._known
            needs = frozenset({"embeddings"})
            known = self.outputs(self._fitted_on, indices, needs, seed=0, device=torch.device("cpu"))
            self._head = Head(known.require("embeddings"), labels, self.num_classes, self.mc_samples)
        return self._head

    def outputs(
        self, rows: Rows, indices: Tensor, needs: frozenset[str], *, seed: int, device: torch.device
    ) -> ModelOutputs:
        """The fields in `needs` for rows[indices], on `device`. Raises MissingOutput, NotFitted."""
        missing = sorted(needs - self.provides)
        if missing:
            raise MissingOutput(
                f"{type(self.estimator).__name__} cannot give {', '.join(missing)}, "
                f"only {', '.join(sorted(self.provides))}"
            )
        if self.fitted is None or self._featurizer is None or self._fitted_on is None:
            raise NotFitted("the model has not been trained; call fit first")
        parts = Gathered.of(needs, len(indices))
        width = rows.cost + self.num_classes * self.mc_samples
        width += GRADIENT_WIDTH if "gradients" in needs else 0
        of_head = needs & HEAD_FIELDS
        if self._sampler() == "laplace":
            of_head |= needs & {"mc_log_probs", "mc_means"}
        head = self._fitted_head() if of_head else None
        members = needs - of_head & {"mc_log_probs", "ensemble_log_probs"}
        # Some estimators draw when they predict; all of them then depend on the seed alone.
        with rng.isolated(rng.derive_seed(seed, "outputs")):
            if "embeddings" in needs or head is not None:
                fitted_on = self._fitted_on
                self._featurizer.look_at(fitted_on, lambda part: self._inputs(fitted_on, part), self._form)
            if "inputs" in needs:
                inputs_of = self._fitted_on
                self._standard.look_at(inputs_of, lambda part: _as_numbers(inputs_of, part))
            for part in chunks(len(indices), 32.0 * width):
                x = self._inputs(rows, indices[part])
                try:
                    if "log_probs" in needs:
                        parts["log_probs"].append(self._log_probs(x))
                    if "means" in needs:
                        parts["means"].append(_targets(self._predicted(x)))
                except InvalidInput as error:  # its cause is what the estimator itself says
                    raise InvalidInput(f"{error}{_advice(rows) if error.__cause__ else ''}") from error
                features = None
                if "embeddings" in needs or head is not None:
                    features = self._featurizer(x, rows, indices[part])
                if "embeddings" in needs and features is not None:
                    parts["embeddings"].append(features)
                if "inputs" in needs:
                    parts["inputs"].append(self._standard(_as_numbers(rows, indices[part]), rows, indices[part]))
                if head is not None and features is not None:
                    for name, values in head.outputs(features, of_head, seed).items():
                        parts[name].append(values)
                for name in members:
                    parts[name].append(self._member_log_probs(x))
                if "mc_means" in needs - of_head:
                    means = member_means(_last_step(self.fitted), self._before_last(x), self.mc_samples)
                    parts["mc_means"].append(torch.stack([_targets(member) for member in means], dim=1))
        whole = {name: gathered.whole() for name, gathered in parts.items()}
        return ModelOutputs(**{name: rows.to(device) for name, rows in whole.items() if rows is not None})

    def predict_log_probs(self, rows: Rows, indices: Tensor) -> Tensor:
        """(n, C) float32 log probabilities on the CPU."""
        needs = frozenset({"log_probs"})
        return self.outputs(rows, indices, needs, seed=0, device=torch.device("cpu")).require("log_probs")

    def predict_means(self, rows: Rows, indices: Tensor) -> Tensor:
        """(n,) float32 predicted targets on the CPU."""
        needs = frozenset({"means"})
        return self.outputs(rows, indices, needs, seed=0, device=torch.device("cpu")).require("means")

    def _inputs(self, rows: Rows, indices: Tensor) -> Any:
        return rows.form(self._form, indices)

    def _log_probs(self, x: Any) -> Tensor:
        name = type(self.fitted).__name__
        method = "predict_proba" if hasattr(self.fitted, "predict_proba") else "decision_function"
        try:
            said = getattr(self.fitted, method)(x)
        except AutoALError:
            raise
        except Exception as error:
            raise InvalidInput(f"{name}.{method} fails: {error}") from error
        probs = said if method == "predict_proba" else _softmaxed(np.asarray(said), name)
        if not isinstance(probs, np.ndarray) or probs.ndim != 2:
            raise InvalidInput(f"{name}.predict_proba gives no (n, C) array; wanted one label per point")
        check_probabilities(probs, name)
        return log_probabilities(probs, self._columns(self.fitted, probs.shape[1]), self.num_classes)

    def _predicted(self, x: Any) -> NDArray[Any]:
        try:
            return np.asarray(self.fitted.predict(x))
        except AutoALError:
            raise
        except Exception as error:
            raise InvalidInput(f"{type(self.fitted).__name__}.predict fails: {error}") from error

    def _before_last(self, x: Any) -> Any:
        """What the last step of a pipeline sees."""
        return before_last(self.fitted, x)

    def _member_log_probs(self, x: Any) -> Tensor:
        last = _last_step(self.fitted)
        columns = self._columns(last, len(last.classes_))
        members = member_probabilities(last, self._before_last(x), self.mc_samples)
        return torch.stack(
            [log_probabilities(probs, columns[places], self.num_classes) for probs, places in members], dim=1
        )


def check_probabilities(probs: NDArray[Any], name: str) -> None:
    """Raises InvalidInput where `probs` (n, C) are no probabilities of two classes or more."""
    got = f"{name}.predict_proba gives"
    if probs.shape[1] < 2:
        raise InvalidInput(
            f"{got} {probs.shape[1]} column(s); wanted one for each class, also where there are two: "
            "np.column_stack([1 - p, p])"
        )
    sums = probs.sum(axis=1)
    bad = np.flatnonzero(~(np.abs(sums - 1) <= 1e-3) | (probs < -1e-9).any(axis=1))
    if len(bad):
        raise InvalidInput(
            f"{got} rows that are no probabilities: {len(bad)} of {len(probs)} hold values below 0 or do not sum to 1 "
            f"(the first sums to {sums[bad[0]]:.4g}); wanted probabilities of the classes"
        )


def _softmaxed(decision: NDArray[Any], name: str) -> NDArray[np.float64]:
    """(n, C) what stands for probabilities where an estimator only has a decision function: its softmax, of two classes
    the logistic function; it orders points, and is not calibrated."""
    if decision.ndim == 1:
        decision = np.column_stack([np.zeros(len(decision)), decision])
    if not np.isfinite(decision).all():
        raise InvalidInput(f"{name}.decision_function gives NaN or infinite values; check the inputs")
    return np.asarray(special.softmax(decision.astype(np.float64), axis=1))


def _fresh(estimator: Any) -> Any:
    """An unfitted copy: a clone, or a deep copy of one that `clone` refuses because its constructor changes what it is
    given."""
    try:
        return clone(estimator)
    except (RuntimeError, TypeError):
        return copy.deepcopy(estimator)


def log_probabilities(probs: NDArray[Any], classes: NDArray[np.int64], num_classes: int) -> Tensor:
    """(n, C) float32 log probabilities from columns for `classes` only; nothing is below 1e-12."""
    full = np.full((len(probs), num_classes), _FLOOR)
    full[:, classes] = np.maximum(probs, _FLOOR)
    return torch.from_numpy(np.log(full / full.sum(axis=1, keepdims=True)).astype(np.float32))


def _targets(predicted: NDArray[Any]) -> Tensor:
    """(n,) float32; estimators of several outputs that were given one may answer (n, 1)."""
    with np.errstate(over="ignore"):  # what is too large becomes inf, which the check of outputs reports
        return torch.from_numpy(predicted.reshape(len(predicted)).astype(np.float32))


def _as_numbers(rows: Rows, indices: Tensor) -> Any:
    """The rows where they are numbers, sparse where they came so; else what stands for them in distances."""
    if rows.kind == "numbers" and rows.encoder is None:
        return rows.form(AS_GIVEN, indices)
    return (rows.take(indices) if rows.kind == "pictures" else rows.encoded(indices)).flatten(1).numpy()


def _advice(rows: Rows) -> str:
    """What to do about the commonest reasons for which an estimator refuses rows."""
    if rows.kind == "table":
        return "; the table went to it as it is: put a step before it, as make_pipeline(skrub.TableVectorizer(), model)"
    if rows.kind == "texts":
        return "; the texts went to it as they are: put a step before it, as make_pipeline(TfidfVectorizer(), model)"
    if rows.kind == "numbers":
        try:
            for part in rows.sources:
                check_finite(part, what=part.what)
        except InvalidInput as error:
            return f"; {error}, or put a step before it: make_pipeline(SimpleImputer(), model)"
    return ""


def regresses(estimator: Any) -> bool:
    """Whether an estimator predicts targets."""
    try:
        return bool(is_regressor(estimator))
    except AttributeError:  # no estimator of scikit-learn's own kind
        return getattr(estimator, "_estimator_type", None) == "regressor"


def _tells_late(estimator: Any) -> bool:
    """Whether it depends on estimators within what it can answer, which some (stacking) make in `fit` only."""
    return any(hasattr(_last_step(estimator), name) for name in ("final_estimator", "estimator"))


def _neither(name: str) -> str:
    return (
        f"got {name}, which has neither predict_proba nor decision_function; wrap it: "
        f"sklearn.ensemble.BaggingClassifier({name}(...)), whose shares of votes are probabilities, or choose an "
        "option that gives them"
    )


def _last_step(estimator: Any) -> Any:
    return estimator.steps[-1][1] if is_a(estimator, "sklearn.pipeline", "Pipeline") else estimator


def _is_skorch(estimator: Any) -> bool:
    return any(kind.__module__.split(".")[0] == "skorch" for kind in type(estimator).__mro__)
