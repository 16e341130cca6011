"""The exact k-DPP against every subset of a small ground set, and against numbers worked out by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from autoal.errors import InvalidInput
from autoal.rng import generator
from autoal.strategies.parts.dpp import (
    KDPP,
    condition_on,
    greedy_map,
    log_esp,
    poisson_binomial,
    sample_projection,
    whiten_given,
)
from tests.helpers import seeded

TRIPLES = list(combinations(range(6), 3))
FORMS = ["poisson_binomial", "log"]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed, "dpp"), dtype=torch.float64)


def minors(kernel: torch.Tensor, k: int) -> np.ndarray:
    """det(L_S) of every subset of size k, in the order of `combinations`."""
    return np.array([float(torch.linalg.det(kernel[list(s)][:, list(s)])) for s in combinations(range(len(kernel)), k)])


def counts(sets: torch.Tensor, n: int) -> np.ndarray:
    """How often each subset was drawn, in the order of `combinations`."""
    place = {s: i for i, s in enumerate(combinations(range(n), sets.shape[1]))}
    drawn = [place[tuple(row)] for row in sets.sort(dim=1).values.tolist()]
    return np.bincount(drawn, minlength=len(place))


# Polynomials


def esp(values, k: int) -> float:
    return sum(float(np.prod(s)) for s in combinations(values, k))


def test_log_polynomials_are_those_of_the_definition():
    values = np.array([0.5, 2.0, 0.0, 3.0, 1.5])
    table = log_esp(values, 3)
    for k in range(4):
        for m in range(6):
            assert np.exp(table[k, m]) == pytest.approx(esp(values[:m], k))


@pytest.mark.parametrize(
    ("n", "k", "scale", "log_e", "mode"),
    [
        (1000, 100, 1e6, 1834.5863302567, 0.0520),
        (2000, 300, 1e-6, -2952.9338172877, 0.0330),
        (500, 50, 1.0, 234.2009272344, 0.0726),
    ],
)
def test_neither_form_overflows_or_vanishes(n, k, scale, log_e, mode):
    values = scale * np.random.default_rng(0).exponential(size=n) ** 3
    assert log_esp(values, k)[k, n] == pytest.approx(log_e, abs=1e-7)
    p, log_c = poisson_binomial(values, k)
    assert p.sum() == pytest.approx(k)
    heads = np.zeros(k + 1)
    heads[0] = 1
    for p_m in p:
        heads[1:] = (1 - p_m) * heads[1:] + p_m * heads[:-1]
        heads[0] *= 1 - p_m
    assert heads[k] == pytest.approx(mode, abs=1e-4)
    # 1 - p = 1 / (1 + c value)
    from_heads = np.log(heads[k]) - k * log_c + np.log1p(np.exp(log_c) * values).sum()
    assert from_heads == pytest.approx(log_e, abs=1e-7)


def test_both_forms_choose_eigenvectors_with_the_same_probabilities():
    dpp = KDPP(features=normal(40, 12))
    for k in (1, 5, 11, 12):
        one, other = (dpp.selection_table(k, form) for form in FORMS)
        np.testing.assert_allclose(one, other, atol=1e-10)


def test_too_few_eigenvalues_have_no_odds():
    with pytest.raises(InvalidInput, match="more than k=2"):
        poisson_binomial(np.array([1.0, 2.0, 0.0]), 2)


# Sampling


def test_a_diagonal_kernel_by_hand():
    dpp = KDPP(kernel=torch.diag(torch.tensor([1.0, 2.0, 3.0])))
    assert dpp.log_normaliser(2) == pytest.approx(np.log(11))
    found = counts(dpp.sample(2, seeded(), count=60_000), 3) / 60_000
    np.testing.assert_allclose(found, [2 / 11, 3 / 11, 6 / 11], atol=4 * 0.002)


def test_minors_add_up_to_the_normaliser():
    features = normal(6, 4)
    total = minors(features @ features.T, 3).sum()
    for dpp in (KDPP(features=features), KDPP(kernel=features @ features.T)):
        assert np.exp(dpp.log_normaliser(3)) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dual", [False, True])
def test_draws_follow_the_determinants(form, dual):
    features = normal(6, 4)
    kernel = features @ features.T
    dpp = KDPP(features=features) if dual else KDPP(kernel=kernel)
    found = counts(dpp.sample(3, seeded(), count=30_000, form=form), 6)
    expected = minors(kernel, 3)
    assert chisquare(found, 30_000 * expected / expected.sum()).statistic < 43.8  # 99.9 %, 19 degrees


def test_sets_drawn_together_are_those_drawn_in_parts(monkeypatch):
    dpp = KDPP(features=normal(30, 8))
    together = dpp.sample(4, seeded(), count=20)
    monkeypatch.setattr("autoal.strategies.parts.dpp.CACHE_BYTES", 1)
    assert torch.equal(together, dpp.sample(4, seeded(), count=20))


def test_marginals_equal_those_counted_over_all_subsets():
    features = normal(6, 5, seed=3)
    chance = minors(features @ features.T, 3)
    expected = [chance[[i in s for s in TRIPLES]].sum() / chance.sum() for i in range(6)]
    for dpp in (KDPP(features=features), KDPP(kernel=features @ features.T)):
        np.testing.assert_allclose(dpp.marginals(3), expected, atol=1e-12)
        assert float(dpp.marginals(3).sum()) == pytest.approx(3)
        assert float(dpp.marginals(5).sum()) == pytest.approx(5)


def test_the_dual_form_is_the_same_process():
    features = normal(40, 7, seed=1)
    dual, primal = KDPP(features=features), KDPP(kernel=features @ features.T)
    assert dual.rank == primal.rank == 7
    assert dual.log_normaliser(4) == pytest.approx(primal.log_normaliser(4), abs=1e-8)
    np.testing.assert_allclose(dual.marginals(4), primal.marginals(4), atol=1e-10)
    draws = dual.sample(4, seeded(), count=20_000)
    expected = primal.marginals(4).numpy()
    error = 4 * np.sqrt(expected * (1 - expected) / 20_000) + 1e-9
    assert (np.abs(np.bincount(draws.flatten(), minlength=40) / 20_000 - expected) < error).all()


@pytest.mark.parametrize("scale", [1e6, 1e-6])
def test_scaling_the_kernel_changes_no_draw(scale):
    features = normal(30, 10)
    plain, scaled = (KDPP(kernel=s * features @ features.T).sample(5, seeded(2), count=20) for s in (1.0, scale))
    assert torch.equal(plain, scaled)


def test_copies_never_appear_together():
    features = normal(8, 5)
    features[3] = features[6]
    sets = KDPP(features=features).sample(3, seeded(), count=10_000)
    assert not ((sets == 3).any(dim=1) & (sets == 6).any(dim=1)).any()


def test_batches_up_to_the_rank_and_no_further():
    dpp = KDPP(features=normal(20, 6))
    sets = dpp.sample(6, seeded(), count=50)
    assert all(row.unique().numel() == 6 for row in sets)
    with pytest.raises(InvalidInput, match="rank of the kernel, 6"):
        dpp.sample(7, seeded())
    assert KDPP(features=torch.zeros(4, 3)).rank == 0


def test_a_projection_gives_each_item_its_squared_length():
    vectors = torch.linalg.qr(normal(12, 4)).Q
    uniform = torch.rand(20_000, 4, generator=seeded(), dtype=torch.float64)
    sets = sample_projection(vectors.expand(20_000, 12, 4), uniform)
    found = np.bincount(sets.flatten(), minlength=12) / 20_000
    np.testing.assert_allclose(found, vectors.square().sum(1), atol=4 * 0.0036)


def test_against_dppy():
    finite_dpps = pytest.importorskip("dppy.finite_dpps")
    features = normal(15, 6, seed=4).numpy()
    other = finite_dpps.FiniteDPP("likelihood", L=features @ features.T)
    state = np.random.RandomState(0)
    theirs = np.bincount(np.concatenate([other.sample_exact_k_dpp(3, random_state=state) for _ in range(20_000)]))
    ours = KDPP(features=torch.from_numpy(features)).marginals(3).numpy()
    assert (np.abs(theirs / 20_000 - ours) < 4 * np.sqrt(ours * (1 - ours) / 20_000)).all()


# Greedy mode

WORKED = torch.tensor([2, 1.9, 1.5, 1]).double()[:, None] * torch.tensor(
    [[1, 0], [1, 0], [0.8, 0.6], [0, 1]], dtype=torch.float64
)


@pytest.mark.parametrize("form", ["rows", "residuals"])
def test_a_worked_example(form):
    kernel = WORKED @ WORKED.T
    np.testing.assert_allclose(minors(kernel, 2), [0, 3.24, 4.0, 2.9241, 3.61, 1.44], atol=1e-12)
    assert greedy_map(2, features=WORKED, form=form).tolist() == [0, 3]
    assert greedy_map(2, kernel=kernel).tolist() == [0, 3]


def test_greedy_is_optimal_for_one_item_and_for_orthogonal_ones():
    features = normal(9, 4)
    assert greedy_map(1, features=features).tolist() == [int(minors(features @ features.T, 1).argmax())]
    diagonal = torch.rand(7, generator=seeded(), dtype=torch.float64).diag()
    best = list(combinations(range(7), 3))[minors(diagonal, 3).argmax()]
    assert set(greedy_map(3, kernel=diagonal).tolist()) == set(best)


def test_all_forms_pick_what_plain_log_det_greedy_picks():
    features = normal(200, 30)
    kernel = features @ features.T
    plain: list[int] = []
    for _ in range(12):
        gain = torch.full((200,), -torch.inf, dtype=torch.float64)
        for i in set(range(200)) - set(plain):
            gain[i] = torch.linalg.slogdet(kernel[[*plain, i]][:, [*plain, i]]).logabsdet
        plain.append(int(gain.argmax()))
    forms = [greedy_map(25, features=features, form=form).tolist() for form in ("rows", "residuals", "auto")]
    forms.append(greedy_map(25, kernel=kernel).tolist())
    assert all(form == forms[0] for form in forms)
    assert forms[0][:12] == plain


@pytest.mark.parametrize("form", ["rows", "residuals"])
def test_greedy_stops_when_the_rank_is_used_up(form):
    picks = greedy_map(40, features=normal(200, 30), form=form)
    assert len(picks) == picks.unique().numel() == 30
    assert len(greedy_map(3, features=torch.zeros(5, 2), form=form)) == 0


# Conditioning


def test_given_items_divide_the_determinant():
    features = normal(6, 5)
    kernel = features @ features.T
    for given in ([2], [0, 4]):
        rest = condition_on(features, torch.tensor(given))
        for size in (1, 2):
            for others in combinations([i for i in range(6) if i not in given], size):
                whole, part = [*given, *others], list(others)
                expected = torch.linalg.det(kernel[whole][:, whole]) / torch.linalg.det(kernel[given][:, given])
                found = torch.linalg.det((rest @ rest.T)[part][:, part])
                assert float(found) == pytest.approx(float(expected), rel=1e-9)
        assert (rest[given] == 0).all()


def test_conditioning_on_nothing_but_zeros_changes_the_others_not():
    features = normal(5, 3)
    features[1] = 0
    torch.testing.assert_close(condition_on(features, torch.tensor([1])), features)


def test_similarity_left_once_labeled_points_are_known():
    points, given = normal(7, 4), normal(9, 4, seed=1)
    noise = 0.01
    inner = torch.linalg.inv(given @ given.T + noise * torch.eye(9, dtype=torch.float64))
    expected = points @ points.T - points @ given.T @ inner @ given @ points.T
    left = whiten_given(points, given, noise)
    torch.testing.assert_close(left @ left.T, expected, atol=1e-10, rtol=1e-8)
