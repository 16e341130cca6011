"""The search in a regression: ridge heads with the gradients they should have, and episodes whose answer is planted."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from autoal.anchor.features import target_features
from autoal.anchor.heads import fit_heads, with_bias
from autoal.anchor.space import Space
from autoal.outputs import ModelOutputs, PoolView
from autoal.rng import generator
from autoal.search.engines import ENGINES
from autoal.search.episodes import simulate
from autoal.search.fit_net import HeadProblem, clipped_squares
from autoal.search.round import Memory, learn
from autoal.search.simulated import SimulatedModel
from autoal.settings import SearchConfig
from autoal.strategies.base import BOTH_TASKS, Strategy, ordered, top_scores


def problem(episodes=3, s=20, p=12, v=15, d=5, seed=0, l2=1.0):
    rng = torch.Generator().manual_seed(seed)
    slope = torch.randn(d, dtype=torch.float64, generator=rng)

    def draw(n):
        x = torch.randn(episodes, n, d, dtype=torch.float64, generator=rng)
        return with_bias(x), x @ slope + 0.5 * torch.randn(episodes, n, dtype=torch.float64, generator=rng)

    (xs, ys), (xp, yp), (xv, yv) = draw(s), draw(p), draw(v)
    weights = torch.full((episodes, v), 1 / v, dtype=torch.float64)
    made = HeadProblem.build(xs, ys, xp, yp, xv, yv, weights, num_classes=0, batch=4, l2=l2)
    ones = torch.ones(episodes, s, dtype=torch.float64)
    heads = fit_heads(xs, ys, ones, num_classes=0, l2=l2, whitener=made.whitener)
    mask = torch.rand(episodes, p, dtype=torch.float64, generator=rng)
    return made, heads, mask.requires_grad_()


def gradient(engine, made, heads, mask, steps):
    loss, _ = ENGINES[engine](made, heads, mask, steps, 1.0)
    return torch.autograd.grad(loss.sum(), mask)[0]


@pytest.mark.parametrize("engine", ["higher", "func"])
def test_the_unrolled_step_passes_gradcheck(engine):
    made, heads, mask = problem()
    assert torch.autograd.gradcheck(lambda m: ENGINES[engine](made, heads, m, 3, 1.0)[0], (mask,))


def test_higher_and_torch_func_agree_and_tend_to_the_implicit_gradient():
    made, heads, mask = problem()
    short = [gradient(engine, made, heads, mask, 3) for engine in ("higher", "func")]
    assert torch.allclose(*short, atol=1e-12)
    implicit = gradient("implicit", made, heads, mask, 0)
    assert torch.allclose(gradient("func", made, heads, mask, 400), implicit, atol=1e-8)
    assert not torch.allclose(short[0], implicit, atol=1e-8)


def test_the_implicit_gradient_is_that_of_the_closed_form():
    made, heads, mask = problem()
    x = torch.cat([made.support, made.pool], dim=1)
    y = torch.cat([made.support_labels, made.pool_labels], dim=1)
    weights = torch.cat([torch.ones_like(made.support_labels), mask], dim=1)
    ridge = torch.diag(torch.tensor([1.0] * 5 + [0.0], dtype=torch.float64))
    gram = (x * weights.unsqueeze(-1)).transpose(1, 2) @ x + ridge
    solution = torch.linalg.solve(gram, (x * weights.unsqueeze(-1)).transpose(1, 2) @ y.unsqueeze(-1))
    loss = made.upper_loss(made.validation @ solution).sum()
    (exact,) = torch.autograd.grad(loss, mask)
    assert torch.allclose(gradient("implicit", made, heads, mask, 0), exact, atol=1e-9)


def test_fitted_heads_are_scikit_learns_ridge_regression():
    made, heads, _ = problem(l2=2.0)
    for e in range(3):
        reference = Ridge(alpha=2.0).fit(made.support[e, :, :-1].numpy(), made.support_labels[e].numpy())
        ours = heads(made.validation)[e, :, 0].detach().numpy()
        assert np.allclose(ours, reference.predict(made.validation[e, :, :-1].numpy()), atol=1e-9)


def test_a_step_descends_however_much_of_the_pool_is_selected():
    made, heads, _ = problem(s=3, p=30)
    heads.weight.data.normal_(generator=torch.Generator().manual_seed(0))
    full = torch.ones(3, 30, dtype=torch.float64)
    before = made.lower_loss(heads, full)
    _, weight = ENGINES["func"](made, heads, full, 1, 1.0)
    heads.weight.data.copy_(weight)
    assert bool((made.lower_loss(heads, full) < before).all())


def test_a_bad_miss_counts_linearly():
    missed = torch.tensor([[0.0, 1.0, 2.0, 10.0]])
    loss = clipped_squares(torch.zeros(1, 4, 1), missed, torch.ones(1, 1))
    assert loss.tolist() == [[0.0, 0.5, 2.0, 18.0]]


def test_uncertainty_is_a_rank_and_equal_points_share_it():
    committee = torch.tensor([[[0.0, 1.0, 5.0, 1.0], [0.0, 3.0, 0.0, 3.0]]])
    uncertainty, features = target_features(torch.zeros(1, 4), committee, torch.zeros(1, 4), torch.zeros(1, 4))
    assert uncertainty.tolist() == [[0.125, 0.5, 0.875, 0.5]]
    assert features.shape == (1, 4, 4) and bool(features.isfinite().all())


# --- episodes ---------------------------------------------------------------------------------------------------

NEEDS = frozenset({"means", "mc_means", "embeddings", "deviations", "gradients", "inputs"})


def world(n=300, d=4, noise=0.3, seed=0, labeled=90):
    rng = generator(seed, "regression world")
    x = torch.randn(n, d, generator=rng)
    y = (x @ torch.randn(d, generator=rng)).double() * 50 + 1000
    y = y + 50 * noise * torch.randn(n, generator=rng, dtype=torch.float64)
    outputs = ModelOutputs(means=y.float(), embeddings=x, inputs=x)
    return PoolView(outputs[labeled:], outputs[:labeled], y[:labeled], 0), x, y


class Dice(Strategy):
    """Random, each tag with dice of its own."""

    name, family, source, cost = "dice", "planted", "this test", "any"
    needs, tasks = frozenset({"embeddings"}), BOTH_TASKS

    def __init__(self, tag=0):
        self.tag = tag

    def _propose(self, view, batch_size, rng):
        scores = torch.rand(len(view), generator=rng, dtype=torch.float64)
        return ordered(scores.topk(batch_size).indices, scores)


class Clean(Strategy):
    """Knows which targets are worthless, and wants the others."""

    name, family, source, cost = "clean", "planted", "this test", "any"
    needs, tasks = frozenset({"embeddings"}), BOTH_TASKS

    def __init__(self, worthless=None):
        self.worthless = worthless

    def __repr__(self):
        return "Clean()"

    def _propose(self, view, batch_size, rng):
        good = [row.numpy().tobytes() not in self.worthless for row in view.pool.require("embeddings")]
        return top_scores(torch.tensor(good, dtype=torch.float64), batch_size, rng)


def episodes_of(view, candidates, count=3, seed=0):
    return simulate(
        view, Space.of(view, 64, generator(0, "space")), candidates, SearchConfig(), batch_share=0.1,
        validation_from=torch.ones(len(view.labels), dtype=torch.bool), count=count, seed=seed, purpose="test",
    )  # fmt: skip


def test_targets_that_are_moved_and_stretched_change_no_episode():
    view, _, _ = world()
    team = [("a", Dice(0)), ("b", Dice(1))]
    first = episodes_of(view, team)
    moved = PoolView(view.pool, view.labeled, 1e-6 * view.labels + 3, 0)
    second = episodes_of(moved, team)
    assert torch.allclose(first.uncertainty, second.uncertainty, atol=0.03)
    assert torch.allclose(first.problem.validation_labels, second.problem.validation_labels, atol=1e-4)
    assert torch.allclose(first.problem.noise, second.problem.noise, atol=1e-3)


def test_a_candidate_sees_predictions_in_the_units_of_the_targets_and_samples_around_them():
    view, _, _ = world()
    episodes = episodes_of(view, [("a", Dice(0)), ("b", Dice(1))])
    s, p = (torch.stack([m[i] for m in episodes.members]) for i in (0, 1))
    labels = view.labels[s]
    model = SimulatedModel(
        view, episodes.problem, episodes.heads, NEEDS, 0, "test", labels.mean(1, True), labels.std(1, keepdim=True)
    )
    for e, seen in enumerate(model.episode_views(s, p)):
        assert seen.task == "regression" and seen.pool.present() == NEEDS == seen.labeled.present()
        assert torch.equal(seen.labels, view.labels[s[e]])
        residuals = seen.pool.require("means") - view.labels[p[e]]
        assert float(residuals.abs().mean()) < 0.5 * float(view.labels.std())
        samples = seen.pool.require("mc_means")
        assert float((samples.mean(1) - seen.pool.require("means")).abs().max()) < 3 * float(samples.std(1).max())
        assert float(samples.std(1).min()) > 0


def test_the_candidate_that_avoids_worthless_targets_gets_the_weight():
    view, x, y = world(n=400, labeled=160, noise=0.05, seed=1)
    rng = generator(3, "worthless")
    bad = torch.rand(160, generator=rng) < 0.4
    y[:160][bad] = 1000 + 200 * torch.randn(int(bad.sum()), generator=rng, dtype=torch.float64)
    view = PoolView(view.pool, view.labeled, y[:160], 0)
    worthless = {x[i].numpy().tobytes() for i in bad.nonzero().flatten().tolist()}
    team = [("clean", Clean(worthless)), *((f"dice{i}", Dice(i)) for i in range(4))]
    config = SearchConfig(engine="func", outer_steps=30)
    space = Space.of(view, 64, generator(0, "space"))
    found = learn(view, space, team, Memory(), config, batch_size=20, round=0, seed=0)
    weights = torch.softmax(found.candidate_net.logits.detach(), 0)
    assert float(weights[0]) > 0.3 > float(weights[1:].max()), weights


def test_where_no_candidate_knows_anything_the_gate_stays_shut():
    opened = 0
    for seed in range(4):
        view, _, _ = world(seed=seed)
        team = [(f"dice{i}", Dice(i)) for i in range(4)]
        space = Space.of(view, 64, generator(0, "space"))
        config = SearchConfig(engine="func", episodes=8)
        opened += learn(view, space, team, Memory(), config, batch_size=9, round=0, seed=seed).gate_open
    assert opened <= 1
