"""Views whose outputs are set by hand, so that a test can state the right answer in its own lines."""

from __future__ import annotations

import torch
from torch import Tensor

from autoal.outputs import OUTPUT_FIELDS, ModelOutputs, PoolView
from autoal.rng import generator

__all__ = ["fake_view", "mc", "probs", "random_outputs", "random_view", "seeded"]


def seeded(seed: int = 0) -> torch.Generator:
    """A generator for one call."""
    return generator(seed, "test")


def probs(*rows: list[float]) -> Tensor:
    """Log-probs (n, C) of probabilities written out."""
    return torch.tensor(rows, dtype=torch.float64).log()


def mc(*points: list[list[float]]) -> Tensor:
    """Log-probs (n, K, C) of probabilities written out, one list of samples for each point."""
    return torch.tensor(points, dtype=torch.float64).log()


def fake_view(
    log_probs: Tensor | None = None,
    embeddings: Tensor | None = None,
    mc_log_probs: Tensor | None = None,
    *,
    labeled: Tensor | None = None,
    labeled_log_probs: Tensor | None = None,
    labels: list[int] | None = None,
    num_classes: int | None = None,
    costs: Tensor | None = None,
) -> PoolView:
    """A view of these outputs; `labeled` are the labeled embeddings, of class 0 where `labels` does not say."""
    count = 0 if labeled is None else len(labeled)
    classes = torch.tensor([0] * count if labels is None else labels, dtype=torch.int64)
    if num_classes is None:
        given = log_probs if log_probs is not None else mc_log_probs
        num_classes = given.shape[-1] if given is not None else int(classes.max()) + 1 if len(classes) else 2
    return PoolView(
        ModelOutputs(log_probs=log_probs, embeddings=embeddings, mc_log_probs=mc_log_probs),
        ModelOutputs(log_probs=labeled_log_probs, embeddings=labeled),
        classes,
        num_classes,
        costs,
    )


def random_outputs(
    n: int, seed: int, classes: int = 4, width: int = 5, dtype: torch.dtype = torch.float32
) -> ModelOutputs:
    """Every field of ModelOutputs for n points in general position: a linear model, and samples of it."""
    made, model = generator(seed, "points"), generator(0, "model")
    embeddings = torch.randn(n, width, generator=made, dtype=torch.float64) + 1
    samples = torch.randn(width, 6, classes, generator=model, dtype=torch.float64)
    mc_log_probs = torch.einsum("nd,dkc->nkc", embeddings, samples).log_softmax(dim=2)
    logits = embeddings @ samples.mean(dim=1)
    log_probs = logits.log_softmax(dim=1)
    slopes = torch.randn(3, width, generator=model, dtype=torch.float64)
    curved = torch.tanh(embeddings @ slopes.T)
    fields = {
        "embeddings": embeddings,
        "log_probs": log_probs,
        "logits": logits,
        "mc_log_probs": mc_log_probs,
        "means": embeddings @ samples.mean(dim=(1, 2)),
        "mc_means": torch.einsum("nd,dk->nk", embeddings, samples.mean(dim=2)),
        "ensemble_log_probs": mc_log_probs[:, :3] * 0.5,
        "greedy_log_probs": mc_log_probs[:, 3:].flip(1),
        "deviations": 1e-3 * (mc_log_probs[:, :3] - log_probs.unsqueeze(1)),
        "gradients": torch.cat([curved, curved.square(), embeddings * curved[:, :1]], dim=1),
        "inputs": torch.cat([embeddings, curved], dim=1),
        "gradient_norms": torch.stack([curved.norm(dim=1), embeddings.norm(dim=1)], dim=1),
    }
    fields["ensemble_log_probs"] = fields["ensemble_log_probs"].log_softmax(dim=2)
    missing = OUTPUT_FIELDS - fields.keys()
    assert not missing, f"say in tests/helpers.py how to make up {missing}"
    return ModelOutputs(**fields).map(lambda tensor: tensor.to(dtype))


REGRESSION = ("means", "mc_means", "embeddings", "deviations", "gradients", "inputs")


def random_view(
    n: int = 40,
    labeled: int = 9,
    *,
    seed: int = 0,
    classes: int = 4,
    dtype: torch.dtype = torch.float32,
    task: str = "classification",
) -> PoolView:
    """A view with every field of the task. Classes go in turn over the labeled points; targets are noisy means."""
    pool = random_outputs(n, seed, classes, dtype=dtype)
    known = random_outputs(labeled, seed + 1000, classes, dtype=dtype)
    if task == "regression":
        noise = torch.randn(labeled, generator=generator(seed, "noise"), dtype=torch.float64)
        targets = known.require("means").double() + 0.1 * noise
        pool, known = (ModelOutputs(**{f: side.require(f) for f in REGRESSION}) for side in (pool, known))
        return PoolView(pool, known, targets, 0)
    kept = OUTPUT_FIELDS - {"means", "mc_means"}
    pool, known = (ModelOutputs(**{f: side.require(f) for f in kept}) for side in (pool, known))
    return PoolView(pool, known, torch.arange(labeled) % classes, classes)
