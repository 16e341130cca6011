"""SearchNet: weights on the simplex, no order among candidates, and the anchor where nothing has been learned."""

import torch

from autoal.anchor.ranks import rank_scores
from autoal.rng import generator
from autoal.search.compose import compose_episode
from autoal.search.search_net import SearchNet
from autoal.strategies import Proposal

N, K, F, G = 40, 5, 4, 4


def net(k=K, trained=True):
    made = SearchNet(k, F, G, exponent=1.0, strength=3.0)
    if trained:
        rng = generator(0, "net")
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(0.5 * torch.randn(parameter.shape, generator=rng))
    return made


def inputs(k=K):
    rng = generator(1, "inputs")
    return (
        torch.rand(N, generator=rng),
        torch.rand(N, k, generator=rng),
        torch.randn(N, F, generator=rng),
        torch.ones(G),
    )


def test_weights_lie_on_the_simplex():
    _, ranks, features, context = inputs()
    for capacity in (0.0, 0.5, 1.0):
        weights = net().weights(ranks, features, context, capacity)
        assert weights.shape == (N, K) and weights.min() >= 0
        assert torch.allclose(weights.sum(1), torch.ones(N), atol=1e-6)


def test_permuting_the_candidates_permutes_the_weights_and_leaves_the_values():
    uncertainty, ranks, features, context = inputs()
    order = torch.tensor([3, 0, 4, 1, 2])
    made, turned = net(), net()
    with torch.no_grad():
        turned.logits.copy_(made.logits[order])
    value, weights = made.log_value(uncertainty, ranks, features, context, 1.0)
    other, permuted = turned.log_value(uncertainty, ranks[:, order], features, context, 1.0)
    assert torch.allclose(weights[:, order], permuted, atol=1e-6) and torch.allclose(value, other, atol=1e-5)


def test_nothing_learned_is_the_anchor():
    uncertainty, ranks, features, context = inputs()
    value, weights = net(trained=False).log_value(uncertainty, ranks, features, context, 1.0)
    assert torch.allclose(value, torch.log(uncertainty), atol=1e-6)
    assert torch.allclose(weights, torch.full((N, K), 1 / K))


def test_one_candidate_moves_nothing():
    uncertainty, ranks, features, context = inputs(1)
    made = net(1)
    with torch.no_grad():
        made.feature_weights.zero_()
        made.exponent.zero_()
    value, _ = made.log_value(uncertainty, ranks, features, context, 0.0)
    assert torch.allclose(value, torch.log(uncertainty), atol=1e-6)


def test_the_start_is_the_same_whatever_has_been_drawn():
    torch.manual_seed(1)
    first = net(trained=False)
    torch.manual_seed(2)
    torch.rand(7)
    for a, b in zip(first.parameters(), net(trained=False).parameters(), strict=True):
        assert torch.equal(a, b)


def test_rank_scores_keep_the_order_and_equal_scores_share_a_rank():
    scores = torch.tensor([0.1, 5.0, 5.0, -3.0], dtype=torch.float64)
    ranks = rank_scores(Proposal(torch.tensor([1, 2]), scores), 1)
    assert ranks[1] == ranks[2] > ranks[0] > ranks[3]
    assert 0 <= ranks.min() and ranks.max() <= 1


def episode(seed=0, episodes=3, p=20, support=4):
    rng = generator(seed, "episode")
    x = torch.randn(episodes, p + support, 3, dtype=torch.float64, generator=rng)
    return torch.randn(episodes, p, dtype=torch.float64, generator=rng), torch.cdist(x, x) ** 2


def test_a_hard_batch_is_greedy_coverage_and_the_soft_one_tends_to_it():
    log_value, squared = episode()
    zero = torch.zeros((), dtype=torch.float64)
    hard = compose_episode(log_value, squared, zero, 5, parts=5, temperature=None)
    for e in range(3):
        kernel, cover, picks = torch.exp(-squared[e, :20, :20]), torch.exp(-squared[e, :20, 20:]).amax(1), []
        for _ in range(5):
            gain = torch.relu(kernel - cover[:, None]).T @ torch.exp(log_value[e])
            gain[picks] = -1
            picks.append(int(gain.argmax()))
            cover = torch.maximum(cover, kernel[:, picks[-1]])
        assert sorted(hard[e].nonzero().flatten().tolist()) == sorted(picks)
    soft = compose_episode(log_value, squared, zero, 5, parts=5, temperature=1e-7)
    assert torch.allclose(soft, hard, atol=1e-3)


def test_the_soft_batch_holds_exactly_the_batch_and_its_gradient_reaches_value_and_geometry():
    log_value, squared = episode()
    log_value.requires_grad_()
    bandwidth = torch.zeros((), dtype=torch.float64, requires_grad=True)
    mask = compose_episode(log_value, squared, bandwidth, 6, parts=2, temperature=0.5)
    assert torch.allclose(mask.sum(1), torch.full((3,), 6.0, dtype=torch.float64), atol=1e-6)
    weights = torch.randn(mask.shape, dtype=torch.float64, generator=generator(3, "weights"))
    (mask * weights).sum().backward()
    assert float(log_value.grad.abs().median()) > 1e-8 and float(bandwidth.grad.abs()) > 1e-8


def test_copies_of_a_point_are_chosen_once():
    log_value, squared = episode(p=8)
    squared[:, :8, 8:] += 5
    twice = torch.cat([torch.arange(8).repeat_interleave(2), torch.arange(8, 12)])
    mask = compose_episode(
        log_value[:, twice[:16]], squared[:, twice][:, :, twice], torch.zeros((), dtype=torch.float64), 6,
        parts=6, temperature=None,
    )  # fmt: skip
    assert torch.all(mask.reshape(3, 8, 2).sum(2) <= 1)
