"""Batches drawn by perturbed scores: frequencies of picks, by hand."""

import math

import pytest
import torch

from autoal.errors import InvalidInput, UnknownName
from autoal.strategies import CANDIDATES
from autoal.strategies.parts.stochastic import gumbel, stochastic_keys
from autoal.strategies.uncertainty.bald import BALD, label_information
from tests.helpers import fake_view, mc, random_view, seeded

DRAWS = 20_000
KINDS = ["power", "softmax", "softrank"]


def pair_frequencies(weights: list[float], kind: str, scores: list[float], coldness: float):
    """Observed and expected frequency of each ordered pair of picks, and its standard error."""
    rng, n = seeded(), len(scores)
    values = torch.tensor(scores)
    pairs = torch.stack([stochastic_keys(values, kind, coldness, rng).topk(2).indices for _ in range(DRAWS // 10)])
    total = sum(weights)
    for i in range(n):
        for j in range(n):
            if i != j:
                expected = weights[i] / total * weights[j] / (total - weights[i])
                seen = float(((pairs[:, 0] == i) & (pairs[:, 1] == j)).double().mean())
                yield seen, expected, math.sqrt(expected * (1 - expected) / len(pairs))


@pytest.mark.parametrize(
    ("kind", "coldness", "weights"),
    [
        ("power", 1.0, [1.0, 2.0, 3.0]),
        ("power", 2.0, [1.0, 4.0, 9.0]),
        ("softmax", 0.5, [math.exp(0.5), math.e, math.exp(1.5)]),
        ("softrank", 1.0, [1 / 3, 1 / 2, 1.0]),
    ],
)
def test_a_batch_is_drawn_without_replacement(kind, coldness, weights):
    """Of scores 1, 2, 3 with power 1 the pair (third, second) comes with probability 1/2 times 2/3."""
    for seen, expected, error in pair_frequencies(weights, kind, [1.0, 2.0, 3.0], coldness):
        assert abs(seen - expected) < 4 * error


def test_gumbel_noise():
    noise = gumbel(DRAWS, seeded(), torch.device("cpu"))
    assert float(noise.mean()) == pytest.approx(0.5772, abs=4 * 1.2825 / DRAWS**0.5)
    assert float(noise.std()) == pytest.approx(1.2825, rel=0.03)
    assert noise.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_an_infinite_coldness_is_the_order_of_the_scores(kind):
    scores = torch.rand(50, generator=seeded())
    keys = stochastic_keys(scores, kind, math.inf, seeded())
    assert torch.equal(keys.argsort(descending=True), scores.argsort(descending=True))


def test_power_keeps_zeros_for_last_and_in_one_block():
    keys = stochastic_keys(torch.tensor([0.0, 1e-9, -1e-12, 2.0]), "power", 1.0, seeded())
    assert keys[0] == keys[2] < keys[1]
    assert keys.isfinite().all()
    assert stochastic_keys(torch.zeros(3), "power", 1.0, seeded()).tolist() == [-1, -1, -1]


def test_equal_scores_are_ranked_at_random():
    firsts = {int(stochastic_keys(torch.ones(9), "softrank", 50.0, seeded(s)).argmax()) for s in range(30)}
    assert len(firsts) > 5


@pytest.mark.parametrize("coldness", [0.0, -1.0, math.nan])
def test_a_coldness_that_is_not_positive_is_refused(coldness):
    with pytest.raises(InvalidInput, match="coldness"):
        stochastic_keys(torch.ones(3), "power", coldness, seeded())


def test_an_unknown_kind_is_refused():
    with pytest.raises(UnknownName, match="did you mean 'power'"):
        stochastic_keys(torch.ones(3), "powre", 1.0, seeded())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_candidates_perturb_bald(kind, task):
    view, made = random_view(60, task=task), CANDIDATES[f"{kind}_bald"]
    batch = made(coldness=2.5).propose(view, 5, seeded(4))
    assert torch.equal(batch.scores, stochastic_keys(label_information(view), kind, 2.5, seeded(4)))
    cold = made(coldness=math.inf).propose(view, 20, seeded())
    assert torch.equal(cold.indices, BALD().propose(view, 20, seeded()).indices)


def test_where_bald_takes_every_copy_a_drawn_batch_does_not():
    copies = [[[0.9, 0.1], [0.1, 0.9]]] * 10
    others = [[[0.8, 0.2], [0.3, 0.7]]] * 90
    view = fake_view(mc_log_probs=mc(*copies, *others))
    assert int((BALD().propose(view, 10, seeded()).indices < 10).sum()) == 10
    drawn = [CANDIDATES["power_bald"]().propose(view, 10, seeded(s)).indices for s in range(20)]
    assert float((torch.stack(drawn) < 10).double().sum(dim=1).mean()) < 5
