"""Tasks made up: clusters of Gaussian points, of all kinds, so that no one kind teaches the prior its habits."""

from __future__ import annotations

import torch

from autoal.data import as_rows
from autoal.experiment.task import Task
from autoal.rng import generator

__all__ = ["synthetic_task"]

TEST = 1000


def synthetic_task(seed: int, pool_size: int) -> Task:
    """A classification with 2 to 12 classes, drawn whole from `seed`.

    Each class is one to four clusters with scales of their own, in 2 to 20 dimensions; up to 30 dimensions of noise
    are added and all are mixed by a random rotation or left apart; shares of the classes are even or long-tailed; up to
    15 % of the labels of the pool are wrong, in every second task none. The first labels are one of each class and as
    many as make ten.
    """
    rng = generator(seed, "synthetic task")

    def whole(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=rng))

    def real(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=rng))

    classes, informative, noisy = whole(2, 12), whole(2, 20), whole(0, 30) * whole(0, 1)
    clusters = whole(1, 4)
    spread = real(1.0, 3.0) * classes**0.25
    centres = spread * torch.randn(classes * clusters, informative, generator=rng)
    scales = 0.5 + torch.rand(classes * clusters, 1, generator=rng)
    shares = torch.distributions.Dirichlet(torch.full((classes,), 5.0)).mean
    if whole(0, 1):
        shares = torch.exp(-real(0.0, 3.0) * torch.arange(classes) / max(1, classes - 1))
    shares = shares / shares.sum()
    n = pool_size + TEST
    # Every class has enough points to start from, however small its share.
    labels = torch.cat([torch.arange(classes).repeat(10), torch.multinomial(shares, n, True, generator=rng)])[:n]
    labels = labels[torch.randperm(n, generator=rng)]
    cluster = labels * clusters + torch.randint(0, clusters, (n,), generator=rng)
    x = centres[cluster] + scales[cluster] * torch.randn(n, informative, generator=rng)
    x = torch.cat([x, torch.randn(n, noisy, generator=rng) * x.std()], dim=1)
    if whole(0, 1):
        x = x @ torch.linalg.qr(torch.randn(x.shape[1], x.shape[1], generator=rng)).Q
    x = (x - x.mean(0)) / x.std(0)
    bought = labels[:pool_size].clone()
    if whole(0, 1):
        wrong = torch.rand(pool_size, generator=rng) < real(0.0, 0.15)
        bought[wrong] = torch.randint(0, classes, (int(wrong.sum()),), generator=rng)
    first = [int((bought == c).nonzero()[0]) for c in range(classes) if bool((bought == c).any())]
    others = [i for i in range(pool_size) if i not in first]
    initial = sorted(first + others[: max(0, 10 - len(first))])
    return Task(
        rows=as_rows(x[:pool_size].float().numpy()),
        ids=torch.arange(pool_size),
        labels=bought,
        initial=torch.tensor(initial),
        holdout_rows=as_rows(x[pool_size:].float().numpy()),
        holdout_labels=labels[pool_size:],
        num_classes=classes,
    )
