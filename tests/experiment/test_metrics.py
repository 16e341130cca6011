"""Measures of one model and of one curve."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from autoal.errors import InvalidInput
from autoal.experiment.metrics import aubc, evaluate, labels_to_reach


def test_a_constant_curve_has_the_three_areas_of_the_three_forms() -> None:
    q = 12
    x, a = np.arange(20, 21 + q), np.full(q + 1, 0.8)
    assert aubc(a, x) == pytest.approx(0.8)
    assert aubc(a, x, "rebench") == pytest.approx(0.8 * (q - 1) / q)
    assert aubc(a, x, "rebench_head") == pytest.approx(0.8 * (q - 1) / (q + 1))


def test_a_straight_rise_from_zero_to_one_is_a_half() -> None:
    assert aubc(np.linspace(0, 1, 6), np.arange(6)) == pytest.approx(0.5)


def test_a_last_batch_that_is_smaller_counts_by_its_width() -> None:
    a, x = np.array([0.2, 0.5, 0.7, 0.9]), np.array([10, 20, 30, 34])
    assert aubc(a, x) == pytest.approx(np.trapezoid(a, x) / 24)
    assert aubc(a, x) != pytest.approx(np.trapezoid(a) / 3)


@pytest.mark.parametrize("labels", [[1], [1, 1], [2, 1], [1, 2, 3]])
def test_a_curve_that_is_none_is_refused(labels: list[int]) -> None:
    with pytest.raises(InvalidInput):
        aubc([0.5] * min(len(labels), 2), labels)


def test_labels_to_reach_lie_on_the_line_between_two_points() -> None:
    assert labels_to_reach([0.2, 0.4, 0.8], [10, 20, 30], 0.6) == pytest.approx(25)
    assert labels_to_reach([0.2, 0.4, 0.8], [10, 20, 30], 0.1) == 10
    assert math.isnan(labels_to_reach([0.2, 0.4], [10, 20], 0.5))


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_that_occur() -> None:
    labels = torch.tensor([0, 0, 0, 1])
    log_probs = torch.tensor([[0.9, 0.05, 0.05]] * 4).log()
    found = evaluate(log_probs, labels)
    assert found["accuracy"] == 0.75
    assert found["balanced_accuracy"] == 0.5
    assert found["log_loss"] == pytest.approx(-(3 * math.log(0.9) + math.log(0.05)) / 4, rel=1e-6)


def test_predictions_that_are_nan_are_refused() -> None:
    with pytest.raises(InvalidInput, match="NaN"):
        evaluate(torch.full((2, 3), math.nan), torch.tensor([0, 1]))
