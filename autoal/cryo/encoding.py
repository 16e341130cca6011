"""Windows as unit features of a trained network, and how like the exemplars they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from autoal.compute import steady
from autoal.cryo.windows import windows
from autoal.models.masked import MaskedAutoencoder

__all__ = ["AT_ONCE", "encoded", "encoded_turned", "scores_of"]

Floats = NDArray[np.floating[Any]]
TURNS = 8
AT_ONCE = 256
"""Windows of one pass: larger arrays leave the caches of a CPU."""
TOP = 3


def encoded(net: MaskedAutoencoder, cut: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, width) of (n, side, side) windows."""
    device = net.places.device
    with torch.inference_mode(), steady(net, device):
        parts = [net.features(part.to(device)).cpu().numpy() for part in torch.from_numpy(cut).split(AT_ONCE)]
    return np.concatenate(parts) if parts else np.zeros((0, net.places.shape[-1]), dtype=np.float32)


def encoded_turned(net: MaskedAutoencoder, pixels: Floats, middles: Floats) -> NDArray[np.float32]:
    """(m, width) of the windows about `middles` (m, 2), each the mean over eight turns, of unit length again."""
    if not len(middles):
        return np.zeros((0, net.places.shape[-1]), dtype=np.float32)
    angles = np.tile(np.arange(TURNS) * 2 * np.pi / TURNS, len(middles))
    cut = windows(pixels, np.repeat(middles, TURNS, axis=0), net.side, angles=angles)
    mean = encoded(net, cut).reshape(len(middles), TURNS, -1).mean(axis=1)
    return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)


def scores_of(features: Floats, references: Floats, similarity: str) -> Floats:
    """(...,) mean cosine of (..., width) to all `references` (m, width), or with "top3" to the three nearest."""
    alike = features @ references.T
    if similarity == "top3":
        alike = np.sort(alike, axis=-1)[..., -TOP:]
    return np.asarray(alike.mean(axis=-1))
