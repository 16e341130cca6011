"""AutoAL as printed: Wang, Zhan and Huang, ICML 2025, arXiv 2410.13853.

The labeled set is split into two halves: one plays the labeled set, the other the pool. FitNet (a network of its
own) gives each point's loss; SearchNet gives each point's weights over the candidates' indicators; a mixture over
the aggregate scores gives the threshold of the relaxed selection; the two are updated in turn, FitNet on the batch
after SearchNet's (equations 7 to 9), together with a loss-prediction module (Yoo and Kweon 2019, arXiv 1905.03677).

Where the text leaves a choice, ours is written beside the line. Candidates are asked on the queried half by a FitNet
that has only seen the other half, and their answers are computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn
from torch.nn import functional

from autoal.compute import chunks
from autoal.models.nets import default_net
from autoal.outputs import ModelOutputs, PoolView
from autoal.rng import derive_seed, generator, isolated
from autoal.search.config import PaperConfig
from autoal.search.episodes import NamedCandidate
from autoal.search.ranks import pick_matrix
from autoal.strategies import Proposal

__all__ = [
    "PaperSearch",
    "PaperSearchNet",
    "count_regulariser",
    "pair_loss",
    "relaxed_scores",
    "run_paper_search",
    "score_pool",
]

_HIDDEN = 128
_MC_DROPOUT = 0.5


class PaperSearchNet(nn.Module):
    """Trunk, a K-wide head for the weights, a K-wide head for equation 6's Theta, and the loss prediction."""

    def __init__(self, trunk: nn.Module, widths: Sequence[int], num_candidates: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.weights = nn.Linear(widths[-1], num_candidates)
        self.theta = nn.Linear(widths[-1], num_candidates)
        self.taps = nn.ModuleList(nn.Linear(width, _HIDDEN) for width in widths)
        self.loss_head = nn.Linear(_HIDDEN * len(widths), 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Raw weights (n, K), Theta (n, K) and predicted loss (n,) for inputs (n, ...)."""
        stages = self.trunk.stages(x)  # type: ignore[operator]
        taps = [functional.relu(tap(stage)) for tap, stage in zip(self.taps, stages, strict=True)]
        predicted = self.loss_head(torch.cat(taps, dim=1)).squeeze(1)
        return self.weights(stages[-1]), self.theta(stages[-1]), predicted


def normalised(raw: Tensor, config: PaperConfig) -> Tensor:
    """Weights over candidates (n, K): the paper calls them probabilities, so softmax by default."""
    return torch.softmax(raw, dim=1) if config.weights == "softmax" else raw


def mixture_threshold(aggregate: np.ndarray, ratio: float, config: PaperConfig, seed: int) -> tuple[float, float]:
    """theta_t and the scale of the scores: the (1 - ratio) quantile of draws from a mixture fitted to scores (n,).

    Fitted on standardised scores; on raw ones of size 1/n the variance floor would be all it sees.
    """
    centre, scale = float(aggregate.mean()), float(aggregate.std())
    if scale < 1e-12:
        return centre, 1.0
    values = ((aggregate - centre) / scale).reshape(-1, 1)
    components = min(config.components, len(np.unique(values.round(9))))
    mixture = GaussianMixture(components, reg_covar=1e-6, random_state=seed % 2**32)
    mixture.fit(values)
    draws, _ = mixture.sample(config.draws)
    return centre + scale * float(np.quantile(draws, 1 - ratio)), scale


def relaxed_scores(
    weights: Tensor, theta: Tensor, indicators: Tensor, threshold: float, scale: float, config: PaperConfig
) -> Tensor:
    """S-bar (n,). `figure`: sigmoid(lambda (sum_k W S - theta_t)); `eq6`: equations 5 and 6."""
    if config.relaxation == "figure":
        aggregate = (weights * indicators).sum(1)
        return torch.sigmoid(config.sharpness * (aggregate - threshold) / scale)
    return (torch.sigmoid(theta) * (indicators - threshold) * weights).sum(1)


def count_regulariser(scores: Tensor, target: float) -> Tensor:
    """L_re of equation 9 with the soft count alpha = sum S-bar: 0 where alpha = t B, falling to -1/2."""
    return torch.sigmoid(-0.5 * (scores.sum() - target).abs()) - 0.5


def pair_loss(predicted: Tensor, losses: Tensor, margin: float) -> Tensor:
    """Ranking loss over pairs (j, B - 1 - j) of a batch of even size; the middle point of an odd one is left out."""
    half = len(losses) // 2
    if half == 0:
        return predicted.sum() * 0.0
    first, second = slice(0, half), torch.arange(len(losses) - 1, len(losses) - 1 - half, -1)
    sign = torch.where(losses[first] > losses[second], 1.0, -1.0)
    return functional.relu(-sign * (predicted[first] - predicted[second]) + margin).mean()


@dataclass(frozen=True)
class PaperSearch:
    """What the search left behind."""

    net: PaperSearchNet
    threshold: float
    scale: float
    candidates: list[str]
    search_loss: list[float]
    fit_loss: list[float]
    prediction_loss: list[float]


def _halves(labels: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two random halves of the labeled set (positions); the first keeps at least one point of each class."""
    order = torch.randperm(len(labels), generator=rng)
    shuffled = labels.cpu()[order]
    first_seen = torch.tensor([bool((shuffled[:i] != shuffled[i]).all()) for i in range(len(order))])
    order = torch.cat([order[first_seen], order[~first_seen]])
    middle = max(int(first_seen.sum()), len(order) // 2)
    middle = min(middle, len(order) - 1)
    return order[:middle].sort().values, order[middle:].sort().values


def run_paper_search(
    inputs: Tensor,
    labels: Tensor,
    num_classes: int,
    candidates: Sequence[NamedCandidate],
    config: PaperConfig,
    *,
    batch_size: int,
    pool_size: int,
    mc_samples: int,
    seed: int,
    device: torch.device,
    embeddings: Tensor | None = None,
    net_factory: Any = None,
) -> PaperSearch:
    """One round's search on inputs (L, ...) and labels (L,). Candidates see FitNet's embeddings, or those given
    where the inputs are embeddings themselves."""
    fit_half, query_half = _halves(labels, generator(seed, "paper", "halves"))
    ratio = batch_size / (len(labels) + pool_size)
    make = net_factory or default_net
    with isolated(derive_seed(seed, "paper", "nets")):
        fit_net = make(tuple(inputs.shape[1:]), num_classes).to(device)
        trunk = make(tuple(inputs.shape[1:]), num_classes).to(device)
        trunk.eval()
        with torch.no_grad():
            widths = [int(stage.shape[1]) for stage in trunk.stages(inputs[:1].to(device))]
        trunk.train()
        search_net = PaperSearchNet(trunk, widths, len(candidates)).to(device)
    x, y = inputs.to(device), labels.to(device)
    warm = fit_half if config.fitnet_warmup == "other" else query_half
    fit_optimizer = torch.optim.Adam(fit_net.parameters(), lr=config.learning_rate)
    batches = _Batches(batch_size, generator(seed, "paper", "batches"))
    with isolated(derive_seed(seed, "paper", "training")):
        fit_net.train()
        for _ in range(config.warmup_epochs):
            for rows in batches.epoch(warm):
                fit_optimizer.zero_grad()
                functional.cross_entropy(fit_net(x[rows]), y[rows]).backward()
                fit_optimizer.step()
        indicators = _indicators(
            fit_net, x, y, fit_half, query_half, num_classes, candidates, ratio, mc_samples, seed, embeddings
        )  # fmt: skip
        return _alternate(
            fit_net, fit_optimizer, search_net, x, y, query_half, indicators, ratio, candidates, config, batches, seed
        )


class _Batches:
    """Mini-batches of positions, each epoch in a new order; a last batch of one joins the one before (BatchNorm)."""

    def __init__(self, batch_size: int, rng: torch.Generator) -> None:
        self.size, self.rng = max(2, batch_size), rng

    def epoch(self, positions: Tensor) -> list[Tensor]:
        order = positions[torch.randperm(len(positions), generator=self.rng)]
        parts = list(order.split(self.size))
        if len(parts) > 1 and len(parts[-1]) == 1:
            parts[-2:] = [torch.cat(parts[-2:])]
        return parts


def _indicators(
    fit_net: nn.Module, x: Tensor, y: Tensor, fit_half: Tensor, query_half: Tensor, num_classes: int,
    candidates: Sequence[NamedCandidate], ratio: float, mc_samples: int, seed: int, embeddings: Tensor | None,
) -> Tensor:  # fmt: skip
    """S (L, K), one where candidate k would buy point j of the queried half; zero rows elsewhere."""
    fit_net.eval()
    with torch.no_grad():
        embedded = fit_net.embed(x)  # type: ignore[operator]
        log_probs = functional.log_softmax(fit_net.head(embedded), dim=1)  # type: ignore[operator]
        mask_rng = generator(seed, "paper", "dropout")
        keep = torch.rand(mc_samples, embedded.shape[1], generator=mask_rng) >= _MC_DROPOUT
        masked = embedded.unsqueeze(1) * keep.to(embedded) / (1 - _MC_DROPOUT)
        mc = functional.log_softmax(fit_net.head(masked), dim=-1)  # type: ignore[operator]
    outputs = ModelOutputs(log_probs, embedded if embeddings is None else embeddings, mc)
    view = PoolView(outputs[query_half], outputs[fit_half], y[fit_half], num_classes)
    quota = min(len(query_half), max(2, int(np.ceil(ratio * len(query_half)))))
    indicators = torch.zeros(len(x), len(candidates), device=x.device)
    for k, (_, strategy) in enumerate(candidates):
        picked = strategy.propose(view, quota, generator(seed, "paper", "candidate", repr(strategy))).indices
        indicators[query_half.to(x.device)[picked], k] = 1.0
    return indicators


def _alternate(
    fit_net: nn.Module, fit_optimizer: torch.optim.Optimizer, search_net: PaperSearchNet, x: Tensor, y: Tensor,
    half: Tensor, indicators: Tensor, ratio: float, candidates: Sequence[NamedCandidate], config: PaperConfig,
    batches: _Batches, seed: int,
) -> PaperSearch:  # fmt: skip
    """Cycles of FitNet, SearchNet, loss prediction (figure 1), an epoch each."""

    def sgd(parameters: Any) -> torch.optim.SGD:
        return torch.optim.SGD(
            parameters, lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
        )

    # Two optimisers over the same net: the ranking loss and equation 8 keep momenta of their own.
    search_optimizer, prediction_optimizer = sgd(search_net.parameters()), sgd(search_net.parameters())
    trace: dict[str, list[float]] = {"fit": [], "search": [], "prediction": []}
    threshold, scale = 0.0, 1.0

    def scores_of(rows: Tensor) -> Tensor:
        raw, theta, _ = search_net(x[rows])
        return relaxed_scores(normalised(raw, config), theta, indicators[rows], threshold, scale, config)

    def losses_of(rows: Tensor) -> Tensor:
        return functional.cross_entropy(fit_net(x[rows]), y[rows], reduction="none")

    for cycle in range(config.epochs // 3):
        with torch.no_grad():
            search_net.eval()
            raw, _, _ = search_net(x[half])
            aggregate = (normalised(raw, config) * indicators[half]).sum(1)
        threshold, scale = mixture_threshold(
            aggregate.double().cpu().numpy(), ratio, config, derive_seed(seed, "paper", "mixture", cycle)
        )
        parts = batches.epoch(half)
        fit_net.train()
        for i in range(len(parts)):
            # SearchNet sees batch n, FitNet the next one.
            rows = parts[(i + 1) % len(parts)]
            with torch.no_grad():
                weight = scores_of(rows)
            fit_optimizer.zero_grad()
            loss = (weight * losses_of(rows)).mean() + config.penalty * count_regulariser(weight, ratio * len(rows))
            loss.backward()
            fit_optimizer.step()
        trace["fit"].append(float(loss.detach()))
        fit_net.eval()
        search_net.train()
        for rows in parts:
            with torch.no_grad():
                losses = losses_of(rows)
            score = scores_of(rows)
            search_optimizer.zero_grad()
            loss = -(score * losses).mean() - config.penalty * count_regulariser(score, ratio * len(rows))
            loss.backward()
            search_optimizer.step()
        trace["search"].append(float(loss.detach()))
        if config.loss_prediction:
            for rows in parts:
                with torch.no_grad():
                    losses = losses_of(rows)
                prediction_optimizer.zero_grad()
                loss = pair_loss(search_net(x[rows])[2], losses, config.pair_margin)
                loss.backward()
                prediction_optimizer.step()
            trace["prediction"].append(float(loss.detach()))
    search_net.eval()
    names = [name for name, _ in candidates]
    return PaperSearch(search_net, threshold, scale, names, trace["search"], trace["fit"], trace["prediction"])


def score_pool(
    search: PaperSearch, inputs: Tensor, proposals: Sequence[Proposal], config: PaperConfig, view: PoolView, batch: int
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """The `batch` largest S-bar of pool inputs (N, ...): positions (b,) and scores (N,), and the weights (K,).

    Most points are proposed by nobody and tie; ties go by the anchor (1 - margin), then by id.
    """
    device = next(search.net.parameters()).device
    indicators = pick_matrix(list(proposals), batch, len(inputs)).to(device, torch.float32)
    weights, scores = [], []
    with torch.no_grad():
        for rows in chunks(len(inputs), 64.0 * inputs[0].numel()):
            raw, theta, _ = search.net(inputs[rows].to(device))
            share = normalised(raw, config)
            weights.append(share)
            scores.append(relaxed_scores(share, theta, indicators[rows], search.threshold, search.scale, config))
    total = torch.cat(scores).double().to(view.device)
    top = view.pool.require("log_probs").exp().topk(min(2, view.num_classes), dim=1).values
    uncertainty = 1.0 - (top[:, 0] - top[:, -1])
    by_anchor = uncertainty.argsort(descending=True, stable=True)
    positions = by_anchor[total[by_anchor].argsort(descending=True, stable=True)][:batch]
    mean = torch.cat(weights).mean(0).cpu()
    return (positions, total), mean / mean.sum()
