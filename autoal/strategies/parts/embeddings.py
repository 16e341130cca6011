"""Embeddings as the strategies read them."""

from __future__ import annotations

from torch import Tensor

from autoal.errors import InvalidInput
from autoal.outputs import PoolView

__all__ = ["pool_and_labeled"]


def pool_and_labeled(view: PoolView, field: str = "embeddings") -> tuple[Tensor, Tensor]:
    """Embeddings, or another field, of the pool (N, D) and of the labeled points (L, D), on one device. With no
    labeled point, the field of the labeled outputs may be missing. Raises InvalidInput where the widths differ."""
    pool = view.pool.require(field)
    if len(view.labels) == 0 or len(view.labeled) == 0:
        return pool, pool.new_zeros(0, pool.shape[1])
    labeled = view.labeled.require(field).to(pool.device)
    if labeled.shape[1] != pool.shape[1]:
        raise InvalidInput(
            f"{field} of the labeled points have {labeled.shape[1]} columns, those of the pool {pool.shape[1]}; "
            "both must come from the same model"
        )
    return pool, labeled
