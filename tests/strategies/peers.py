"""What a peer package needs before it runs beside this one."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch

__all__ = ["bmdal_reg_batch", "import_bmdal_reg"]


def import_bmdal_reg(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """bmdal_reg 3.0.2, for which names that NumPy 2 dropped are put back until the test ends; skips without it."""
    monkeypatch.setattr(np, "Inf", np.inf, raising=False)
    monkeypatch.setattr(np, "int", int, raising=False)
    pytest.importorskip("dill")
    return pytest.importorskip("bmdal_reg.bmdal.selection")


def bmdal_reg_batch(
    selection: ModuleType, method: str, pool: torch.Tensor, labeled: torch.Tensor, count: int, tp: bool, **options
) -> list[int]:
    """The batch of a selection class of bmdal_reg on rows of features."""
    from bmdal_reg.bmdal.feature_data import TensorFeatureData
    from bmdal_reg.bmdal.feature_maps import IdentityFeatureMap
    from bmdal_reg.bmdal.features import Features

    spaces = [Features(IdentityFeatureMap(pool.shape[1]), TensorFeatureData(rows)) for rows in (pool, labeled)]
    chosen = getattr(selection, method)(*spaces, sel_with_train=tp, verbosity=0, **options).select(count)
    return chosen.tolist()
