"""AutoAL as printed: Wang, Zhan and Huang, ICML 2025, arXiv 2410.13853.

The labeled set is split into two halves: one plays the labeled set, the other the pool. FitNet (a network of its
own) gives each point's loss; SearchNet gives each point's weights over the candidates' indicators; a mixture over
the aggregate scores gives the threshold of the relaxed selection; the two are updated in turn, FitNet on the batch
after SearchNet's (equations 7 to 9), together with a loss-prediction module (Yoo and Kweon 2019, arXiv 1905.03677).

Where the text leaves a choice, ours is written beside the line. Candidates are asked on the queried half by a FitNet
that has only seen the other half, and their answers are computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from autoal.anchor.candidates import NamedCandidate
from autoal.anchor.ranks import pick_matrix
from autoal.compute import chunks
from autoal.data import as_rows
from autoal.models.eager import eager
from autoal.models.nets import ResNet18, default_net
from autoal.models.standardise import Standardise
from autoal.outputs import ModelOutputs, PoolView
from autoal.rng import derive_seed, generator, isolated
from autoal.settings import PaperConfig
from autoal.strategies import Proposal

__all__ = [
    "Game",
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
    from sklearn.mixture import GaussianMixture

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
    scaling: Standardise
    threshold: float
    scale: float
    candidates: list[str]
    losses: dict[str, list[float]]
    """Mean loss of each cycle: of FitNet (`fit`), SearchNet (`search`) and the loss prediction (`prediction`)."""


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
) -> PaperSearch:
    """One round's search on inputs (L, ...) and labels (L,). Candidates see FitNet's embeddings, or those given
    where the inputs are embeddings themselves."""
    fit_half, query_half = _halves(labels, generator(seed, "paper", "halves"))
    ratio = batch_size / (len(labels) + pool_size)
    shape = tuple(inputs.shape[1:])
    scaling = Standardise.of(as_rows(inputs), torch.arange(len(inputs)))
    inputs = scaling(inputs)
    with isolated(derive_seed(seed, "paper", "nets")):
        fit_net = make_net(shape, num_classes, config).to(device)
        trunk = make_net(shape, num_classes, config).to(device)
        trunk.eval()
        with torch.no_grad():
            widths = [int(stage.shape[1]) for stage in trunk.stages(inputs[:1].to(device))]  # type: ignore[operator]
        trunk.train()
        search_net = PaperSearchNet(trunk, widths, len(candidates)).to(device)
    x, y = inputs.to(device), labels.to(device)
    warm = fit_half if config.fitnet_warmup == "other" else query_half
    fit_optimizer = eager(torch.optim.Adam)(fit_net.parameters(), lr=config.learning_rate)
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
        )
        game = Game(fit_net, fit_optimizer, search_net, x, y, indicators, ratio, config)
        for cycle in range(config.epochs // 3):
            game.set_threshold(query_half, derive_seed(seed, "paper", "mixture", cycle))
            game.cycle(batches.epoch(query_half))
    search_net.eval()
    names = [name for name, _ in candidates]
    return PaperSearch(search_net, scaling, game.threshold, game.scale, names, game.losses)


def make_net(shape: tuple[int, ...], num_classes: int, config: PaperConfig) -> nn.Module:
    """ResNet-18 for images, as printed; an MLP for anything else, or what `network` names."""
    image = len(shape) == 3
    if image and config.network in ("auto", "resnet18"):
        return ResNet18(shape[0], num_classes)
    return default_net(shape, num_classes)


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


class Game:
    """FitNet, SearchNet and loss prediction in turn (figure 1). Each moves its own parameters and no others."""

    def __init__(
        self, fit_net: nn.Module, fit_optimizer: torch.optim.Optimizer, search_net: PaperSearchNet, x: Tensor,
        y: Tensor, indicators: Tensor, ratio: float, config: PaperConfig,
    ) -> None:  # fmt: skip
        self.fit_net, self.fit_optimizer, self.search_net = fit_net, fit_optimizer, search_net
        self.x, self.y, self.indicators, self.ratio, self.config = x, y, indicators, ratio, config
        self.threshold, self.scale = 0.0, 1.0
        self.losses: dict[str, list[float]] = {"fit": [], "search": [], "prediction": []}

        def sgd() -> torch.optim.Optimizer:
            return eager(torch.optim.SGD)(
                search_net.parameters(),
                lr=config.learning_rate,
                momentum=config.momentum,
                weight_decay=config.weight_decay,
            )

        # Two optimisers over one net: the ranking loss and equation 8 keep momenta of their own.
        self.search_optimizer, self.prediction_optimizer = sgd(), sgd()

    def set_threshold(self, half: Tensor, seed: int) -> None:
        """theta_t for the present weights, from the aggregate scores of the queried half."""
        self.search_net.eval()
        with torch.no_grad():
            raw, _, _ = self.search_net(self.x[half])
            aggregate = (normalised(raw, self.config) * self.indicators[half]).sum(1)
        self.threshold, self.scale = mixture_threshold(aggregate.double().cpu().numpy(), self.ratio, self.config, seed)

    def cycle(self, parts: Sequence[Tensor]) -> None:
        """One epoch of each player over the mini-batches; SearchNet sees batch n, FitNet the next one."""
        self._run("fit", [self.fit_step(rows) for rows in (*parts[1:], parts[0])])
        self._run("search", [self.search_step(rows) for rows in parts])
        if self.config.loss_prediction:
            self._run("prediction", [self.prediction_step(rows) for rows in parts])

    def fit_step(self, rows: Tensor) -> float:
        """Equation 7: FitNet on the selected points; the count term is constant for it."""
        self.fit_net.train()
        self.search_net.eval()
        with torch.no_grad():
            weight = self._scores(rows)
        count = self.config.penalty * count_regulariser(weight, self.ratio * len(rows))
        return _step(self.fit_optimizer, (weight * self._losses(rows)).mean() + count)

    def search_step(self, rows: Tensor) -> float:
        """Equation 8: SearchNet towards points of large loss, as many as the ratio allows."""
        self.fit_net.eval()
        self.search_net.train()
        with torch.no_grad():
            losses = self._losses(rows)
        score = self._scores(rows)
        count = self.config.penalty * count_regulariser(score, self.ratio * len(rows))
        return _step(self.search_optimizer, -(score * losses).mean() - count)

    def prediction_step(self, rows: Tensor) -> float:
        """The loss-prediction module, whose gradient also reaches SearchNet's trunk."""
        self.fit_net.eval()
        self.search_net.train()
        with torch.no_grad():
            losses = self._losses(rows)
        predicted = self.search_net(self.x[rows])[2]
        return _step(self.prediction_optimizer, pair_loss(predicted, losses, self.config.pair_margin))

    def _scores(self, rows: Tensor) -> Tensor:
        raw, theta, _ = self.search_net(self.x[rows])
        return relaxed_scores(
            normalised(raw, self.config), theta, self.indicators[rows], self.threshold, self.scale, self.config
        )

    def _losses(self, rows: Tensor) -> Tensor:
        return functional.cross_entropy(self.fit_net(self.x[rows]), self.y[rows], reduction="none")

    def _run(self, player: str, losses: list[float]) -> None:
        self.losses[player].append(sum(losses) / len(losses))


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def score_pool(
    search: PaperSearch,
    read: Callable[[slice], Tensor],
    proposals: Sequence[Proposal],
    config: PaperConfig,
    view: PoolView,
    batch: int,
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """The `batch` largest S-bar of the pool: positions (b,) and scores (N,), and the weights (K,). `read` gives the
    inputs (n, ...) of a slice of the pool.

    Most points are proposed by nobody and tie; ties go by the anchor (1 - margin), then by id.
    """
    device = next(search.net.parameters()).device
    indicators = pick_matrix(proposals, batch, len(view)).to(device, torch.float32)
    weights, scores = [], []
    with torch.no_grad():
        # A residual network holds some hundred numbers for each number of its input.
        for rows in chunks(len(view), 400.0 * read(slice(0, 1)).numel()):
            raw, theta, _ = search.net(search.scaling(read(rows).to(device)))
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
