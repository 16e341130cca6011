"""A masked autoencoder for small grey windows (He et al. 2021, arXiv 2111.06377), sized for a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["MaskedAutoencoder", "positions"]


class MaskedAutoencoder(nn.Module):
    """Encoder and decoder on the patches of a square window; the encoder sees visible patches and a class token only.

    As in the paper: fixed sine and cosine positions, a mask token in the decoder, a loss over masked patches alone
    whose targets are normalised patch by patch, masks by argsort of uniform noise. `side` pixels must be a multiple of
    `patch`, `width` one of 4 and of `heads`.
    """

    places: Tensor
    decoder_places: Tensor

    def __init__(
        self,
        side: int = 32,
        patch: int = 8,
        width: int = 96,
        depth: int = 3,
        heads: int = 3,
        decoder_width: int = 64,
        decoder_depth: int = 2,
        decoder_heads: int = 4,
        mask_ratio: float = 0.75,
    ) -> None:
        super().__init__()
        self.side, self.patch = side, patch
        across = side // patch
        self.tokens = across * across
        self.kept = max(1, self.tokens - round(mask_ratio * self.tokens))
        self.project = nn.Linear(patch * patch, width)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.encoder = _transformer(width, depth, heads)
        self.decoder_project = nn.Linear(width, decoder_width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_width))
        self.decoder = _transformer(decoder_width, decoder_depth, decoder_heads)
        self.predict = nn.Linear(decoder_width, patch * patch)
        self.register_buffer("places", positions(across, width))
        self.register_buffer("decoder_places", positions(across, decoder_width))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.class_token, std=0.02)
        nn.init.normal_(self.mask_token, std=0.02)

    def patches(self, windows: Tensor) -> Tensor:
        """(n, tokens, patch * patch) pixels of (n, side, side)."""
        n, p, across = len(windows), self.patch, self.side // self.patch
        cut = windows.reshape(n, across, p, across, p).transpose(2, 3)
        return cut.reshape(n, self.tokens, p * p)

    def features(self, windows: Tensor) -> Tensor:
        """(n, width) unit vectors of (n, side, side): the mean patch token of the whole window, nothing masked."""
        tokens = self._encoded(self.project(self.patches(windows)) + self.places)
        return F.normalize(tokens[:, 1:].mean(dim=1), dim=1)

    def draw_masks(self, n: int, rng: torch.Generator) -> Tensor:
        """(n, tokens) bool, True where masked; the same number in each row. Drawn on the CPU."""
        order = torch.rand(n, self.tokens, generator=rng).argsort(dim=1)
        masked = torch.ones(n, self.tokens, dtype=torch.bool)
        return masked.scatter_(1, order[:, : self.kept], False)

    def reconstruct(self, windows: Tensor, masked: Tensor) -> Tensor:
        """(n, tokens, patch * patch) predicted pixels, each patch in its own mean and deviation."""
        n, width = len(windows), self.places.shape[-1]
        visible = (~masked).nonzero()[:, 1].reshape(n, self.kept)
        projected = self.project(self.patches(windows)) + self.places
        seen = projected.gather(1, visible[:, :, None].expand(-1, -1, width))
        encoded = self.decoder_project(self._encoded(seen))
        wide = encoded.shape[-1]
        whole = self.mask_token.expand(n, self.tokens, wide)
        whole = whole.scatter(1, visible[:, :, None].expand(-1, -1, wide), encoded[:, 1:])
        decoded = self.decoder(torch.cat([encoded[:, :1], whole + self.decoder_places], dim=1))
        return self.predict(decoded[:, 1:])

    def losses(self, windows: Tensor, masked: Tensor) -> Tensor:
        """(n,) mean squared error over the masked patches of each window; visible ones do not count."""
        target = self.patches(windows)
        mean, variance = target.mean(dim=2, keepdim=True), target.var(dim=2, keepdim=True)
        error = (self.reconstruct(windows, masked) - (target - mean) / (variance + 1e-6).sqrt()).square().mean(dim=2)
        return (error * masked).sum(dim=1) / masked.sum(dim=1)

    def _encoded(self, tokens: Tensor) -> Tensor:
        return self.encoder(torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], dim=1))


def _transformer(width: int, depth: int, heads: int) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(layer, depth, norm=nn.LayerNorm(width), enable_nested_tensor=False)


def positions(across: int, width: int) -> Tensor:
    """(across * across, width) fixed sine and cosine codes: one half of the width for rows, one for columns."""
    rates = 10_000 ** (-torch.arange(width // 4, dtype=torch.float64) / (width / 4))
    angles = torch.arange(across, dtype=torch.float64)[:, None] * rates
    line = torch.cat([angles.sin(), angles.cos()], dim=1)
    rows = line[:, None].expand(across, across, -1)
    return torch.cat([rows, rows.transpose(0, 1)], dim=2).reshape(across * across, width).float()
