"""The grid of kernels, transforms and selections of BMDAL."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.errors import InvalidInput, UnknownName
from autoal.outputs import PoolView
from autoal.strategies.base import BOTH_TASKS, Proposal, Strategy, ordered, top_scores
from autoal.strategies.parts import kernels, selections
from autoal.strategies.parts.embeddings import pool_and_labeled
from autoal.strategies.parts.kernels import Features, InfiniteNetwork, Posterior, Space

__all__ = ["BASES", "BMDAL", "SELECTIONS", "TRANSFORMS"]

BASES = {
    "linear": "inputs",
    "nngp": "inputs",
    "ntk": "inputs",
    "last_layer": "embeddings",
    "gradient": "gradients",
}
"""Field of the model's outputs that each base kernel reads."""
TRANSFORMS = ("scale", "posterior", "sketch", "acs_rf", "acs_rf_hyper", "acs_grad")
DISTANCES = ("maxdist", "kmeanspp", "lcmd")
SELECTIONS = ("maxdiag", "maxdet", "bait", "bait_fb", "frank_wolfe", *DISTANCES)


class BMDAL(Strategy):
    """Any kernel of the grid with any selection; by default LCMD-TP on the last layer, which needs embeddings only.

    `base`: `linear` on the inputs; `nngp` and `ntk`, ReLU networks of infinite width on the inputs (they have no
    features: no sketch, ACS, BAIT or Frank-Wolfe; posterior with memory N L); `last_layer`, embeddings and a constant;
    `gradient`, the sketch of the gradient by all weights. `transforms`, in order: `scale` to mean 1 on the labeled
    points; `posterior` (scales, then conditions on the labeled points with noise `sigma`^2); `sketch`, a random
    projection to `width`; `acs_rf`, `acs_rf_hyper`, `acs_grad` (scale, then `width` random features of what a label
    would tell). `selection`: maxdiag, maxdet, bait (forward), bait_fb (forward and backward), frank_wolfe, maxdist,
    kmeanspp, lcmd. `mode="tp"` counts labeled points as chosen ones, `"p"` does not; `"auto"` is tp for the last three
    and p for the others, which hear of labels through a posterior.

    `compat="bmdal_reg"` gives `acs_rf` and `acs_grad` the constants of that package, with which the published figures
    were made. In a classification the gradient is that of the cross-entropy with the predicted class, and
    `acs_rf_hyper` reads targets of 0, both ours: the paper has regressions only. So are the scale where nothing is
    labeled (mean 1 on the pool) and standardised targets.
    """

    name = "bmdal"
    family = "gradient"
    source = "Holzmueller et al. 2023, arXiv 2203.09410"
    cost = "N (L + b) D"
    tasks = BOTH_TASKS

    def __init__(
        self,
        base: str = "last_layer",
        transforms: tuple[str, ...] = (),
        selection: str = "lcmd",
        mode: str = "auto",
        sigma: float = 1e-3,
        width: int = 512,
        compat: str | None = None,
    ) -> None:
        self.base = base
        self.transforms = transforms
        self.selection = selection
        self.mode = mode
        self.sigma = sigma
        self.width = width
        self.compat = compat

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        if self.base not in BASES:
            raise UnknownName("base", self.base, BASES)
        return frozenset({BASES[self.base]})

    def _propose(self, view: PoolView, batch_size: int, rng: torch.Generator) -> Proposal:
        for kind, given, known in (
            *(("transform", name, TRANSFORMS) for name in self.transforms),
            ("selection", self.selection, SELECTIONS),
            ("mode", self.mode, ("auto", "p", "tp")),
        ):
            if given not in known:
                raise UnknownName(kind, given, known)
        if not (0 < self.sigma < torch.inf and self.width >= 1 and self.compat in (None, "bmdal_reg")):
            raise InvalidInput(
                f"got sigma={self.sigma}, width={self.width}, compat={self.compat!r}; "
                "wanted above 0, at least 1, None or 'bmdal_reg'"
            )
        space, unit = self._base(view)
        for name in self.transforms:
            space = self._transformed(space, name, view, rng)
            unit = unit if name == "sketch" else 1.0
        labeled = self.mode == "tp" or (self.mode == "auto" and self.selection in DISTANCES)
        if self.selection == "maxdiag":
            return top_scores(space.sizes(), batch_size, rng)
        picks = self._select(space, batch_size, rng, labeled, (self.sigma / unit) ** 2)
        rest = space.sizes()
        if labeled and self.selection in DISTANCES and space.labeled_count:
            rest = space.nearest_labeled()[0]
        return ordered(picks, rest)

    def _base(self, view: PoolView) -> tuple[Space, float]:
        """The space, and what its features were divided by because their squares leave the range of numbers."""
        pool, labeled = pool_and_labeled(view, BASES[self.base])
        largest = max((float(rows.abs().amax()) for rows in (pool, labeled) if rows.numel()), default=0.0)
        unit = 1.0 if largest == 0 or 1e-6 < largest < 1e6 else largest
        if unit != 1.0:
            pool, labeled = pool.double() / unit, labeled.double() / unit
        if self.base in ("nngp", "ntk"):
            return InfiniteNetwork(pool, labeled, gradient=self.base == "ntk"), unit
        if self.base == "last_layer":
            pool, labeled = (
                torch.cat([rows, rows.new_full((len(rows), 1), 1 / unit)], dim=1) for rows in (pool, labeled)
            )
        return Features(pool, labeled), unit

    def _transformed(self, space: Space, name: str, view: PoolView, rng: torch.Generator) -> Space:
        noise = self.sigma**2
        if isinstance(space, InfiniteNetwork):
            factor = kernels.factor_of(space)
            if name == "posterior":
                return Posterior(space, factor, noise)
            if name == "scale":
                return space.scaled(factor)
        if not isinstance(space, Features):
            raise InvalidInput(f"got the transform {name!r} after base={self.base!r}; it needs features, not a kernel")
        if name == "sketch":
            return kernels.sketch(space, self.width, rng)
        space = kernels.scaled(space)
        if name == "scale":
            return space
        if name == "posterior":
            return kernels.posterior(space, noise)
        if name == "acs_rf_hyper":
            return kernels.acs_rf_hyper(space, _targets(view), self.width, rng)
        make = kernels.acs_rf if name == "acs_rf" else kernels.acs_grad
        return make(space, noise, self.width, rng, self.compat is not None)

    def _select(self, space: Space, batch_size: int, rng: torch.Generator, labeled: bool, noise: float) -> Tensor:
        if self.selection == "maxdet":
            return selections.max_det(space, batch_size, rng, noise, labeled)
        if self.selection == "maxdist":
            return selections.max_dist(space, batch_size, rng, labeled)
        if self.selection == "kmeanspp":
            return selections.k_means_plus_plus(space, batch_size, rng, labeled)
        if self.selection == "lcmd":
            return selections.largest_cluster(space, batch_size, rng, labeled)
        if not isinstance(space, Features):
            raise InvalidInput(f"got selection={self.selection!r} with base={self.base!r}; it needs features")
        if self.selection == "frank_wolfe":
            return selections.frank_wolfe(space, batch_size, rng, labeled)
        oversample = 1.0 if self.selection == "bait" else 2.0
        return selections.bait_forward_backward(space, batch_size, rng, noise, labeled, oversample)


def _targets(view: PoolView) -> Tensor:
    """(L,) standardised targets of a regression; 0 in a classification."""
    labels = view.labels.double()
    if view.task == "classification" or len(labels) == 0:
        return torch.zeros_like(labels)
    moved = labels - labels.mean()
    moved = moved / moved.abs().max().clamp_min(1e-300)
    return moved / moved.square().mean().sqrt().clamp_min(1e-12)
