"""From values to a batch: what each way of composing takes, against exhaustive search."""

import itertools

import pytest
import torch
from torch.nn import functional

from autoal.anchor.committee import agreement, bagged_and_halved, bagged_heads, halves
from autoal.anchor.compose import compose_pool, drawn_by_value
from autoal.anchor.heads import fit_heads, head_log_probs, head_outputs, with_bias
from autoal.anchor.space import Shape, beside_predictions
from autoal.outputs import ModelOutputs, PoolView
from autoal.rng import generator


def pool(n: int = 12, seed: int = 0):
    rng = generator(seed, "compose")
    rows = functional.normalize(torch.randn(n, 4, generator=rng), dim=1)
    return torch.rand(n, generator=rng).log(), rows


def composed(log_value, rows, b: int, **changed):
    settings = {"bandwidth": 0.8, "candidates": None, "prices": None, "seed": 0, **changed}
    return compose_pool(log_value, Shape(rows, None, None, None, rows[:0]), b, **settings).tolist()


def test_coverage_is_within_the_greedy_bound_of_the_best_batch():
    log_value, rows = pool()
    value = (log_value - log_value.amax()).exp().double()
    kernel = torch.exp(-torch.cdist(rows, rows).double().square() / 0.8**2)

    def covered(batch) -> float:
        return float(kernel[:, list(batch)].amax(1) @ value)

    best = max(covered(batch) for batch in itertools.combinations(range(12), 3))
    assert covered(composed(log_value, rows, 3)) >= (1 - 1 / torch.e) * best


def test_beside_predictions_squared_distances_are_a_mean_of_both():
    rng = generator(0, "beside")
    rows = functional.normalize(torch.randn(30, 5, generator=rng), dim=1)
    probs = torch.rand(30, 3, generator=rng).softmax(1)
    joined = beside_predictions(rows, probs, torch.tensor(0.5))
    expected = (torch.cdist(rows, rows) ** 2 + 0.5 * torch.cdist(probs.sqrt(), probs.sqrt()) ** 2) / 1.5
    assert torch.allclose(torch.cdist(joined, joined) ** 2, expected, atol=1e-5)
    assert torch.allclose(joined.norm(dim=1), torch.ones(30), atol=1e-6)


@pytest.mark.parametrize(("signal", "least", "most"), [(4.0, 0.8, 1.0), (0.0, 0.0, 0.4)])
def test_halves_agree_on_what_there_is_to_learn_and_not_on_noise(signal, least, most):
    rng = generator(1, "halves")
    labels = torch.arange(60).repeat(2, 1) % 2
    x = torch.randn(2, 60, 20, generator=rng)
    x[..., 0] += signal * labels
    on = torch.randn(2, 200, 20, generator=rng)
    on[:, :100, 0] += signal
    _, halved = bagged_and_halved(
        with_bias(x), labels, 5, 4, num_classes=2, l2=1.0, rng=rng, halving_rng=generator(2, "h")
    )
    trust = agreement(halved, with_bias(on))
    assert trust.shape == (2,) and float(trust.min()) >= least and float(trust.max()) <= most


def test_folds_and_halves_fitted_together_are_those_fitted_apart():
    rng = generator(4, "together")
    x, labels = with_bias(torch.randn(3, 40, 6, generator=rng)), torch.randint(0, 3, (3, 40), generator=rng)
    settings = {"num_classes": 3, "l2": 1.0}
    draws = {"rng": generator(5, "folds"), "halving_rng": generator(5, "halves")}
    bagged, halved = bagged_and_halved(x, labels, 5, 2, **settings, **draws)
    alone = bagged_heads(x, labels, 5, **settings, rng=generator(5, "folds"))
    parts = halves(labels, 2, generator(5, "halves"))
    assert torch.allclose(head_outputs(bagged, x, 5), head_outputs(alone, x, 5), atol=1e-4)
    assert torch.equal(parts[:, 0::2], ~parts[:, 1::2])
    for part, stack in zip(parts.flatten(0, 1), labels.repeat_interleave(4, 0), strict=True):
        counts = torch.bincount(stack[part], minlength=3) - torch.bincount(stack[~part], minlength=3)
        assert int(counts.abs().max()) <= 2 and int(counts.sum().abs()) <= 1
    # Two halves of four at the right place: a head on the points of one half alone is the same head.
    only = fit_heads(
        x[1:2][:, parts[1, 3]], labels[1:2][:, parts[1, 3]], torch.ones(1, int(parts[1, 3].sum())), **settings,
        tolerance=1e-6,
    )  # fmt: skip
    expected = head_log_probs(only, x[1:2])[0].exp()
    assert torch.allclose(head_outputs(halved, x, 4)[1, 3].softmax(-1), expected, atol=0.02)
    assert bagged_and_halved(x, labels, 0, 0, **settings, **draws) == (None, None)


def test_the_rows_of_a_pool_are_put_beside_its_predictions_in_chunks(monkeypatch):
    rng = generator(4, "rows")
    x, probs = torch.randn(50, 6, generator=rng), torch.rand(50, 3, generator=rng).softmax(1)
    view = PoolView(*[ModelOutputs(embeddings=x[rows]) for rows in (slice(40), slice(40, 50))], torch.arange(10) % 2, 2)
    monkeypatch.setattr("autoal.anchor.space.chunks", lambda n, _: [slice(i, min(i + 7, n)) for i in range(0, n, 7)])
    shape = Shape.of(view, (probs[:40], probs[40:], torch.tensor(0.7)))
    pool, labeled = shape.rows(), shape.labeled
    whole = beside_predictions(functional.normalize(x, dim=1), probs, torch.tensor(0.7))
    assert torch.allclose(pool, whole[:40]) and torch.allclose(labeled, whole[40:])
    some = torch.tensor([31, 4, 5])
    assert torch.equal(shape.rows(some), pool[some])


@pytest.mark.parametrize(("width", "apart"), [(2, True), (3, True), (4, False), (30, False)])
def test_points_on_one_ray_are_apart_in_few_dimensions_only(width, apart):
    rng = generator(0, "ray")
    x = torch.randn(50, width, generator=rng)
    x[1] = 3 * x[0]
    sides = [ModelOutputs(embeddings=x[rows]) for rows in (slice(40), slice(40, 50))]
    view = PoolView(*sides, torch.arange(10) % 2, 2)
    shape = Shape.of(view)
    pool, labeled = shape.rows(), shape.labeled
    assert torch.allclose(torch.cat([pool, labeled]).norm(dim=1), torch.ones(50))
    assert (float((pool[0] - pool[1]).norm()) > 0.1) is apart
    assert len(labeled) == 10


def test_draws_by_value_stand_for_sums_weighted_by_value() -> None:
    """Points that may be picked count exactly; each other is drawn as often as its share says, but for less than one
    draw at either end."""
    value = torch.rand(500, generator=generator(0, "drawn")) ** 4
    exact = torch.arange(0, 500, 5)
    weights = drawn_by_value(value, exact, 400, generator(1, "drawn"))
    assert torch.equal(weights[exact], value[exact])
    rest = value.clone().index_fill_(0, exact, 0)
    unit = rest.sum() / 300
    assert ((weights - value).index_fill_(0, exact, 0).abs() < 2 * unit).all()
    assert float(weights.sum()) == pytest.approx(float(value.sum()), rel=1e-5)
    one_point = torch.zeros(20)
    one_point[7] = 1e-30
    none = torch.zeros(0, dtype=torch.long)
    assert drawn_by_value(one_point, none, 5, generator(0, "drawn")).nonzero().flatten().tolist() == [7]


def test_where_a_point_covers_itself_alone_the_most_valuable_are_taken() -> None:
    """The chance of a draw would put a point that was drawn twice before one that is worth more."""
    rows = functional.normalize(torch.randn(3000, 40, generator=generator(0, "rows")), dim=1)
    log_value = torch.rand(3000, generator=generator(0, "value")).log()
    among = log_value.topk(500).indices.sort().values
    shape = Shape(rows, None, None, None, rows[:0])
    picks = compose_pool(log_value, shape, 20, bandwidth=0.02, candidates=among, evaluated=750, prices=None, seed=0)
    assert set(picks.tolist()) == set(log_value.topk(20).indices.tolist())


def test_rows_are_made_only_of_points_that_are_bought_or_drawn(monkeypatch) -> None:
    made = []
    monkeypatch.setattr(Shape, "rows", lambda self, at=None, rows=Shape.rows: made.append(at) or rows(self, at))
    rows = functional.normalize(torch.randn(3000, 40, generator=generator(0, "rows")), dim=1)
    log_value = torch.rand(3000, generator=generator(0, "value")).log()
    among = log_value.topk(500).indices.sort().values
    shape = Shape(rows, None, None, None, rows[:5])
    settings = {"bandwidth": 0.9, "candidates": among, "prices": torch.ones(3000), "seed": 0}
    picks = compose_pool(log_value, shape, 20, evaluated=750, **settings)
    assert made[0] is not None and 500 < len(made[0]) <= 750
    assert torch.isin(picks, among).all() and len(picks.unique()) == 20
