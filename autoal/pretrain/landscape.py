"""What one number of SearchNet is worth beforehand: finite differences of the true gain, no gradient believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from autoal.pretrain.learn import Gain, Lessons, mean_gain
from autoal.search.prior import anchor_net
from autoal.settings import SearchConfig

__all__ = ["landscape"]

MOVES = {"exponent": (-0.5, 0.5), "log_bandwidth": (-0.5, 0.5, 1.0), "feature_weights": (-0.4, 0.4), "logits": (1.0,)}
"""How far each number is moved from the untaught net's 0."""


def landscape(
    lessons: Lessons, every: int = 1, progress: Callable[[str, int, int], None] = lambda stage, done, total: None
) -> list[Gain]:
    """The gain over the untaught net, on every `every`-th lesson, of moving one number at a time."""
    untaught = anchor_net(lessons.candidates, SearchConfig(prior="none"))
    some, moves = lessons.all()[::every], list(_moves(lessons.candidates))
    found = []
    for done, (what, parameter, position, by) in enumerate(moves):
        net = anchor_net(lessons.candidates, SearchConfig(prior="none"))
        with torch.no_grad():
            dict(net.named_parameters())[parameter].view(-1)[position] = by
        found.append(mean_gain(net, untaught, some, what))
        progress("moves", done + 1, len(moves))
    return found


def _moves(candidates: Sequence[str]) -> Iterator[tuple[str, str, int, float]]:
    for parameter, value in anchor_net(candidates, SearchConfig(prior="none")).named_parameters():
        for position in range(value.numel()) if parameter in MOVES else ():
            named = candidates[position] if parameter == "logits" else f"{parameter} {position}"
            name = parameter if value.numel() == 1 else named
            yield from ((f"{name} {by:+g}", parameter, position, by) for by in MOVES[parameter])
