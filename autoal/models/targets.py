"""Labels of both tasks: which fields belong to which, checks, and targets brought to mean 0 and deviation 1."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from autoal.errors import InvalidInput
from autoal.outputs import OUTPUT_FIELDS

__all__ = ["TargetScale", "check_labels", "fields_of"]

_CLASSES_ONLY = frozenset(
    {"log_probs", "mc_log_probs", "ensemble_log_probs", "greedy_log_probs", "gradient_norms", "logits"}
)
_TARGETS_ONLY = frozenset({"means", "mc_means"})


def fields_of(num_classes: int | None) -> frozenset[str]:
    """Fields of ModelOutputs that mean something with C classes, in a regression (0), in either (None)."""
    if num_classes is None:
        return OUTPUT_FIELDS
    return OUTPUT_FIELDS - (_TARGETS_ONLY if num_classes else _CLASSES_ONLY)


def check_labels(labels: Tensor, num_classes: int) -> None:
    """Raises InvalidInput for targets in a classification, and for targets that are not finite."""
    if num_classes and labels.dtype.is_floating_point:
        raise InvalidInput(
            f"got labels of {labels.dtype} for {num_classes} classes; wanted class numbers, int64 (n,); targets of a "
            "regression go with num_classes=0"
        )
    if not num_classes and (labels.ndim != 1 or not bool(labels.isfinite().all())):
        raise InvalidInput(f"got targets of shape {tuple(labels.shape)}; wanted finite numbers (n,)")


@dataclass(frozen=True)
class TargetScale:
    """Mean and standard deviation of the training targets, in float64; a constant target keeps deviation 1."""

    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def of(cls, targets: Tensor) -> TargetScale:
        """Of targets (n,); sums are of sorted values, hence the same for the same targets in another order."""
        values = targets.double().cpu().sort().values
        mean = float(values.mean())
        std = float((values - mean).square().sort().values.mean().sqrt())
        return cls(mean, std if std > 1e-12 * (1.0 + abs(mean)) else 1.0)

    def standardised(self, targets: Tensor) -> Tensor:
        return ((targets.double() - self.mean) / self.std).float()

    def undone(self, outputs: Tensor) -> Tensor:
        """float32, in units of the targets."""
        return (outputs.double() * self.std + self.mean).float()
