"""The BMDAL grid against plain loops, brute force, closed forms and the authors' package."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency, chisquare
from torch import Tensor

from autoal.errors import InvalidInput, UnknownName
from autoal.outputs import ModelOutputs, PoolView
from autoal.rng import generator
from autoal.strategies import CANDIDATES
from autoal.strategies.gradient.bmdal import BASES, BMDAL, SELECTIONS
from autoal.strategies.parts.kernels import (
    Features,
    InfiniteNetwork,
    Posterior,
    acs_grad,
    acs_rf,
    acs_rf_hyper,
    posterior,
    robust_cholesky,
    scaled,
    sketch,
)
from autoal.strategies.parts.selections import (
    bait_forward_backward,
    frank_wolfe,
    k_means_plus_plus,
    largest_cluster,
    max_det,
    max_dist,
)
from tests.helpers import random_view, seeded
from tests.strategies.peers import bmdal_reg_batch, import_bmdal_reg


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed, "bmdal"), dtype=torch.float64)


def features(n: int = 60, labeled: int = 5, width: int = 6, seed: int = 0) -> Features:
    """Rows of rather different lengths, so that there are no near-ties."""
    rows = normal(n + labeled, width, seed=seed) * (1 + normal(n + labeled, 1, seed=seed + 999).abs())
    return Features(rows[:n], rows[n:])


def joint_kernel(space: Features) -> Tensor:
    rows = torch.cat([space.pool_N_P, space.labeled_L_P])
    return rows @ rows.T


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


# Selections


def plain_centres(space: Features, count: int, labeled: bool, clusters: bool) -> list[int]:
    """Farthest first, or LCMD, one point after the other."""
    distances = torch.cdist(*[torch.cat([space.pool_N_P, space.labeled_L_P])] * 2).square()
    n = space.n
    centres = list(range(n, n + space.labeled_count)) if labeled else []
    picks: list[int] = []
    for _ in range(count):
        if not centres:
            pick = int(space.pool_N_P.norm(dim=1).argmax())
        else:
            nearest, which = distances[:n, centres].min(dim=1)
            inside = torch.ones(n, dtype=torch.bool)
            if clusters:
                mass = [float(nearest[which == c].sum()) for c in range(len(centres))]
                inside = which == int(np.argmax(mass))
            inside[picks] = False
            pick = int(nearest.masked_fill(~inside, -1).argmax())
        picks.append(pick)
        centres.append(pick)
    return picks


def plain_max_det(kernel: Tensor, n: int, count: int, noise: float, labeled: bool) -> list[int]:
    """The determinant itself, of every candidate."""
    chosen = list(range(n, len(kernel))) if labeled else []
    picks: list[int] = []
    noisy = kernel + noise * torch.eye(len(kernel), dtype=kernel.dtype)
    for _ in range(count):
        gains = [-np.inf if i in picks else float(torch.logdet(noisy[[*chosen, i]][:, [*chosen, i]])) for i in range(n)]
        picks.append(int(np.argmax(gains)))
        chosen.append(picks[-1])
    return picks


@pytest.mark.parametrize("labeled", [True, False])
def test_max_dist_and_lcmd_are_the_plain_loops(labeled):
    for seed in range(10):
        space = features(seed=seed)
        assert max_dist(space, 20, seeded(), labeled).tolist() == plain_centres(space, 20, labeled, False)
        for ahead in (None, 1, 5, 64):
            picks = largest_cluster(space, 20, seeded(), labeled, ahead=ahead).tolist()
            assert picks == plain_centres(space, 20, labeled, True)


@pytest.mark.parametrize("labeled", [True, False])
@pytest.mark.parametrize("noise", [1e-2, 1.0])
def test_max_det_is_the_plain_loop_in_both_forms_and_for_every_block(labeled, noise):
    for seed in range(4):
        space = features(n=30, seed=seed)
        wanted = plain_max_det(joint_kernel(space), 30, 8, noise, labeled)
        for block, form in itertools.product((1, 8, 64), ("columns", "features")):
            assert max_det(space, 8, seeded(), noise, labeled, form, block).tolist() == wanted


def test_both_forms_of_max_det_are_the_same_list_on_many_problems():
    for seed in range(50):
        space = features(n=40, width=6, seed=seed)
        lists = [
            max_det(space, 12, seeded(), 0.1, False, form, block).tolist()
            for block in (1, 8, 32, 40)
            for form in ("columns", "features")
        ]
        assert all(other == lists[0] for other in lists)


def test_max_det_counts_labeled_points_as_the_posterior_does():
    for seed in range(10):
        space = features(seed=seed)
        given_labels = max_det(space, 15, seeded(), 0.01, labeled=True).tolist()
        assert max_det(posterior(space, 0.01), 15, seeded(), 0.01).tolist() == given_labels


def test_max_det_comes_near_the_best_batch():
    for seed in range(5):
        space = features(n=8, labeled=0, width=3, seed=seed)
        whole = torch.eye(8, dtype=torch.float64) + joint_kernel(space)

        def value(some, whole=whole) -> float:
            return float(torch.logdet(whole[list(some)][:, list(some)]))

        best = max(value(some) for some in itertools.combinations(range(8), 3))
        assert value(max_det(space, 3, seeded(), 1.0).tolist()) >= (1 - 1 / np.e) * best


def test_without_noise_max_det_ends_with_the_rank_and_goes_on_at_random():
    picks = max_det(features(width=3, labeled=0), 6, seeded())
    assert picks.unique().numel() == 6
    assert picks[:3].tolist() == max_det(features(width=3, labeled=0), 3, seeded(1)).tolist()


def plain_bait(space: Features, count: int, noise: float, oversample: int) -> list[int]:
    """The trace itself, of every candidate."""
    width = space.pool_N_P.shape[1]
    known = space.labeled_L_P.T @ space.labeled_L_P + noise * torch.eye(width, dtype=torch.float64)
    everything = known + space.pool_N_P.T @ space.pool_N_P - noise * torch.eye(width, dtype=torch.float64)

    def left(some: list[int]) -> float:
        rows = space.pool_N_P[some]
        return float((torch.linalg.inv(known + rows.T @ rows) @ everything).trace())

    picks: list[int] = []
    for _ in range(oversample * count):
        others = [i for i in range(space.n) if i not in picks]
        picks.append(min(others, key=lambda i: left([*picks, i])))
    while len(picks) > count:
        picks.remove(min(picks, key=lambda i: left([p for p in picks if p != i])))
    return picks


@pytest.mark.parametrize("oversample", [1, 2])
def test_bait_takes_what_lowers_the_trace_most(oversample):
    for seed in range(3):
        space = features(n=25, seed=seed)
        picks = bait_forward_backward(space, 4, seeded(), 0.1, True, oversample).tolist()
        assert picks == plain_bait(space, 4, 0.1, oversample)


def test_frank_wolfe_comes_nearer_with_every_pick_and_takes_orthonormal_points_once():
    assert sorted(frank_wolfe(Features(torch.eye(6), torch.zeros(0, 6)), 6, seeded()).tolist()) == list(range(6))
    space = features(labeled=0, n=40)
    lengths = space.pool_N_P.norm(dim=1)
    target, so_far, gap, picks = space.pool_N_P.sum(dim=0), torch.zeros(6, dtype=torch.float64), np.inf, []
    for _ in range(10):
        scores = space.pool_N_P @ (target - so_far) / lengths
        scores[picks] = -np.inf
        picks.append(int(scores.argmax()))
        along = lengths.sum() * space.pool_N_P[picks[-1]] / lengths[picks[-1]] - so_far
        so_far = so_far + (along @ (target - so_far)) / (along @ along) * along
        assert float((target - so_far).norm()) <= gap + 1e-9
        gap = float((target - so_far).norm())
    assert frank_wolfe(space, 10, seeded()).tolist() == picks


def test_lcmd_asks_in_every_blob_once():
    centres = 100 * torch.eye(6, dtype=torch.float64)
    pool = centres.repeat_interleave(10, dim=0) + normal(60, 6)
    picks = largest_cluster(Features(pool, centres[:1]), 5, seeded())
    assert sorted((picks // 10).tolist()) == [1, 2, 3, 4, 5]


def test_lcmd_by_hand():
    # Around 0: {1, 2}, mass 5, and around 10: {13}, mass 9, then {13, 14} with mass 25 and so on.
    labeled = column(0, 10)
    assert largest_cluster(Features(column(1, 2, 13), labeled), 3, seeded()).tolist() == [2, 1, 0]
    # Farthest first asks for 14 too, but LCMD for the crowd at 3: 4 * 9 > 4^2.
    crowd = Features(column(3, 3.1, 2.9, 3, 14), labeled)
    assert max_dist(crowd, 1, seeded()).tolist() == [4]
    assert largest_cluster(crowd, 1, seeded()).tolist() == [1]


def test_max_dist_is_within_twice_the_best_radius():
    for seed in range(5):
        space = features(n=10, labeled=1, width=2, seed=seed)

        def radius(some, space=space) -> float:
            return float(
                torch.cdist(space.pool_N_P, torch.cat([space.labeled_L_P, space.pool_N_P[some]])).amin(1).max()
            )

        best = min(radius(list(some)) for some in itertools.combinations(range(10), 3))
        assert radius(max_dist(space, 3, seeded()).tolist()) <= 2 * best + 1e-6


def test_k_means_plus_plus_draws_by_squared_distance():
    space = Features(column(1, 2, 3, 4), column(0))
    rng = seeded()
    drawn = torch.stack([k_means_plus_plus(space, 2, rng) for _ in range(1500)])
    assert chisquare(torch.bincount(drawn[:, 0]).numpy(), 1500 * np.array([1, 4, 9, 16]) / 30).pvalue > 1e-3
    # After 4, the squared distances of 1, 2, 3 are 1, 4, 1.
    then = torch.bincount(drawn[drawn[:, 0] == 3, 1], minlength=3).numpy()
    assert chisquare(then, then.sum() * np.array([1, 4, 1]) / 6).pvalue > 1e-3


@pytest.mark.parametrize("name", SELECTIONS)
def test_turning_and_scaling_change_nothing(name):
    turn = torch.linalg.qr(normal(11, 11, seed=4)).Q
    view = random_view(40, dtype=torch.float64)
    moved = [ModelOutputs(gradients=side.require("gradients") @ turn * 7) for side in (view.pool, view.labeled)]
    other = PoolView(moved[0], moved[1], view.labels, view.num_classes)
    sigma = 0.1
    before = BMDAL("gradient", (), name, sigma=sigma).propose(view, 8, seeded()).indices.tolist()
    assert BMDAL("gradient", (), name, sigma=7 * sigma).propose(other, 8, seeded()).indices.tolist() == before


# Kernels


def test_the_posterior_of_features_is_that_of_the_kernel():
    space, noise = features(labeled=30, width=12), 0.01
    kernel = joint_kernel(space)
    known, cross = kernel[60:, 60:] + noise * torch.eye(30, dtype=torch.float64), kernel[:60, 60:]
    wanted = kernel[:60, :60] - cross @ torch.linalg.solve(known, cross.T)
    found = posterior(space, noise).pool_N_P
    torch.testing.assert_close(found @ found.T, wanted, rtol=1e-8, atol=1e-9)


def test_noise_decides_how_much_a_label_tells():
    space = features(labeled=3, width=6)
    same = Features(space.labeled_L_P, space.labeled_L_P)
    assert float(posterior(same, 1e-10).sizes().max()) < 1e-9
    torch.testing.assert_close(posterior(space, 1e12).sizes(), space.sizes(), rtol=1e-6, atol=0)
    torch.testing.assert_close(posterior(Features(space.pool_N_P, space.pool_N_P[:0]), 1.0).sizes(), space.sizes())


def test_scale_makes_the_mean_of_the_labeled_points_one():
    assert float(scaled(features()).labeled_sizes().mean()) == pytest.approx(1)
    assert float(scaled(features(labeled=0)).sizes().mean()) == pytest.approx(1)


def test_a_matrix_that_is_not_quite_positive_still_has_a_root():
    row = normal(1, 5)
    root = robust_cholesky(row.T @ row)
    torch.testing.assert_close(root @ root.T, row.T @ row, atol=1e-3, rtol=0)


def test_sketches_are_unbiased():
    space = features(n=3, labeled=1)
    rng = seeded()
    grams = []
    for _ in range(2000):
        rows = sketch(space, 8, rng).pool_N_P
        grams.append(rows @ rows.T)
    found = torch.stack(grams)
    error = found.std(dim=0) / 2000**0.5
    assert ((found.mean(dim=0) - space.pool_N_P @ space.pool_N_P.T).abs() < 4 * error).all()


def closed_form(k: Tensor, noise: float) -> Tensor:
    """E f f' of ACS-RF from the posterior kernel."""
    own = k.diagonal()
    c = 0.5 * torch.log1p(own / noise) - own / (2 * noise)
    mixed = c[:, None] * own + own[:, None] * c
    return c[:, None] * c - mixed / (2 * noise) + (own[:, None] * own + 2 * k.square()) / (4 * noise**2)


def test_acs_features_have_the_inner_product_they_stand_for():
    space, noise = features(n=4, labeled=3, width=3), 0.5
    after = posterior(space, noise).pool_N_P
    found = acs_rf(space, noise, 400_000, seeded()).pool_N_P
    torch.testing.assert_close(found @ found.T, closed_form(after @ after.T, noise), rtol=0.02, atol=0.05)
    # The package's posterior lacks the factor, and its root is that of the 3 features that come in.
    found = acs_rf(space, noise, 400_000, seeded(), compat=True).pool_N_P
    wanted = closed_form(after @ after.T / noise, noise) * 400_000 / 3
    torch.testing.assert_close(found @ found.T / wanted, torch.ones_like(wanted), rtol=0.02, atol=0.02)


def test_acs_grad_is_the_product_of_prior_and_posterior():
    space, noise = features(n=3, labeled=3, width=3), 0.5
    after = posterior(space, noise).pool_N_P
    wanted = (space.pool_N_P @ space.pool_N_P.T) * (after @ after.T) / noise**2
    found = acs_grad(space, noise, 400_000, seeded()).pool_N_P
    torch.testing.assert_close(found @ found.T, wanted, rtol=0.05, atol=0.05 * float(wanted.max()))


def test_acs_rf_hyper_by_hand():
    # One feature, x = 1, labeled (1, 2): Lam = 2, mu = 1, a = 1.5, b = 1 + (4 - 2) / 2 = 2.
    space = Features(column(1.0), column(1.0))
    found = acs_rf_hyper(space, torch.tensor([2.0]), 200_000, seeded()).pool_N_P.mean() * 200_000**0.5
    wanted = -0.5 * np.log(2 * np.pi) - (0.5 + 2 / 1.5 * 1.5) / 2
    assert float(found) == pytest.approx(wanted, abs=0.01)


def wide_network(x: Tensor, gradient: bool, layers: int = 3, width: int = 4000) -> Tensor:
    """Kernel of one random wide ReLU network, weight variance 2 / fan in."""
    weights = [normal(x.shape[1], width, seed=1), normal(width, width, seed=2), normal(width, 1, seed=3)]
    weights = [w.mul_((2 / len(w)) ** 0.5).requires_grad_(gradient) for w in weights]
    hidden = x
    for w in weights[:-1]:
        hidden = (hidden @ w).relu()
    assert layers == len(weights)
    return 2 / width * hidden @ hidden.T


def test_nngp_is_the_limit_of_wide_networks():
    x = normal(4, 3)
    found = InfiniteNetwork(x, x).products(slice(None), torch.arange(4))
    torch.testing.assert_close(found, wide_network(x, False), rtol=0.1, atol=0.1)
    torch.testing.assert_close(InfiniteNetwork(x, x).sizes(), found.diagonal())
    tangent = InfiniteNetwork(x, x, gradient=True)
    torch.testing.assert_close(tangent.sizes(), tangent.products(slice(None), torch.arange(4)).diagonal())


@pytest.mark.parametrize("gradient", [False, True])
def test_a_kernel_without_features_selects_as_its_features_would(gradient):
    x, labeled = normal(40, 4), normal(6, 4, seed=1)
    space = InfiniteNetwork(x, labeled, gradient)
    both = torch.cat([x, labeled])
    values, vectors = torch.linalg.eigh(InfiniteNetwork(both, both, gradient).among_labeled())
    rows = vectors * values.clamp(min=0).sqrt()
    same = Features(rows[:40], rows[40:])
    for select in (max_dist, largest_cluster):
        for tp in (True, False):
            assert select(space, 12, seeded(), tp).tolist() == select(same, 12, seeded(), tp).tolist()
    assert max_det(space, 12, seeded(), 0.1, True).tolist() == max_det(same, 12, seeded(), 0.1, True).tolist()
    after = Posterior(space, 2.0, 0.1)
    wanted = posterior(Features(2**0.5 * same.pool_N_P, 2**0.5 * same.labeled_L_P), 0.1)
    torch.testing.assert_close(after.sizes(), wanted.sizes(), rtol=1e-6, atol=1e-8)
    assert max_det(after, 12, seeded(), 0.1).tolist() == max_det(wanted, 12, seeded(), 0.1).tolist()


# The strategies


@pytest.mark.parametrize(
    ("name", "base", "transforms", "selection", "mode"),
    [
        ("bmdal", "last_layer", (), "lcmd", "tp"),
        ("lcmd", "gradient", (), "lcmd", "tp"),
        ("maxdist", "gradient", (), "maxdist", "tp"),
        ("maxdet", "gradient", ("posterior",), "maxdet", "p"),
        ("maxdiag", "gradient", ("posterior",), "maxdiag", "p"),
        ("kmeanspp", "gradient", ("acs_rf",), "kmeanspp", "p"),
        ("frank_wolfe", "gradient", ("acs_rf_hyper",), "frank_wolfe", "p"),
    ],
)
def test_names_stand_for_members_of_the_grid(name, base, transforms, selection, mode):
    for task in ("classification", "regression"):
        view = random_view(task=task)
        named = CANDIDATES[name]().propose(view, 8, seeded()).indices
        assert named.tolist() == BMDAL(base, transforms, selection, mode).propose(view, 8, seeded()).indices.tolist()
        assert CANDIDATES[name]().needs_for(task) == {BASES[base]}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("transforms", [(), ("scale",), ("posterior",)])
@pytest.mark.parametrize("size", [0.0, 1e-30, 1.0, 1e30])
def test_the_grid_takes_features_of_any_size(base, transforms, size):
    view = random_view(20)
    field = BASES[base]
    sides = [ModelOutputs(**{field: side.require(field) * size}) for side in (view.pool, view.labeled)]
    for labeled, labels in ((sides[1], view.labels), (ModelOutputs(), view.labels[:0])):
        for selection in SELECTIONS:
            strategy = BMDAL(base, transforms, selection)
            if base in ("nngp", "ntk") and selection in ("bait", "bait_fb", "frank_wolfe"):
                continue
            picks = strategy.propose(PoolView(sides[0], labeled, labels, 4), 20, seeded()).indices
            assert picks.unique().numel() == 20


def test_what_a_kernel_cannot_do_is_refused():
    view = random_view()
    for strategy in (BMDAL("nngp", ("sketch",)), BMDAL("ntk", (), "bait"), BMDAL("nngp", ("posterior", "scale"))):
        with pytest.raises(InvalidInput, match="needs features"):
            strategy.propose(view, 3, seeded())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"base": "gradeint"}, UnknownName),
        ({"selection": "lmcd"}, UnknownName),
        ({"transforms": ("postreior",)}, UnknownName),
        ({"mode": "pt"}, UnknownName),
        ({"sigma": 0.0}, InvalidInput),
        ({"width": 0}, InvalidInput),
        ({"compat": "bmdal"}, InvalidInput),
    ],
)
def test_wrong_options_are_refused(options, error):
    with pytest.raises(error):
        BMDAL(**options).propose(random_view(), 3, seeded())


# The authors' package


@pytest.mark.parametrize("tp", [True, False])
def test_batches_of_bmdal_reg(monkeypatch, tp):
    selection = import_bmdal_reg(monkeypatch)
    for seed in range(5):
        space = features(n=120, labeled=10, width=8, seed=seed)
        sides = space.pool_N_P, space.labeled_L_P

        def theirs(method, sides=sides, **options):
            return bmdal_reg_batch(selection, method, *sides, 25, tp, **options)

        assert max_dist(space, 25, seeded(), tp).tolist() == theirs("MaxDistSelectionMethod")
        assert largest_cluster(space, 25, seeded(), tp).tolist() == theirs("LargestClusterMaxDistSelectionMethod")
        for form, name in (("columns", "MaxDetSelectionMethod"), ("features", "MaxDetFeatureSpaceSelectionMethod")):
            picks = max_det(space, 25, seeded(), 0.01, tp, form).tolist()
            assert picks == theirs(name, noise_sigma=0.1)
        assert frank_wolfe(space, 25, seeded(), tp).tolist() == theirs("FrankWolfeSelectionMethod")


@pytest.mark.parametrize("oversample", [1.0, 2.0])
def test_bait_of_bmdal_reg(monkeypatch, oversample):
    selection = import_bmdal_reg(monkeypatch)
    for seed in range(5):
        space = features(n=120, labeled=10, width=8, seed=seed)
        theirs = bmdal_reg_batch(
            selection,
            "BaitFeatureSpaceSelectionMethod",
            space.pool_N_P,
            space.labeled_L_P,
            12,
            True,
            noise_sigma=0.1,
            overselection_factor=oversample,
        )
        assert bait_forward_backward(space, 12, seeded(), 0.01, True, oversample).tolist() == theirs


def test_k_means_plus_plus_of_bmdal_reg_has_the_same_distribution(monkeypatch):
    # The package draws from the global generator, one multinomial a pick: no seed makes the draws ours.
    selection = import_bmdal_reg(monkeypatch)
    space = features(n=6, labeled=1, width=2)
    rng = seeded()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = [
            bmdal_reg_batch(selection, "KmeansppSelectionMethod", space.pool_N_P, space.labeled_L_P, 2, True)
            for _ in range(600)
        ]
    ours = [k_means_plus_plus(space, 2, rng).tolist() for _ in range(600)]
    counts = np.zeros((2, 36))
    for side, lists in enumerate((ours, theirs)):
        for first, second in lists:
            counts[side, 6 * first + second] += 1
    assert chi2_contingency(counts[:, counts.sum(axis=0) > 20]).pvalue > 1e-3
