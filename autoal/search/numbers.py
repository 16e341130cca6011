"""The numbers of SearchNet: as it meets a task, and as a round leaves them to the next.

Candidates are known by name: one that was not seen before starts at the mean of the others.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from autoal.anchor.features import NUM_FEATURES
from autoal.errors import InvalidInput
from autoal.search.context import NUM_CONTEXT
from autoal.search.search_net import SearchNet
from autoal.settings import SearchConfig

__all__ = ["Numbers", "fresh_net", "known_numbers", "numbers_of", "restored"]

Numbers = tuple[dict[str, float], dict[str, list[float]]]
"""Weights over candidates, by name, and every other parameter of SearchNet, by name."""
Saved = TypeVar("Saved", list[float], Tensor)


def fresh_net(num_candidates: int, config: SearchConfig) -> SearchNet:
    """SearchNet that has learned nothing, the anchor: its value is the uncertainty, to a power."""
    exponent = 1.0 if config.anchor_exponent is None else config.anchor_exponent
    return SearchNet(num_candidates, NUM_FEATURES, NUM_CONTEXT, exponent=exponent, strength=config.strength)


def numbers_of(net: SearchNet, names: Sequence[str]) -> Numbers:
    """The parameters of `net`, whose candidates are `names`."""
    logits = dict(zip(names, net.logits.detach().cpu().tolist(), strict=True))
    shared = {
        name: value.detach().cpu().reshape(-1).tolist() for name, value in net.named_parameters() if name != "logits"
    }
    return logits, shared


def known_numbers(saved: Mapping[str, Saved]) -> dict[str, Saved]:
    """The saved parameters that SearchNet still has. One of an older version that is 0 moved nothing, and is left out.

    Raises InvalidInput for any other: without it the rest would mean something else.
    """
    known = {name for name, _ in fresh_net(1, SearchConfig()).named_parameters()}
    for name in sorted(saved.keys() - known):
        if bool(torch.as_tensor(saved[name]).any()):
            raise InvalidInput(
                f"got {name!r} among the saved numbers of SearchNet, which this version does not have; wanted "
                f"{', '.join(sorted(known))}: begin with a new selector, or use the version that saved this one"
            )
    return {name: value for name, value in saved.items() if name in known}


def restored(fresh: SearchNet, numbers: Numbers, names: Sequence[str]) -> SearchNet:
    """A net like `fresh` with these numbers; a candidate they do not name starts at the mean of the others."""
    logits, shared = numbers
    net = copy.deepcopy(fresh)
    if not shared:
        return net
    known = [logits[name] for name in names if name in logits]
    default = sum(known) / len(known) if known else 0.0
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            values = [logits.get(candidate, default) for candidate in names] if name == "logits" else shared[name]
            parameter.copy_(torch.tensor(values, dtype=parameter.dtype).reshape(parameter.shape))
    return net
