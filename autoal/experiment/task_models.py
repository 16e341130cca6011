"""The task models a config can name. A new one is one function and one line in `MODELS`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import torch

from autoal.errors import ConfigError, UnknownName
from autoal.experiment.config import ModelSpec
from autoal.models import SklearnModel, TorchModel, TrainConfig
from autoal.models.base import ModelAdapter
from autoal.models.nets import MLP, ResNet18, SmallCNN
from autoal.models.sklearn_adapter import SklearnPosterior as Posterior
from autoal.models.svm import KernelSVM

__all__ = ["MODELS", "check_model", "make_model"]

Shape = tuple[int, ...]
TRAINING = {field.name for field in fields(TrainConfig)}
ADAPTER = {"mc_samples", "posterior", "members", "greedy_strength", "noise_samples", "noise_scale", "gradient_width"}
"""Options of TorchModel that a config can set."""


def _logistic_regression(
    shape: Shape,
    C: int,
    device: torch.device,
    *,
    c: float = 1.0,
    max_iter: int = 1000,
    posterior: Posterior = "auto",
    mc_samples: int = 32,
) -> Any:
    from sklearn.linear_model import LogisticRegression

    return SklearnModel(LogisticRegression(C=c, max_iter=max_iter), posterior=posterior, mc_samples=mc_samples)


def _random_forest(
    shape: Shape,
    C: int,
    device: torch.device,
    *,
    trees: int = 100,
    posterior: Posterior = "auto",
    mc_samples: int = 32,
) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return SklearnModel(RandomForestClassifier(trees), posterior=posterior, mc_samples=mc_samples)


def _hist_gradient_boosting(
    shape: Shape,
    C: int,
    device: torch.device,
    *,
    iterations: int = 100,
    learning_rate: float = 0.1,
    posterior: Posterior = "auto",
    mc_samples: int = 32,
) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    # Early stopping would take a tenth of a few hundred labels away from training.
    model = HistGradientBoostingClassifier(max_iter=iterations, learning_rate=learning_rate, early_stopping=False)
    return SklearnModel(model, posterior=posterior, mc_samples=mc_samples)


def _knn(
    shape: Shape,
    C: int,
    device: torch.device,
    *,
    neighbors: int = 5,
    posterior: Posterior = "auto",
    mc_samples: int = 32,
) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return SklearnModel(KNeighborsClassifier(neighbors), posterior=posterior, mc_samples=mc_samples)


def _svm_rbf(shape: Shape, C: int, device: torch.device, *, c: float = 1.0) -> Any:
    return KernelSVM(c)


def _ridge(
    shape: Shape,
    C: int,
    device: torch.device,
    *,
    alpha: float = 1.0,
    posterior: Posterior = "auto",
    mc_samples: int = 32,
) -> Any:
    from sklearn.linear_model import Ridge

    return SklearnModel(Ridge(alpha=alpha), posterior=posterior, mc_samples=mc_samples)


def _mlp(
    shape: Shape, C: int, device: torch.device, *, hidden: Sequence[int] = (128, 64), dropout: float = 0.5, **train: Any
) -> Any:
    return _torch(lambda: MLP(math.prod(shape), C, tuple(hidden), dropout), device, train)


def _small_cnn(
    shape: Shape, C: int, device: torch.device, *, width: int = 32, dropout: float = 0.5, **train: Any
) -> Any:
    return _torch(lambda: SmallCNN(_channels(shape, "small_cnn"), C, width, dropout), device, train)


def _resnet18(
    shape: Shape, C: int, device: torch.device, *, width: int = 64, dropout: float = 0.2, **train: Any
) -> Any:
    return _torch(lambda: ResNet18(_channels(shape, "resnet18"), C, width, dropout), device, train)


MODELS: dict[str, Callable[..., Any]] = {
    "logistic_regression": _logistic_regression,
    "random_forest": _random_forest,
    "hist_gradient_boosting": _hist_gradient_boosting,
    "knn": _knn,
    "svm_rbf": _svm_rbf,
    "ridge": _ridge,
    "mlp": _mlp,
    "small_cnn": _small_cnn,
    "resnet18": _resnet18,
}
"""name -> builder(row shape, classes (0 in a regression), device, **options). Networks take the fields of
TrainConfig as options too."""


def check_model(spec: ModelSpec) -> None:
    """Raises UnknownName for the model, ConfigError for an option it does not take."""
    if spec.name not in MODELS:
        raise UnknownName("model", spec.name, MODELS)
    parameters = inspect.signature(MODELS[spec.name]).parameters
    known = {name for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        known |= TRAINING | ADAPTER
    for option in spec.options:
        if option not in known:
            raise ConfigError(f"model {spec.name!r}: {UnknownName('option', option, known)}")


def make_model(spec: ModelSpec, row_shape: Shape, num_classes: int, device: torch.device) -> ModelAdapter:
    """An untrained adapter for rows of that shape. Raises what check_model raises."""
    check_model(spec)
    model: ModelAdapter = MODELS[spec.name](row_shape, num_classes, device, **spec.options)
    return model


def _torch(factory: Callable[[], torch.nn.Module], device: torch.device, options: dict[str, Any]) -> TorchModel:
    own = {name: options.pop(name) for name in sorted(ADAPTER) if name in options}
    return TorchModel(factory, config=TrainConfig(**options), device=device, normalise=True, **own)


def _channels(shape: Shape, name: str) -> int:
    if len(shape) != 3:
        raise ConfigError(f"model {name!r} needs images, got rows of shape {shape}; use 'mlp' or 'logistic_regression'")
    return shape[0]
