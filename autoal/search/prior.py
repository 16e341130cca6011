"""What SearchNet knows before it sees a task: numbers learned beforehand on other tasks, as plain JSON.

`autoal pretrain` makes such a file. Candidates are known by name: one that the file has not
seen starts at the mean of those it has.
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from autoal.errors import DataMissing, InvalidInput
from autoal.search.context import NUM_CONTEXT
from autoal.search.search_net import NUM_FEATURES, SearchNet
from autoal.settings import SearchConfig

__all__ = ["Numbers", "anchor_net", "fresh_net", "numbers_of", "read_prior", "restored"]

Numbers = tuple[dict[str, float], dict[str, list[float]]]
"""Weights over candidates, by name, and every other parameter of SearchNet, by name."""


def fresh_net(num_candidates: int, config: SearchConfig) -> SearchNet:
    """SearchNet that has learned nothing: its value is the uncertainty, to a power."""
    return SearchNet(
        num_candidates, NUM_FEATURES, NUM_CONTEXT, exponent=config.anchor_exponent, strength=config.strength
    )


def anchor_net(names: Sequence[str], config: SearchConfig) -> SearchNet:
    """SearchNet as it meets a task: what `config.prior` says, and nothing of the task."""
    return restored(fresh_net(len(names), config), read_prior(config.prior), names)


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


@functools.lru_cache(maxsize=8)
def read_prior(where: str) -> Numbers:
    """The numbers of a file; none at all for "none".

    Raises DataMissing where there is no such file, InvalidInput where it is not a prior.
    """
    if where == "none":
        return {}, {}
    try:
        text = Path(where).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path, or bytes that are no text
        raise DataMissing(f"prior {where!r} cannot be read ({error}); wanted a file `autoal pretrain` wrote") from error
    try:
        found = json.loads(text)
        return _checked(found)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidInput(f"prior {where!r} is not a file that `autoal pretrain` wrote ({error!r})") from error


def _checked(found: Mapping[str, Any]) -> Numbers:
    logits = {str(name): float(value) for name, value in found["logits"].items()}
    shared = {str(name): [float(number) for number in values] for name, values in found["shared"].items()}
    wanted = {
        name: value.numel() for name, value in fresh_net(1, SearchConfig()).named_parameters() if name != "logits"
    }
    sizes = {name: len(values) for name, values in shared.items()}
    if sizes != wanted:
        raise ValueError(f"it holds numbers {sizes}; wanted {wanted}")
    if not all(torch.tensor(values).isfinite().all() for values in (list(logits.values()), *shared.values())):
        raise ValueError("it holds numbers that are not finite")
    return logits, shared
