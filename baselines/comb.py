"""COMB: a bandit whose arms are the points, and whose experts are the candidates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autoal.selectors.base import RoundState, Selection
from autoal.selectors.portfolio import NamedCandidate

from .rival import CLASSES_ONLY, Memory, Rival, check_option, percentiles, selection

__all__ = ["Comb", "effective_pool", "entropy_reward", "predicted_split_entropy"]


def predicted_split_entropy(classes: Tensor, num_classes: int) -> float:
    """Entropy of the classes predicted over the pool, in [0, 1]: in bits for two classes, over log2 C for more."""
    shares = torch.bincount(classes, minlength=num_classes).double() / len(classes)
    return float(-torch.special.xlogy(shares, shares).sum() / math.log(num_classes)) if num_classes > 1 else 0.0


def entropy_reward(now: float, before: float) -> float:
    """((e^H_t - e^H_{t-1}) - (1 - e)) / (2 e - 2), in [0, 1]; 1/2 where the entropy stays."""
    return ((math.exp(now) - math.exp(before)) - (1 - math.e)) / (2 * math.e - 2)


def effective_pool(advice: Tensor, alpha: float, at_least: int) -> Tensor:
    """Positions to which some expert's advice (n, K) gives `alpha` or more, halved until there are `at_least`."""
    strongest = advice.amax(1)
    reachable = min(at_least, int((strongest > 0).sum()))
    while int((strongest >= alpha).sum()) < reachable:
        alpha /= 2
    chosen = strongest >= alpha
    if reachable < at_least:  # the rest underflows; it is as good as any
        chosen = torch.ones_like(chosen)
    return chosen.nonzero().flatten()


class Comb(Rival):
    """Each expert gives a point the probability b_k ~ exp(-beta (1 - score)), beta 100; points that some expert gives
    `alpha` (0.05, halved until they hold a batch) are the arms. A point is drawn by the experts' weighted advice mixed
    with gamma of uniform, and the experts are paid by classification entropy maximisation: by how much more even the
    predicted classes of the pool become.

    gamma = min(1, sqrt(n ln K / ((e - 1) g_max))) with g_max = (n ln K / (e - 1)) 4^r, that is 2^-r; r is 1 and rises
    while the best expert's estimated gain exceeds g_max - n / gamma. That test, and that weights stay as they are when
    r rises, is from memory: the paper's full text was not at hand. Ours too: scores are percentiles; a batch is drawn
    one by one without replacement and each of its points earns the batch's reward. Meant for classes of like size.
    """

    name = "comb"
    source = "Baram, El-Yaniv and Luz 2004, JMLR 5:255-291"
    cost = "0; all candidates"
    tasks = CLASSES_ONLY
    reads = frozenset({"log_probs"})

    def __init__(self, candidates: str | Sequence[Any] = "default", alpha: float = 0.05, beta: float = 100.0) -> None:
        super().__init__(candidates)
        check_option("alpha", alpha, 1e-12, 1)
        check_option("beta", beta, 0, 1e6)
        self.alpha, self.beta = alpha, beta

    def _play(
        self, state: RoundState, portfolio: list[NamedCandidate], batch_size: int, memory: Memory
    ) -> tuple[Selection, Memory]:
        candidates, proposals = self._ask(state, portfolio, batch_size)
        names, count = [name for name, _ in candidates], len(candidates)
        predicted = state.view.pool.require("log_probs").argmax(1).cpu()
        entropy = predicted_split_entropy(predicted, state.view.num_classes)
        if memory:
            memory = self.paid(memory, entropy_reward(entropy, memory["entropy"]))
        else:
            memory = {"log_weights": [0.0] * count, "gains": [0.0] * count, "r": 1}

        scores = torch.stack([percentiles(proposal) for proposal in proposals], dim=1)
        advice = (self.beta * (scores - 1)).softmax(0)
        arms = effective_pool(advice, self.alpha, batch_size)
        arms = arms[state.pool_ids[arms].argsort()]
        advice = advice[arms] / advice[arms].sum(0).clamp(min=1e-300)
        shares = torch.tensor(memory["log_weights"], dtype=torch.float64).softmax(0)
        gamma = min(1.0, 2.0 ** -memory["r"])
        chance = (1 - gamma) * advice @ shares + gamma / len(arms)
        rng, left, drawn = self._rng(state), chance.clone(), []
        for _ in range(batch_size):
            one = int(torch.multinomial(left, 1, generator=rng))
            drawn.append((one, float(left[one] / left.sum())))
            left[one] = 0.0
        picked = arms[torch.tensor([one for one, _ in drawn])]
        memory |= {
            "entropy": entropy, "arms": len(arms), "gamma": gamma, "chances": [p for _, p in drawn],
            "advice": [advice[one].tolist() for one, _ in drawn],
        }  # fmt: skip
        weights = dict(zip(names, shares.tolist(), strict=True))
        return selection(picked, candidates, proposals, weights), memory

    @staticmethod
    def paid(memory: Memory, reward: float) -> Memory:
        """w_k <- w_k exp(gamma / n sum_x b_k(x) reward / p(x)) over the last batch; r where the gain asks for it."""
        arms, gamma = memory["arms"], memory["gamma"]
        earned = torch.zeros(len(memory["gains"]), dtype=torch.float64)
        for advice, p in zip(memory["advice"], memory["chances"], strict=True):
            earned += torch.tensor(advice, dtype=torch.float64) * reward / p
        gains = torch.tensor(memory["gains"], dtype=torch.float64) + earned
        weights = torch.tensor(memory["log_weights"], dtype=torch.float64) + gamma / arms * earned
        r = memory["r"]
        if len(gains) > 1:  # with one expert there is nothing to gain
            unit = arms * math.log(len(gains)) / (math.e - 1)
            while float(gains.max()) > unit * 4.0**r - arms * 2.0**r:
                r += 1
        return {"log_weights": (weights - weights.max()).tolist(), "gains": gains.tolist(), "r": r}
