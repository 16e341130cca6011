"""Self-cross similarity: exemplars like one another, unlike the rest, except for what may well be a particle.

The idea and its name are those of cryoMAE (Xu, Zhan, Xu, arXiv 2404.10178), whose formula is not public; this one is
ours.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["Likeness", "self_cross"]


def self_cross(positives: Tensor, others: Tensor, omega: Tensor, tau: float) -> Tensor:
    """Mean of -log(S / (S + C)) over the positives, in nats.

    `positives` (m, D) and `others` (k, D) are unit vectors, `omega` (k,) weights of the others. S is the mean of
    exp(similarity / tau) to the other positives, C its weighted mean to the others. With one positive there is no S:
    the loss is 0.
    """
    m = len(positives)
    if m < 2:
        return positives.sum() * 0
    # The largest similarity is 1: taken out, so that small tau do not overflow. It cancels in the ratio.
    alike = ((positives @ positives.T - 1) / tau).exp()
    itself = (alike.sum(dim=1) - alike.diagonal()) / (m - 1)
    cross = ((positives @ others.T - 1) / tau).exp() @ omega / omega.sum().clamp(min=1e-12)
    return -(itself / (itself + cross).clamp(min=1e-30)).clamp(min=1e-30).log().mean()


class Likeness:
    """How like the exemplars each unlabeled window was when it was last seen, and what that weighs: positive-unlabeled
    learning. The share `pi` of the windows that is most like them is not pushed away."""

    def __init__(self, windows: int, pi: float) -> None:
        self.pi = pi
        self._latest = np.full(windows, np.nan)

    def omega(self, drawn: np.ndarray, others: Tensor, positives: Tensor) -> Tensor:
        """(k,) weights of `others` (k, D), which are the windows `drawn` (k,); no gradient goes through them."""
        with torch.no_grad():
            alike = others @ positives.mean(dim=0)
        self._latest[drawn] = alike.double().cpu().numpy()
        seen = self._latest[np.isfinite(self._latest)]
        if not len(seen):
            return torch.ones_like(alike)
        bound, spread = float(np.quantile(seen, 1 - self.pi)), max(float(seen.std()), 1e-6)
        return torch.sigmoid((bound - alike) / (spread / 4))
