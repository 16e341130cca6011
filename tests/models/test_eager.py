"""Optimizers that take the same steps as torch's, in a process that never imports torch's compiler."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from autoal.models.eager import eager

KINDS: list[tuple[Any, dict[str, Any]]] = [
    (torch.optim.SGD, {"lr": 1e-3, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-2}),
    (torch.optim.Adam, {"lr": 0.1, "betas": (0.9, 0.99)}),
    (torch.optim.AdamW, {"lr": 0.1, "weight_decay": 0.05}),
    (torch.optim.LBFGS, {"max_iter": 5, "line_search_fn": "strong_wolfe"}),
]


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_steps_are_those_of_torch(kind: Any, options: dict[str, Any]) -> None:
    found = []
    for made in (kind, eager(kind)):
        weights = torch.tensor([[1.0, -2.0], [0.5, 3.0]], requires_grad=True)
        bias = torch.zeros(2, requires_grad=True)
        groups = (
            [weights, bias] if kind is torch.optim.LBFGS else [{"params": [weights], "lr": 2e-3}, {"params": [bias]}]
        )
        optimizer = made(groups, **options)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))

        def loss() -> torch.Tensor:
            optimizer.zero_grad()  # noqa: B023 - called at once
            value = (weights @ torch.tensor([1.0, 2.0]) + bias).square().sum() + weights.exp().sum()  # noqa: B023
            value.backward()
            return value

        for _ in range(4):
            optimizer.step(loss)
            schedule.step()
        found.append(torch.cat([weights.detach().flatten(), bias.detach()]))
    assert torch.equal(*found) and found[0].isfinite().all()
    assert isinstance(eager(kind)([torch.zeros(1, requires_grad=True)]), kind)


WORK = """
import sys
import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from autoal import AutoAL
X, truth = load_iris(return_X_y=True)
y = np.full(150, -1)
y[::4] = truth[::4]
for options in (
    {"model": LogisticRegression(max_iter=500), "candidates": ["bald", "margin"], "search": {"gate_level": 1.0}},
    {"candidates": ["margin", "kcenter"]},
    {"candidates": ["margin", "kcenter"], "mode": "paper"},
):
    AutoAL(random_state=0, **options).fit_query(X, y, batch_size=5)
print("torch._dynamo" in sys.modules)
"""


def test_a_round_never_loads_the_compiler() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", WORK], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False", done.stderr
