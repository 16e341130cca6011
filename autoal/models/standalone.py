"""A trained module together with the standardisation it was trained with, as one module to keep."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from autoal.models.standardise import Standardise
from autoal.models.targets import TargetScale

__all__ = ["Standalone"]


class Standalone(nn.Module):
    """`module` on inputs as the user has them; targets of a regression in the user's units."""

    def __init__(self, module: nn.Module, scale: Standardise | None, targets: TargetScale) -> None:
        super().__init__()
        self.module, self.scale, self.targets = module, scale, targets

    def forward(self, *parts: Any, **named: Any) -> Any:
        if self.scale is not None:  # of modules of this package, which take one tensor
            parts = (self.scale(parts[0].float()), *parts[1:])
        outputs = self.module(*parts, **named)
        if isinstance(outputs, Tensor) and self.targets != TargetScale():
            return self.targets.undone(outputs)
        return outputs
