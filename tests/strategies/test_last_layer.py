"""The recovered last layer against the one that made the outputs."""

import pytest
import torch

from autoal.strategies.parts import last_layer
from autoal.strategies.parts.last_layer import centred_logits, changes_class, recovered_weights
from tests.helpers import fake_view, seeded


def layer(rows: int, width: int, classes: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Embeddings, weights (C, D) whose mean over the classes is 0, and log-probs; there is a bias as well."""
    rng = seeded(seed)
    embeddings = torch.randn(rows, width, generator=rng, dtype=torch.float64) + 2
    weights = torch.randn(classes, width, generator=rng, dtype=torch.float64)
    bias = torch.randn(classes, generator=rng, dtype=torch.float64)
    return embeddings, weights - weights.mean(dim=0), (embeddings @ weights.T + bias).log_softmax(dim=1)


@pytest.mark.parametrize("rows, width", [(30, 4), (30, 28)])
def test_a_linear_layer_is_found_again(rows, width):
    embeddings, weights, log_probs = layer(rows, width)
    torch.testing.assert_close(recovered_weights(log_probs, embeddings), weights, rtol=1e-4, atol=1e-6)
    single = recovered_weights(log_probs.float(), embeddings.float())
    torch.testing.assert_close(single, weights, rtol=1e-2, atol=1e-2)


def test_of_few_wide_rows_it_is_the_shortest_that_explains_them():
    embeddings, _, log_probs = layer(10, 40)
    weights = recovered_weights(log_probs, embeddings)
    rows, logits = (x - x.mean(dim=0) for x in (embeddings, centred_logits(log_probs)))
    torch.testing.assert_close(rows @ weights.T, logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(weights, (torch.linalg.pinv(rows) @ logits).T, rtol=1e-4, atol=1e-5)


def test_a_sample_of_a_large_pool_is_enough(monkeypatch):
    monkeypatch.setattr(last_layer, "ROWS", 20)
    embeddings, weights, log_probs = layer(200, 4)
    found, scaled, unit = last_layer.last_layer(fake_view(log_probs, 7 * embeddings), seeded())
    assert float(scaled.abs().max()) == 1.0
    torch.testing.assert_close(scaled * unit, 7 * embeddings)
    torch.testing.assert_close(found / unit * 7, weights, rtol=1e-4, atol=1e-6)


def test_another_class_wins_only_by_more_than_rounding():
    weights = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    logits = torch.tensor([[1.0, -1.0], [1.0, -1.0], [1.0, -1.0], [0.0, 0.0]], dtype=torch.float64)
    moves = torch.tensor([[-0.9, 5.0], [-1.1, 0.0], [-1.0, 0.0], [0.0, 0.0]])
    assert changes_class(logits, moves, weights).tolist() == [False, True, False, False]


def test_constant_embeddings_and_certain_predictions_give_numbers():
    for log_probs in (torch.zeros(6, 1), torch.tensor([[0.0, -torch.inf]]).repeat(6, 1)):
        assert bool(recovered_weights(log_probs, torch.ones(6, 3)).eq(0).all())
    mixed = torch.tensor([[0.0, -torch.inf], [-torch.inf, 0.0], [0.0, -torch.inf]])
    assert bool(recovered_weights(mixed, torch.randn(3, 2, generator=seeded())).isfinite().all())
