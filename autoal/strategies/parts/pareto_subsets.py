"""Subsets on the Pareto front of two summed objectives, with no weight between them: the search of POAL."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from autoal.errors import InvalidInput, UnknownName
from autoal.strategies.base import check_batch_size
from autoal.strategies.parts.pareto import Archive, FrontWatch, extreme_subsets, nondominated, pareto_layers

__all__ = ["ParetoSelection", "poal_select"]

ENGINES = ("monte_carlo", "supported", "exact")
PICKS = ("intersection", "max_utility", "knee")
MOST_SUBSETS = 1_000_000
"""What `engine="exact"` will list."""
SUMS_PER_UNIT = 10**10
"""Sums closer than this fraction of an objective's range are equal, so that the order of addition decides nothing."""
SHUFFLE_ITEMS = 2**22
"""Largest table of permutations, in entries."""


@dataclass(frozen=True)
class ParetoSelection:
    """What `poal_select` found."""

    indices: Tensor
    """(b,) distinct positions, best first."""
    engine: str
    """The engine that chose, or `ranking` where there was nothing to trade off."""
    draws: int
    """Subsets looked at."""
    stopped_early: bool
    """Whether the front came to rest before the last draw."""
    front: Tensor
    """(F, 2) float64, summed utility and confidence of each subset on the front, by falling utility."""
    layers: Tensor
    """(N,) Pareto layer of each item, 1 the best."""


def poal_select(
    utility_N: Tensor,
    confidence_N: Tensor,
    batch_size: int,
    rng: torch.Generator,
    *,
    preselect_factor: int = 6,
    draws: int | None = None,
    block: int = 1024,
    check_every: int = 200,
    window: int = 10,
    tolerance: float = 0.01,
    pick: str = "intersection",
    engine: str = "monte_carlo",
    early_stop: bool = True,
) -> ParetoSelection:
    """`batch_size` positions (all N, where there are no more) from the Pareto front of subsets of that size.

    Pareto layers of items are taken until `preselect_factor` times the batch are candidates; subsets of these are
    compared by summed utility and summed confidence, both maximised; `pick` chooses one of the front: the subset that
    shares most items with the others, the one of most utility, or the one nearest to the ideal point.

    `engine="monte_carlo"` is the published search, `draws` subsets drawn at random (default: batch times
    candidates, 200 000 at most). `"supported"` finds every extreme point of the true front instead, `"exact"` lists
    all subsets of a small problem; neither is POAL, and a table must say so. Answers do not change when an objective is
    multiplied by a positive number or shifted, nor with the order of items whose pairs differ.

    Raises InvalidInput on NaN or infinity; -inf in the confidence means certainly out of distribution.
    """
    for name, value, known in (("engine", engine, ENGINES), ("pick", pick, PICKS)):
        if value not in known:
            raise UnknownName(name, value, known)
    n = len(utility_N)
    check_batch_size(batch_size, max(n, batch_size))
    values_N_2 = _checked(utility_N, confidence_N)
    layers_N = pareto_layers(values_N_2[:, 0], values_N_2[:, 1])

    # Canonical order: what is drawn depends on the values, on positions only where pairs are equal.
    shuffle = torch.randperm(n, generator=rng).numpy()
    order = shuffle[np.lexsort((-values_N_2[shuffle, 1], -values_N_2[shuffle, 0]))]
    enough = min(preselect_factor * batch_size, n)
    last_layer = int(np.searchsorted(np.bincount(layers_N)[1:].cumsum(), enough)) + 1
    candidates = order[layers_N[order] <= last_layer]

    scaled_N_2 = _unit(values_N_2)
    made, stopped = 0, False
    if batch_size >= n or (np.ptp(values_N_2, axis=0) == 0).any() or len(candidates) <= batch_size:
        engine = "ranking"
        if len(candidates) > batch_size:  # a constant objective adds nothing to the sum
            candidates = shuffle[np.argsort(-scaled_N_2[shuffle].sum(axis=1), kind="stable")]
        subsets_F_b = candidates[None, :batch_size]
    else:
        unit = _unit(values_N_2[candidates])
        if engine == "supported":
            members = extreme_subsets(unit[:, 0], unit[:, 1], batch_size)
        elif engine == "exact":
            members = _all_subsets(len(candidates), batch_size)
            members = members[nondominated(_sums(unit, members.T))]
        else:
            wanted = min(batch_size * len(candidates), 200_000) if draws is None else draws
            watch = FrontWatch(window, tolerance) if early_stop else None
            archive, made, stopped = _monte_carlo(unit, batch_size, wanted, block, check_every, watch, rng)
            members = archive.members_F_b
        subsets_F_b = candidates[members]

    front_F_2 = values_N_2[subsets_F_b].sum(axis=1)
    by_utility = np.lexsort((-front_F_2[:, 1], -front_F_2[:, 0]))
    subsets_F_b, front_F_2 = subsets_F_b[by_utility], front_F_2[by_utility]
    chosen = subsets_F_b[_pick(subsets_F_b, front_F_2, pick, n)]
    chosen = chosen[np.argsort(-scaled_N_2[chosen].sum(axis=1), kind="stable")]
    return ParetoSelection(
        indices=torch.from_numpy(chosen).to(utility_N.device),
        engine=engine,
        draws=made,
        stopped_early=stopped,
        front=torch.from_numpy(front_F_2),
        layers=torch.from_numpy(layers_N).to(utility_N.device),
    )


def _checked(utility_N: Tensor, confidence_N: Tensor) -> np.ndarray:
    """(N, 2) float64, finite."""
    if utility_N.ndim != 1 or utility_N.shape != confidence_N.shape:
        raise InvalidInput(
            f"got utility {tuple(utility_N.shape)} and confidence {tuple(confidence_N.shape)}; wanted (N,) twice"
        )
    values_N_2 = np.stack([t.detach().cpu().double().numpy() for t in (utility_N, confidence_N)], axis=1)
    outside = np.isneginf(values_N_2[:, 1])
    bad = ~np.isfinite(values_N_2)
    bad[outside, 1] = False
    for name, count in zip(("utilities", "confidences"), bad.sum(axis=0), strict=True):
        if count:
            raise InvalidInput(f"{count} of {len(values_N_2)} {name} are NaN or infinite; check the model's outputs")
    finite = values_N_2[~outside, 1]
    values_N_2[outside, 1] = finite.min() - 1 if len(finite) else 0.0
    return values_N_2


def _unit(values_n_2: np.ndarray) -> np.ndarray:
    """Both columns moved to [0, 1]; sums over subsets of equal size keep their order."""
    low = values_n_2.min(axis=0, initial=np.inf)
    span = values_n_2.max(axis=0, initial=-np.inf) - low
    return (values_n_2 - low) / np.where(span > 0, span, 1.0)


def _sums(unit_n_2: np.ndarray, members_b_k: np.ndarray) -> np.ndarray:
    """(k, 2) int64 objectives of k subsets, one per column."""
    sums = np.stack([unit_n_2[:, i][members_b_k].sum(axis=0) for i in (0, 1)], axis=1)
    return np.rint(sums * SUMS_PER_UNIT).astype(np.int64)


def _all_subsets(n: int, batch_size: int) -> np.ndarray:
    count = math.comb(n, batch_size)
    if count > MOST_SUBSETS:
        raise InvalidInput(
            f"engine='exact' would list {count} subsets of {n} candidates; it takes up to {MOST_SUBSETS}, "
            "use engine='supported' or 'monte_carlo'"
        )
    return np.array(list(combinations(range(n), batch_size)))


def _monte_carlo(
    unit_n_2: np.ndarray,
    batch_size: int,
    draws: int,
    block: int,
    check_every: int,
    watch: FrontWatch | None,
    rng: torch.Generator,
) -> tuple[Archive, int, bool]:
    """The archive after `draws` uniform subsets, how many were drawn, and whether `watch` ended it."""
    n = len(unit_n_2)
    width = min(block, draws, max(1, SHUFFLE_ITEMS // n))
    if width >= check_every:
        width -= width % check_every
    # One permutation per column. The first b steps of a Fisher-Yates shuffle give a uniform subset whatever the
    # permutation was before, so the table is never reset and a draw costs b, not n.
    table = np.repeat(np.arange(n, dtype=np.int32)[:, None], width, axis=1)
    flat, columns = table.reshape(-1), np.arange(width)
    left = (n - np.arange(batch_size))[:, None]
    archive = Archive(batch_size)
    made = checked = 0
    while made < draws:
        jumps = (torch.rand(batch_size, width, generator=rng, dtype=torch.float64).numpy() * left).astype(np.int64)
        jumps += np.arange(batch_size)[:, None]
        jumps = jumps * width + columns
        for step in range(batch_size):
            here = table[step].copy()
            table[step] = flat[jumps[step]]
            flat[jumps[step]] = here
        members_b_k = table[:batch_size, : draws - made]
        points_k_2 = _sums(unit_n_2, members_b_k)
        for start in range(0, members_b_k.shape[1], check_every):
            part = slice(start, start + check_every)
            archive.add(points_k_2[part], members_b_k.T[part])
            made += len(points_k_2[part])
            if watch is not None and made - checked >= check_every:
                checked = made
                if watch.at_rest(archive.version, archive.points_F_2 / (batch_size * SUMS_PER_UNIT)):
                    return archive, made, True
    return archive, made, False


def _pick(subsets_F_b: np.ndarray, front_F_2: np.ndarray, pick: str, n: int) -> int:
    """Which subset of the front to take; of equal ones that with the most utility."""
    if pick == "max_utility":
        return 0
    if pick == "knee":
        return int(np.square(1 - _unit(front_F_2)).sum(axis=1).argmin())
    shared = np.bincount(subsets_F_b.ravel(), minlength=n)
    return int(shared[subsets_F_b].sum(axis=1).argmax())
