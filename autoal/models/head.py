"""A last layer fitted on the embeddings of labeled points, for models that have none of their own to look into."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autoal import rng
from autoal.models.gradients import GradientSketch, gradient_norms
from autoal.models.laplace import draw, sampled_outputs
from autoal.models.perturbation import deviations
from autoal.models.posterior import head_posterior

__all__ = ["HEAD_FIELDS", "Head"]

HEAD_FIELDS = frozenset({"logits", "gradients", "gradient_norms", "deviations"})
"""Beside samples of its posterior. A linear layer leaves embeddings as they are, so deviations are for classes only."""
NOISE_SAMPLES, NOISE_SCALE, GRADIENT_WIDTH = 30, 1e-3, 512


class Head:
    """Softmax regression, or Bayesian linear regression, on embeddings (L, D) of labeled points and their labels (L,).

    The strength of its prior is that of the largest marginal likelihood (`laplace`). Everything it says of a point
    depends on the point, the seed and what it was fitted on alone.
    """

    def __init__(self, embeddings: Tensor, labels: Tensor, num_classes: int, mc_samples: int) -> None:
        self.num_classes, self.mc_samples = num_classes, mc_samples
        self._posterior, self._scale = head_posterior(embeddings, labels, num_classes)
        mean = self._posterior.mean.float()
        self._layer = nn.Linear(embeddings.shape[1], len(mean))
        with torch.no_grad():
            self._layer.weight.copy_(mean[:, :-1])
            self._layer.bias.copy_(mean[:, -1])

    def outputs(self, embeddings: Tensor, needs: frozenset[str], seed: int) -> dict[str, Tensor]:
        """The fields in `needs`, of HEAD_FIELDS or samples, for points with these embeddings (n, D)."""
        found: dict[str, Tensor] = {}
        if needs & {"mc_log_probs", "mc_means"}:
            drawn = draw(self._posterior, self.mc_samples, rng.generator(seed, "laplace"))
            samples = sampled_outputs(embeddings, drawn)
            if self.num_classes:
                found["mc_log_probs"] = samples.log_softmax(-1).float()
            else:
                found["mc_means"] = self._scale.undone(samples[..., 0])
        if "logits" in needs:
            found["logits"] = self._logits(embeddings)
        if "gradients" in needs:
            own = rng.derive_seed(seed, "sketch")
            sketch = GradientSketch(self._layer, GRADIENT_WIDTH, own, regression=self.num_classes == 0)
            found["gradients"] = sketch(embeddings) * self._scale.std
        if "gradient_norms" in needs:
            found["gradient_norms"] = gradient_norms(self._layer, embeddings)
        if "deviations" in needs:
            own = rng.derive_seed(seed, "weights")
            found["deviations"] = deviations(
                self._layer, lambda: self._logits(embeddings).softmax(-1), NOISE_SAMPLES, NOISE_SCALE, own
            )
        return found

    @torch.no_grad()
    def _logits(self, embeddings: Tensor) -> Tensor:
        made: Tensor = self._layer(embeddings)
        return made
