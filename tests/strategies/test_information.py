import math

import pytest
import torch

from autoal.strategies.parts.information import by_rows, entropy, margin, mean_log_probs, mutual_information
from tests.helpers import mc, probs, random_outputs


def test_entropy_of_certain_and_even():
    values = entropy(probs([1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]))
    assert values[0] == 0
    torch.testing.assert_close(values[1:], torch.tensor([math.log(3), math.log(2)], dtype=torch.float64))


def test_entropy_of_a_saturated_float32_softmax_is_exactly_zero():
    assert entropy(torch.tensor([[500.0, -500.0]]).log_softmax(1)).tolist() == [0.0]


def test_margin():
    assert margin(probs([0.5, 0.3, 0.2], [1, 0, 0], [0.5, 0.5, 0])).tolist() == pytest.approx([0.2, 1, 0])
    assert margin(probs([1.0])).tolist() == [1.0]


def test_mean_is_a_mean_of_probabilities():
    mean = mean_log_probs(mc([[0.9, 0.1], [0.5, 0.5]], [[1, 0], [1, 0]]))
    torch.testing.assert_close(mean.exp(), torch.tensor([[0.7, 0.3], [1, 0]], dtype=torch.float64))


def test_mutual_information_of_agreeing_samples_is_nothing():
    same = random_outputs(20, 0).require("log_probs")[:, None].expand(-1, 7, -1)
    assert mutual_information(same).max() < 1e-12


def test_mutual_information_is_within_its_bounds():
    information = mutual_information(random_outputs(50, 0, classes=9).require("mc_log_probs"))
    assert information.min() >= 0
    assert information.max() <= math.log(6)  # six samples


def test_by_rows_of_no_rows():
    assert by_rows(entropy, torch.zeros(0, 3)).shape == (0,)
