"""The numbers of SearchNet: as it meets a task, and as a round leaves them to the next.

Candidates are known by name: one that was not seen before starts at the mean of the others.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch

from autoal.search.context import NUM_CONTEXT
from autoal.search.search_net import NUM_FEATURES, SearchNet
from autoal.settings import SearchConfig

__all__ = ["Numbers", "fresh_net", "numbers_of", "restored"]

Numbers = tuple[dict[str, float], dict[str, list[float]]]
"""Weights over candidates, by name, and every other parameter of SearchNet, by name."""


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
