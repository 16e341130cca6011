"""Lists of one class each, merged. Axes: N pool."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["merged_by_rank"]


def merged_by_rank(values_N: Tensor, group_N: Tensor) -> Tensor:
    """(N,) in (-1, 0]: minus the number of points of its own group with a larger value, over the size of the largest
    group. Its order takes the best of each group, then the second of each, and within such a turn the larger value
    first; equal values of a group share a score.
    """
    values_N = values_N.double()
    _, level_N, count = torch.unique(-values_N, return_inverse=True, return_counts=True)
    within_N = (count.cumsum(0) - count)[level_N].double() / len(values_N)
    by_value = torch.sort(values_N, descending=True, stable=True).indices
    order = by_value[torch.sort(group_N[by_value], stable=True).indices]
    values, groups = values_N[order], group_N[order]
    place = torch.arange(len(order), device=order.device)
    starts = torch.ones(len(order), dtype=torch.bool, device=order.device)
    starts[1:] = groups[1:] != groups[:-1]
    new = starts.clone()
    new[1:] |= values[1:] != values[:-1]
    start = torch.where(starts, place, 0).cummax(0).values
    rank = torch.where(new, place, 0).cummax(0).values - start
    largest = int(torch.bincount(group_N).max())
    return torch.empty_like(values_N).index_copy_(0, order, -(rank + within_N[order]) / largest)
