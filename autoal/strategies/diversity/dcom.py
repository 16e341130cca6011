"""DCoM: balls whose sizes are learned from the labels, and margins once these balls cover most of the pool."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.outputs import PoolView
from autoal.strategies.base import Proposal, Strategy, ordered
from autoal.strategies.diversity.probcover import pure_radius
from autoal.strategies.parts.distances import centred, squared_distances, tiles, unit_rows
from autoal.strategies.parts.embeddings import pool_and_labeled
from autoal.strategies.parts.information import by_rows, margin

__all__ = ["DCoM", "competence", "learned_radii"]

REFERENCES = 10_000
"""Points on which coverage and purity are counted."""
HALVINGS = 6
"""Steps in the search of a radius: it is known to a 64th of the largest one."""


class DCoM(Strategy):
    """Asks each time for the point with the largest S u + (1 - S) c.

    c is how many points, of those that no ball of a labeled or chosen point covers, lie in the point's ball, and u is
    1 - margin; both are scaled to [0, 1] over the points that are left. The ball of a labeled point is the largest in
    which a share 0.4 + 0.2 (covered share of the pool) has the predicted class that is its label; the other balls have
    the mean of these radii. S, the competence of the model, is logistic in the share s that the balls of the labeled
    points cover: (1 + exp(-k (1 - a))) / (1 + exp(-k (s - a))), with k `steepness` and a `centre`.

    delta: the radius before anything is labeled, on embeddings of length 1; `"auto"` is ProbCover's.
    largest: the largest radius; `"auto"` (ours) is twice `delta`.

    Our formulation: formulas and constants are those of the released code, read in full (of the paper, the beginning).
    That code keeps the radius of each label as it was when the label came; here all are found anew from the current
    model, and the first covered share is that of balls of radius `delta`. Coverage and purity are counted on 10 000
    points of larger pools. With no label it goes by coverage alone.
    """

    name = "dcom"
    family = "diversity"
    source = "after Mishal and Weinshall 2024, arXiv 2407.01804"
    cost = "(N + L) min(N + L, 10 000) D"
    needs = frozenset({"log_probs", "embeddings"})
    draws = True

    def __init__(
        self,
        delta: float | str = "auto",
        largest: float | str = "auto",
        steepness: float = 50.0,
        centre: float = 0.8,
    ) -> None:
        self.delta = delta
        self.largest = largest
        self.steepness = steepness
        self.centre = centre

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        for name in ("delta", "largest"):
            value = getattr(self, name)
            if not (value == "auto" if isinstance(value, str) else value > 0):
                raise InvalidInput(f"got {name}={value!r}; wanted 'auto' or a positive number")
        if not self.steepness > 0:
            raise InvalidInput(f"got steepness={self.steepness}; wanted a positive number")
        log_probs, (pool, labeled) = view.pool.require("log_probs"), map(unit_rows, pool_and_labeled(view))
        delta = self.delta if not isinstance(self.delta, str) else pure_radius(pool, view.num_classes, 0.95, rng)
        largest = self.largest if not isinstance(self.largest, str) else 2 * delta
        points, known = centred(pool, labeled.to(pool.dtype))
        labels = view.labels.to(points.device)
        some = torch.randperm(len(points) + len(known), generator=rng)[:REFERENCES].to(points.device)
        references = References(torch.cat([points, known])[some], torch.cat([log_probs.argmax(dim=1), labels])[some])

        first = references.covered(known, torch.full((len(known),), delta, device=points.device))
        radii = learned_radii(known, labels, references, 0.4 + 0.2 * float(first.double().mean()), largest)
        covered = references.covered(known, radii)
        share = competence(float(covered.double().mean()), self.steepness, self.centre) if len(known) else 0.0
        unsure = by_rows(lambda rows: 1 - margin(rows), log_probs)
        unsure = unsure - unsure.min()
        radius = float(radii.mean()) if len(known) else delta
        picks, value = _greedy(points, unsure, references.points_R_D[~covered], radius, share, batch_size, rng)
        return ordered(picks, value)


class References(NamedTuple):
    """Points on which balls are counted."""

    points_R_D: Tensor
    classes_R: Tensor
    """(R,) predicted classes; of labeled points their labels."""

    def covered(self, centres_L_D: Tensor, radii_L: Tensor) -> Tensor:
        """(R,) which lie in some ball."""
        covered_R = torch.zeros(len(self.points_R_D), dtype=torch.bool, device=self.points_R_D.device)
        for rows in tiles(len(centres_L_D), 8.0 * len(covered_R), covered_R.device):
            inside = squared_distances(centres_L_D[rows], self.points_R_D) < radii_L[rows, None].square()
            covered_R |= inside.any(dim=0)
        return covered_R


def competence(share: float, steepness: float, centre: float) -> float:
    """How far the model is to be trusted where its balls cover this share: from about 0 to 1, which it is at 1."""
    return (1 + math.exp(-steepness * (1 - centre))) / (1 + math.exp(min(700.0, -steepness * (share - centre))))


def learned_radii(
    centres_L_D: Tensor, labels_L: Tensor, references: References, purity: float, largest: float
) -> Tensor:
    """(L,) radius of the ball of each labeled point, by halving [0, `largest`]: up where a share of at least `purity`
    of the references in the ball are of its class, or none is in it, down elsewhere."""
    low_L = torch.zeros(len(centres_L_D), dtype=centres_L_D.dtype, device=centres_L_D.device)
    high_L = torch.full_like(low_L, largest)
    for rows in tiles(len(centres_L_D), 24.0 * len(references.points_R_D), centres_L_D.device):
        squared = squared_distances(centres_L_D[rows], references.points_R_D)
        alike = labels_L[rows, None] == references.classes_R
        for _ in range(HALVINGS):
            middle = (low_L[rows] + high_L[rows]) / 2
            inside = squared < middle.square()[:, None]
            pure = (inside & alike).sum(dim=1) >= purity * inside.sum(dim=1)
            low_L[rows], high_L[rows] = (
                torch.where(pure, middle, low_L[rows]),
                torch.where(pure, high_L[rows], middle),
            )
    return (low_L + high_L) / 2


def _greedy(
    points_N_D: Tensor,
    unsure_N: Tensor,
    open_R_D: Tensor,
    radius: float,
    share: float,
    batch_size: int,
    rng: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """The picks, in order, and the value of each point before the first; `open_R_D` are references not covered yet."""
    inside_N = _counts(points_N_D, open_R_D, radius)
    left_N = torch.ones(len(points_N_D), dtype=torch.bool, device=points_N_D.device)
    shuffle_N = torch.randperm(len(points_N_D), generator=rng).to(points_N_D.device)
    first_N, picks = torch.zeros_like(unsure_N), list[int]()
    while len(picks) < batch_size:
        value_N = share * _scaled(unsure_N, left_N) + (1 - share) * _scaled(inside_N, left_N)
        if not picks:
            first_N = value_N
        masked_N = value_N.masked_fill(~left_N, -torch.inf)
        pick = int(shuffle_N[masked_N[shuffle_N].argmax()])
        picks.append(pick)
        left_N[pick] = False
        new_R = (squared_distances(points_N_D[[pick]], open_R_D) < radius**2).flatten()
        if bool(new_R.any()):
            # Each reference is covered once, so that all these counts together cost what the first did.
            inside_N = (inside_N - _counts(points_N_D, open_R_D[new_R], radius)).clamp_(min=0)
            open_R_D = open_R_D[~new_R]
    return torch.tensor(picks, device=points_N_D.device), first_N


def _counts(points_N_D: Tensor, references_R_D: Tensor, radius: float) -> Tensor:
    """(N,) float64 how many references lie in the ball of each point."""
    counts_N = torch.zeros(len(points_N_D), dtype=torch.float64, device=points_N_D.device)
    for rows in tiles(len(points_N_D), 8.0 * len(references_R_D), points_N_D.device):
        inside = squared_distances(points_N_D[rows], references_R_D) < radius**2
        counts_N[rows] = inside.sum(dim=1).double()
    return counts_N


def _scaled(values_N: Tensor, left_N: Tensor) -> Tensor:
    """Values of 0 and above, over the largest of the points that are left."""
    largest = values_N[left_N].max()
    return values_N / largest if largest > 0 else torch.zeros_like(values_N)
