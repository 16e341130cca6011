"""The paper's search: its losses, who moves what, and what it does with one candidate."""

import pytest
import torch

from autoal.outputs import ModelOutputs, PoolView
from autoal.paper.search import (
    Game,
    PaperSearchNet,
    count_regulariser,
    make_net,
    mixture_threshold,
    normalised,
    pair_loss,
    relaxed_scores,
    run_paper_search,
)
from autoal.rng import generator
from autoal.selectors import AutoAL, RoundState
from autoal.settings import PaperConfig
from autoal.strategies import CANDIDATES


def game(config=None, n=24, k=3, seed=0):
    config = config or PaperConfig()
    torch.manual_seed(seed)
    x, y = torch.randn(n, 6), torch.arange(n) % 3
    fit_net, trunk = make_net((6,), 3, config), make_net((6,), 3, config)
    trunk.eval()
    widths = [stage.shape[1] for stage in trunk.stages(x[:1])]
    net = PaperSearchNet(trunk, widths, k)
    indicators = (torch.rand(n, k) < 0.3).float()
    optimizer = torch.optim.Adam(fit_net.parameters(), lr=config.learning_rate)
    made = Game(fit_net, optimizer, net, x, y, indicators, 0.2, config)
    made.set_threshold(torch.arange(n), 0)
    return made


def parameters(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(before, module):
    return all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_each_player_moves_its_own_parameters_and_no_others():
    made, rows = game(), torch.arange(12)
    search = parameters(made.search_net)
    fit = parameters(made.fit_net)
    made.fit_step(rows)
    assert same(search, made.search_net) and not same(fit, made.fit_net)
    fit = parameters(made.fit_net)
    made.search_step(rows)
    assert same(fit, made.fit_net) and not same(search, made.search_net)
    trunk = parameters(made.search_net.trunk)
    made.prediction_step(rows)
    assert same(fit, made.fit_net)
    moved = [name for name, value in made.search_net.trunk.state_dict().items() if not torch.equal(value, trunk[name])]
    assert moved, "the loss prediction trains SearchNet's trunk"


def test_the_count_regulariser_is_zero_at_the_target_even_and_tends_to_minus_one_half():
    target = 3.0

    def at(count):
        return float(count_regulariser(torch.full((10,), count / 10), target))

    assert at(3.0) == pytest.approx(0.0)
    assert at(4.0) == pytest.approx(at(2.0)) and at(4.0) < 0
    assert float(count_regulariser(torch.full((10,), 10.0), target)) == pytest.approx(-0.5, abs=1e-6)


@pytest.mark.parametrize(("start", "direction"), [(0.1, 1.0), (0.9, -1.0)])
def test_in_equation_8_the_soft_count_moves_to_the_target(start, direction):
    scores = torch.full((10,), start, requires_grad=True)
    (-count_regulariser(scores, 5.0)).backward()
    assert torch.all(-scores.grad * direction > 0)


def test_the_ranking_loss_is_zero_where_the_order_holds_by_the_margin():
    losses = torch.tensor([0.0, 1.0, 2.0, 3.0])
    assert float(pair_loss(torch.tensor([0.0, 2.0, 4.0, 6.0]), losses, 1.0)) == 0.0
    assert float(pair_loss(torch.tensor([6.0, 4.0, 2.0, 0.0]), losses, 1.0)) == pytest.approx((7 + 3) / 2)
    assert float(pair_loss(torch.tensor([1.0, 5.0, 0.0]), torch.tensor([1.0, 9.0, 2.0]), 1.0)) == pytest.approx(2.0)


def test_equations_5_and_6_by_hand():
    weights, theta = torch.tensor([[0.25, 0.75]]), torch.zeros(1, 2)
    indicators = torch.tensor([[1.0, 0.0]])
    config = PaperConfig(relaxation="eq6")
    # sigmoid(0) = 1/2 times (1 - 0.2) 0.25 and (0 - 0.2) 0.75
    assert float(relaxed_scores(weights, theta, indicators, 0.2, 1.0, config)) == pytest.approx(0.5 * (0.2 - 0.15))
    figure = relaxed_scores(weights, theta, indicators, 0.2, 0.5, PaperConfig(sharpness=2.0))
    assert float(figure) == pytest.approx(float(torch.sigmoid(torch.tensor(2.0 * 0.05 / 0.5))))


def test_the_threshold_is_near_the_quantile_of_the_scores_themselves():
    scores = torch.randn(2000, generator=generator(0, "scores")).double().numpy() * 1e-5
    threshold, scale = mixture_threshold(scores, 0.1, PaperConfig(), 0)
    assert threshold == pytest.approx(1.2816e-5, rel=0.1) and scale == pytest.approx(1e-5, rel=0.1)


def test_the_gradient_of_the_relaxed_scores_lives_and_that_of_the_released_sharpness_does_not():
    raw = torch.randn(200, 3, generator=generator(0, "raw"), requires_grad=True)
    indicators = (torch.rand(200, 3, generator=generator(0, "picks")) < 0.1).float()
    for sharpness, lives in ((10.0, True), (1e11, False)):
        config = PaperConfig(sharpness=sharpness)
        weights = normalised(raw, config)
        aggregate = (weights * indicators).sum(1).detach().double().numpy()
        threshold, scale = mixture_threshold(aggregate, 0.05, config, 0)
        score = relaxed_scores(weights, torch.zeros(200, 3), indicators, threshold, scale, config)
        (gradient,) = torch.autograd.grad(score.sum(), raw)
        picked = indicators.sum(1) > 0
        assert (float(gradient[picked].abs().median()) > 1e-8) is lives


def state(n=60, labeled=20, seed=0):
    rng = generator(seed, "paper state")
    x = torch.randn(n + labeled, 5, generator=rng)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0.8).long()
    log_probs = torch.log_softmax(x[:, :3] * 2, dim=1)
    outputs = ModelOutputs(log_probs, x)
    view = PoolView(outputs[:n], outputs[n:], y[n:], 3)
    return RoundState(view, 0, seed, torch.arange(n), torch.arange(n, n + labeled))


@pytest.mark.parametrize("name", ["margin", "kcenter", "badge"])
def test_a_single_candidate_gets_exactly_its_own_batch(name):
    search = {"paper": {"warmup_epochs": 2, "epochs": 3}}
    chosen = AutoAL([name], mode="paper", search=search).select(state(), 6)
    assert bool(chosen.votes[name].all()) and chosen.weights[name] == pytest.approx(1.0)


@pytest.mark.parametrize("relaxation", ["figure", "eq6"])
@pytest.mark.parametrize("weights", ["softmax", "logits"])
def test_every_reading_of_the_text_runs(relaxation, weights):
    search = {"paper": {"warmup_epochs": 1, "epochs": 6, "relaxation": relaxation, "weights": weights}}
    chosen = AutoAL(["margin", "entropy", "kmeans"], mode="paper", search=search).select(state(), 6)
    assert len(chosen.positions.unique()) == 6


def test_images_get_a_residual_network_and_the_candidates_a_fitnet_that_has_not_seen_the_queried_half():
    rng = generator(0, "images")
    images, labels = torch.rand(16, 1, 8, 8, generator=rng), torch.arange(16) % 2
    seen = []

    class Watching(CANDIDATES["margin"]):
        def _propose(self, view, batch_size, rng):
            seen.append((len(view), len(view.labels)))
            return super()._propose(view, batch_size, rng)

    config = PaperConfig(warmup_epochs=1, epochs=3)
    search = run_paper_search(
        images, labels, 2, [("margin", Watching())], config,
        batch_size=4, pool_size=100, mc_samples=2, seed=0, device=torch.device("cpu"),
    )  # fmt: skip
    assert type(search.net.trunk).__name__ == "ResNet18"
    assert seen == [(8, 8)], "asked once, on one half, by a model of the other"
