"""Models behind one protocol: torch modules, scikit-learn estimators, precomputed outputs."""

from autoal.models.base import ModelAdapter, Progress, fit_model
from autoal.models.dispatch import as_adapter, is_regressor_model, known_classes
from autoal.models.dropout import mc_dropout
from autoal.models.nets import MLP, EmbeddingNet, ResNet18, SmallCNN, default_net
from autoal.models.precomputed import OverlaidModel, PrecomputedModel
from autoal.models.sklearn_adapter import SklearnModel
from autoal.models.torch_adapter import TorchModel
from autoal.models.training import TrainConfig, train

__all__ = [
    "MLP",
    "EmbeddingNet",
    "ModelAdapter",
    "OverlaidModel",
    "PrecomputedModel",
    "Progress",
    "ResNet18",
    "SklearnModel",
    "SmallCNN",
    "TorchModel",
    "TrainConfig",
    "as_adapter",
    "default_net",
    "fit_model",
    "is_regressor_model",
    "known_classes",
    "mc_dropout",
    "train",
]
