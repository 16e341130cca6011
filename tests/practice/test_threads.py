"""One seed, one answer, bit for bit, whatever the number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from torch import nn

from autoal import AutoAL
from autoal.models import SmallCNN, TorchModel, TrainConfig


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


BRIEF = TrainConfig(epochs=2, min_steps=30)
CASES: dict[str, Any] = {
    "logistic regression": (LogisticRegression(max_iter=200), False, {}),
    "forest": (RandomForestClassifier(10, random_state=0), False, {}),
    "network": (TorchModel(network, config=BRIEF), False, {}),
    "convolutions": (TorchModel(lambda: SmallCNN(1, 10, width=8), config=BRIEF), True, {}),
    "embeddings": (None, False, {"embeddings": True}),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _threads() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", ["bilevel", "uniform"])
def test_threads_change_nothing(case: str, mode: str) -> None:
    model, pictures, given = CASES[case]
    X, truth = load_digits(return_X_y=True)
    X = (X[:900] / 16).astype(np.float32)
    y = np.where(np.arange(900) < 120, truth[:900], -1)
    rows = X.reshape(-1, 8, 8) if pictures else X
    answers = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        more = {"embeddings": X} if given else {}
        selector = AutoAL("default", model=model, mode=mode, random_state=0)
        answers.append(selector.fit_query(rows, y, batch_size=15, **more))
    for other in answers[1:]:
        np.testing.assert_array_equal(answers[0].indices, other.indices)
        np.testing.assert_array_equal(answers[0].utilities, other.utilities)
        assert answers[0].weights == other.weights
