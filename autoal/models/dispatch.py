"""From whatever a user calls a model to a ModelAdapter."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from torch import nn

from autoal.data.rows import Rows
from autoal.errors import InvalidInput
from autoal.models.base import ModelAdapter, Progress
from autoal.models.defaults import default_estimator, suits_estimator
from autoal.models.nets import default_net
from autoal.models.precomputed import OverlaidModel, PrecomputedModel
from autoal.models.sklearn_adapter import SklearnModel, regresses
from autoal.models.torch_adapter import TorchModel
from autoal.models.training import TrainConfig

__all__ = ["as_adapter", "is_regressor_model", "known_classes"]


def as_adapter(
    model: Any,
    row_shape: Sequence[int] | None,
    num_classes: int,
    *,
    device: str | torch.device = "auto",
    probs: Any = None,
    embeddings: Any = None,
    mc_probs: Any = None,
    means: Any = None,
    mc_means: Any = None,
    config: TrainConfig | None = None,
    mc_samples: int | None = None,
    progress: Progress | None = None,
    rows: Rows | None = None,
    n_labeled: int = 0,
) -> ModelAdapter:
    """The adapter for `model`; `num_classes` 0 is a regression.

    - None: what suits the rows, `default_model`; where `probs` or `means` are given, nothing but them.
    - an nn.Module, a module class or a function that makes one, without arguments or from (row_shape, num_classes);
    - a scikit-learn or skorch classifier or regressor; a ModelAdapter as it is.

    `probs`, `embeddings`, `mc_probs`, `means` and `mc_means` (one row for each row of the data) take the place of the
    model's own outputs.
    `config`, `mc_samples` and `progress` go to the adapters that know them. Raises InvalidInput for anything else.
    """
    extras = {"probs": probs, "embeddings": embeddings, "mc_probs": mc_probs, "means": means, "mc_means": mc_means}
    given = {name: values for name, values in extras.items() if values is not None}
    overlay = PrecomputedModel(**given) if given else None
    if model is None and overlay is not None and given.keys() & {"probs", "means"}:
        return overlay
    samples: dict[str, Any] = {} if mc_samples is None else {"mc_samples": mc_samples}
    adapter: ModelAdapter
    if row_shape is None and (model is None or callable(model)) and not isinstance(model, nn.Module | BaseEstimator):
        assert rows is not None, "wanted row_shape or rows"
        row_shape = () if model is None and suits_estimator(rows) else rows.row_shape
    shape = () if row_shape is None else tuple(row_shape)
    if model is None and rows is not None and suits_estimator(rows):
        adapter = SklearnModel(default_estimator(rows, num_classes, n_labeled), **samples)
    elif model is None:
        maker: Callable[[], nn.Module] = partial(default_net, shape, num_classes)
        adapter = TorchModel(maker, config=config, device=device, progress=progress, normalise=True, **samples)
    elif _is_adapter(model):
        adapter = model
    elif isinstance(model, BaseEstimator) or _is_estimator(model):
        adapter = SklearnModel(model, **samples)
    elif isinstance(model, nn.Module):
        adapter = TorchModel(model, config=config, device=device, progress=progress, **samples)
    elif isinstance(model, type) and issubclass(model, BaseEstimator):
        raise InvalidInput(f"got the class {model.__name__} as model; wanted an estimator: {model.__name__}()")
    elif callable(model):
        maker = _without_arguments(model, shape, num_classes)
        adapter = TorchModel(maker, config=config, device=device, progress=progress, **samples)
    else:
        raise InvalidInput(
            f"got model of type {type(model).__name__}; wanted an nn.Module, a function that makes one, a scikit-learn "
            "classifier with predict_proba or regressor, a ModelAdapter, or None for a small network of ours"
        )
    return adapter if overlay is None else OverlaidModel(adapter, overlay)


def is_regressor_model(model: Any) -> bool:
    """Whether `model` says of itself that it predicts targets, and not classes."""
    if isinstance(model, SklearnModel):
        return model.regressor
    return _is_estimator(model) and not _is_adapter(model) and regresses(model)


def known_classes(model: Any) -> Any:
    """(C,) the labels that a frozen estimator was fitted on long ago; None for a model that is fitted here."""
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    return getattr(last, "classes_", None) if isinstance(last, FrozenEstimator) else None


def _is_adapter(model: Any) -> bool:
    """A ModelAdapter may lack the `predict_` method of the task it is not made for."""
    has = [hasattr(model, name) for name in ("predict_log_probs", "predict_means")]
    return any(has) and all(hasattr(model, name) for name in ("provides", "fit", "outputs"))


def _is_estimator(model: Any) -> bool:
    if isinstance(model, (type, nn.Module)):
        return False
    if isinstance(model, BaseEstimator) and hasattr(model, "fit"):  # stacking can predict only once it is fitted
        return True
    return hasattr(model, "predict_proba") or (hasattr(model, "fit") and hasattr(model, "predict"))


def _without_arguments(
    maker: Callable[..., nn.Module], row_shape: tuple[int, ...], num_classes: int
) -> Callable[[], nn.Module]:
    """`maker` with what it requires filled in."""
    try:
        parameters = inspect.signature(maker).parameters.values()
    except ValueError:  # some built-ins tell nothing of their arguments
        return maker
    required = [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if not required:
        return maker
    if len(required) == 2:
        return partial(maker, row_shape, num_classes)
    raise InvalidInput(
        f"the model function {getattr(maker, '__name__', maker)!r} requires {required}; wanted a function "
        "without arguments, or of (row_shape, num_classes)"
    )
