"""VAAL: its losses by hand, its autoencoder's shapes, and a pool of which half looks like the labeled points."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from autoal.errors import InvalidInput
from autoal.rng import generator
from baselines.vaal import VAAL, VAE, discriminator_loss, evidence_loss, fooling_loss
from tests.baselines.rounds import blobs, round_of


def halves(n: int = 180, labeled: int = 60) -> tuple[Tensor, Tensor]:
    """Images bright on the left (all labeled points, every second one of the pool) or on the right."""
    x = 0.3 * torch.randn(n, 1, 8, 8, generator=generator(0, "halves"))
    right = (torch.arange(n) >= labeled) & (torch.arange(n) % 2 == 1)
    x[~right, :, :, :4] += 1
    x[right, :, :, 4:] += 1
    return x, right


def test_evidence_by_hand():
    # Point 1: errors 1 and 2, a code of mean 1 and variance 1: 5 + beta * 1/2. Point 2: no error, mean 0, variance e:
    # beta (e - 1 - 1) / 2.
    x, again = torch.tensor([[1.0, 2.0], [3.0, 3.0]]), torch.tensor([[0.0, 4.0], [3.0, 3.0]])
    mean, log_variance = torch.tensor([[1.0], [0.0]]), torch.tensor([[0.0], [1.0]])
    expected = (5 + 2 * 0.5 + 2 * (torch.e - 2) / 2) / 2
    assert float(evidence_loss(x, again, mean, log_variance, 2.0)) == pytest.approx(expected, rel=1e-6)


def test_both_adversaries_are_cross_entropies():
    a, b = torch.randn(5, 1), torch.randn(7, 1)
    entropy, one, none = F.binary_cross_entropy, torch.ones_like, torch.zeros_like
    p, q = a.sigmoid(), b.sigmoid()
    assert torch.allclose(discriminator_loss(a, b), entropy(p, one(p)) + entropy(q, none(q)))
    assert torch.allclose(fooling_loss(a, b), entropy(p, one(p)) + entropy(q, one(q)))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 13, 18), (1, 28, 28), (5,), (6, 4), (9, 8, 8)])
def test_whatever_is_encoded_is_decoded_in_its_own_shape(shape):
    again, mean, log_variance = VAE(shape, 7, 4)(torch.randn(3, *shape))
    assert again.shape == (3, *shape) and mean.shape == log_variance.shape == (3, 7)


def test_it_asks_for_the_half_of_which_nothing_is_labeled():
    x, right = halves()
    answer = VAAL(device="cpu", max_steps=80).select(round_of(x, torch.arange(180) % 2, 60), 20)
    assert float(right[60:][answer.positions].double().mean()) > 0.9


def test_the_autoencoder_learns_to_rebuild_its_inputs():
    x, _ = halves()
    selector = VAAL(device="cpu", max_steps=40, adversary=0.0)  # nobody fools it
    problem = selector._problem(round_of(x, torch.arange(180) % 2, 60), 0)
    torch.manual_seed(0)
    vae, judge = VAE((1, 8, 8), 8, 8), torch.nn.Linear(8, 1)
    losses = torch.tensor(selector._play(vae, judge, problem))[:, 0]
    assert losses[-10:].mean() < 0.7 * losses[:10].mean()


def test_another_seed_is_another_answer():
    picked = [
        VAAL(device="cpu", max_steps=10).select(round_of(*blobs(), seed=seed), 20).positions.sort().values
        for seed in (0, 0, 1)
    ]
    assert torch.equal(picked[0], picked[1]) and not torch.equal(picked[0], picked[2])


def test_one_labeled_point_and_one_in_the_pool_are_enough():
    x, _ = halves(12, 1)
    for labeled in (1, 11):
        assert len(VAAL(device="cpu", max_steps=3).select(round_of(x, torch.arange(12) % 2, labeled), 1).positions) == 1


def test_what_it_cannot_do_is_said():
    with pytest.raises(InvalidInput, match="beta=-1"):
        VAAL(beta=-1.0)
    with pytest.raises(InvalidInput, match="latent=0"):
        VAAL(latent=0)
