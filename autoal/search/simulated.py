"""What a candidate sees in an episode: every output a model may give, from FitNet's head in the model's place.

Axes: E episodes, n points (pseudo-pool or support), D features with the constant column, C classes, K samples, M
members of an ensemble, P sketch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from autoal.anchor.committee import bagged_heads
from autoal.anchor.heads import LinearHeads, head_outputs
from autoal.anchor.space import geometry
from autoal.outputs import ModelOutputs, PoolView
from autoal.rng import generator
from autoal.search.fit_net import HeadProblem

__all__ = ["SimulatedModel"]

MC_DROPOUT = 0.5
MEMBERS = 5
SKETCH = 256
SHAKE = 1e-3
"""Length of the weight noise, as a share of the weights' own."""
SPREAD = 1e-6
"""Least noise variance, in units of the targets' variance."""


@dataclass(frozen=True)
class SimulatedModel:
    """The heads of all episodes as models of the support; each field is made only where some candidate needs it.

    - `log_probs`, `logits`, `means`: of the head itself; `embeddings`, `inputs`: those of the labeled points.
    - `mc_log_probs`: dropout on the head's input, as MC dropout before a model's last layer is; `mc_means`: draws
      from the posterior of the ridge regression, with the noise its residuals show.
    - `ensemble_log_probs`: heads that each lack one part of the support. `greedy_log_probs`: the same with other
      parts; heads of a convex loss cannot be made to differ by their starts as networks are.
    - `deviations`: noise on the head's weights, as long as a thousandth of them, relative to the point's output.
    - `gradients`: sketch of the gradient by the head's weights; `gradient_norms`: closed form.

    Samples, members and masks are the same functions for every point of an episode.
    """

    view: PoolView
    """The real round, whose labeled points the episodes are made of."""
    problem: HeadProblem
    heads: LinearHeads
    needs: frozenset[str]
    seed: int
    purpose: str
    shift: Tensor
    """(E, 1) mean of the support's targets, 0 in a classification."""
    unit: Tensor
    """(E, 1) standard deviation of the support's targets, 1 in a classification."""

    def episode_views(self, s: Tensor, p: Tensor) -> list[PoolView]:
        """A view of each episode with support `s` (E, S) and pseudo-pool `p` (E, P), rows of the labeled points."""
        ensembles = {
            name: self._ensembles(name) for name in ("ensemble_log_probs", "greedy_log_probs") if name in self.needs
        }
        raw = geometry(self.view.labeled) if self.view.labeled.embeddings is not None else None
        views = []
        for e in range(len(s)):
            sides = []
            made = self._made(e)
            for i, (x, rows) in enumerate(((self.problem.pool[e], p[e]), (self.problem.support[e], s[e]))):
                fields = {name: pair[i] for name, pair in made.items()}
                fields.update({name: both[i][e] for name, both in ensembles.items()})
                if raw is not None:
                    fields["embeddings"] = raw[rows]
                if "inputs" in self.needs and self.view.labeled.inputs is not None:
                    fields["inputs"] = self.view.labeled.inputs[rows]
                sides.append(ModelOutputs(**fields))
                assert len(x) == len(rows)
            views.append(PoolView(sides[0], sides[1], self.view.labels[s[e]], self.view.num_classes, costs=None))
        return views

    def _made(self, e: int) -> dict[str, tuple[Tensor, Tensor]]:
        """(P, ...) and (S, ...) of each field that the head of episode `e` gives."""
        both = (self.problem.pool[e], self.problem.support[e])
        weight = (self.heads.whitener[e] @ self.heads.weight[e]).detach()
        made: dict[str, tuple[Tensor, Tensor]] = {}

        def of_both(name: str, function: object) -> None:
            if name in self.needs:
                made[name] = (function(both[0]), function(both[1]))  # type: ignore[operator]

        if self.view.num_classes:
            log_probs = tuple(functional.log_softmax(x @ weight, dim=-1) for x in both)
            made["log_probs"] = (log_probs[0], log_probs[1])
            of_both("logits", lambda x: x @ weight)
            if "mc_log_probs" in self.needs:
                masked = self._dropped(e, weight)
                of_both(
                    "mc_log_probs",
                    lambda x: functional.log_softmax(torch.einsum("nd,kdc->nkc", x, masked), dim=-1),
                )
            of_both("gradient_norms", lambda x: _gradient_norms(x, weight))
        else:
            shift, unit = self.shift[e], self.unit[e]
            made["means"] = (both[0] @ weight[:, 0] * unit + shift, both[1] @ weight[:, 0] * unit + shift)
            if "mc_means" in self.needs:
                draws = self._posterior(e)
                of_both("mc_means", lambda x: x @ draws * unit + shift)
        if "deviations" in self.needs:
            shaken = self._shaken(e, weight)
            of_both("deviations", lambda x: _deviations(x, weight, shaken, self.view.num_classes))
        if "gradients" in self.needs:
            left, right = self._sketch(e, weight)
            of_both("gradients", lambda x: (x @ left) * (_slopes(x, weight, self.view.num_classes) @ right))
        return made

    def _count(self, name: str, default: int) -> int:
        """Samples as many as the real model gives."""
        tensor = getattr(self.view.labeled, name)
        return default if tensor is None else int(tensor.shape[1])

    def _dropped(self, e: int, weight: Tensor) -> Tensor:
        """(K, D, C) weights with one half of the inputs masked out, the rest doubled."""
        rng = generator(self.seed, self.purpose, "dropout", e)
        shape = (self._count("mc_log_probs", 10), weight.shape[0])
        keep = (torch.rand(shape, generator=rng) >= MC_DROPOUT).to(weight) / (1 - MC_DROPOUT)
        keep[:, -1] = 1.0  # the bias is not dropped
        return keep.unsqueeze(-1) * weight

    def _posterior(self, e: int) -> Tensor:
        """(D, K) draws of the ridge regression's weights given the support, in standardised targets."""
        x, u = self.problem.support[e], self.heads.whitener[e]
        theta = self.heads.weight[e].detach()
        white = x @ u
        ridge = u.clone()
        ridge[-1] = 0.0
        precision = (white.T @ white + self.problem.l2 * (u.T @ ridge)).double()
        residuals = (self.problem.support_labels[e].to(x) - (white @ theta)[:, 0]).double()
        solved = torch.linalg.solve(precision, white.double().T)
        effective = float((white.double() * solved.T).sum())
        variance = max(float(residuals.square().sum()) / max(1.0, len(x) - effective), SPREAD)
        lower = torch.linalg.cholesky(precision)
        noise = torch.randn(len(theta), self._count("mc_means", 10), generator=self._rng("posterior", e))
        moved = torch.linalg.solve_triangular(lower.T, noise.to(lower), upper=True)
        return u @ (theta + variance**0.5 * moved.to(theta))

    def _shaken(self, e: int, weight: Tensor) -> Tensor:
        """(K, D, C) the head's weights under K noises; the bias stays."""
        shape = (self._count("deviations", 30), *weight.shape)
        noise = torch.randn(shape, generator=self._rng("shake", e)).to(weight)
        noise[:, -1] = 0.0
        length = noise.flatten(1).norm(dim=1).clamp_min(1e-30)[:, None, None]
        return weight + SHAKE * weight[:-1].norm() / length * noise

    def _sketch(self, e: int, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Signs (D, P), scaled, and (C, P): the product of two projections is an unbiased sketch of the gradient,
        which is a product itself."""
        width, rng = self._count("gradients", SKETCH), self._rng("sketch", e)
        left, right = (
            (2.0 * torch.randint(0, 2, (rows, width), generator=rng) - 1.0).to(weight) for rows in weight.shape
        )
        return left / width**0.5, right

    def _ensembles(self, name: str) -> tuple[Tensor, Tensor]:
        """(E, P, M, C) and (E, S, M, C)."""
        support = self.problem.support
        members = min(max(2, self._count(name, MEMBERS)), support.shape[1])
        heads = bagged_heads(
            support, self.problem.support_labels, members,
            num_classes=self.view.num_classes, l2=self.problem.l2, rng=generator(self.seed, self.purpose, name),
        )  # fmt: skip
        assert heads is not None  # a support has two points or more
        pool, known = (head_outputs(heads, x, members) for x in (self.problem.pool, support))
        return pool.log_softmax(-1).transpose(1, 2), known.log_softmax(-1).transpose(1, 2)

    def _rng(self, what: str, e: int) -> torch.Generator:
        return generator(self.seed, self.purpose, what, e)


def _slopes(x: Tensor, weight: Tensor, num_classes: int) -> Tensor:
    """(n, C) by what the head's outputs are pulled: the cross-entropy with the predicted class; 1 in a regression."""
    if not num_classes:
        return x.new_ones(len(x), 1)
    probs = torch.softmax(x @ weight, dim=1)
    return probs - functional.one_hot(probs.argmax(1), num_classes).to(probs)


def _deviations(x: Tensor, weight: Tensor, shaken: Tensor, num_classes: int) -> Tensor:
    """(n, K, E) change of the probabilities (of the prediction, in a regression) over the length of the output."""
    clean, moved = x @ weight, torch.einsum("nd,kdc->nkc", x, shaken)
    if num_classes:
        clean, moved = torch.softmax(clean, -1), torch.softmax(moved, -1)
    return (moved - clean.unsqueeze(1)) / clean.norm(dim=1).clamp_min(1e-12)[:, None, None]


def _gradient_norms(x: Tensor, weight: Tensor) -> Tensor:
    """(n, 2) norms of the gradient of the entropy, and of the cross-entropy averaged under the prediction; summed
    over weight and bias, whose gradients are g x' and g."""
    log_probs = functional.log_softmax(x @ weight, dim=1)
    probs = log_probs.exp()
    lengths = x[:, :-1].norm(dim=1) + 1.0
    centred = log_probs.clamp_min(-100.0)
    entropy = -(probs * centred).sum(1, keepdim=True)
    of_entropy = (probs * (centred + entropy)).norm(dim=1)
    # |p - e_y|^2 = |p|^2 - 2 p_y + 1
    of_loss = (probs * (probs.square().sum(1, keepdim=True) - 2 * probs + 1).clamp_min(0).sqrt()).sum(1)
    return torch.stack([of_entropy * lengths, of_loss * lengths], dim=1)
