"""BatchBALD: by hand, against enumeration, against two public packages, and in a regression."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from autoal.errors import InvalidInput
from autoal.outputs import ModelOutputs, PoolView
from autoal.strategies.parts.information import entropy, mutual_information
from autoal.strategies.parts.joint import LabelTable
from autoal.strategies.parts.lazy import best_gain
from autoal.strategies.parts.regression import noise_variance, sample_features
from autoal.strategies.uncertainty.bald import BALD
from autoal.strategies.uncertainty.batchbald import BatchBALD, greedy_information, greedy_log_det
from tests.helpers import fake_view, mc, random_outputs, random_view, seeded


def some(n=8, classes=3):
    return random_outputs(n, 3, classes, dtype=torch.float64).require("mc_log_probs") * 0.4


def samples(n=8, classes=3):
    return some(n, classes).log_softmax(dim=2)


def joint_information(log_probs_b_K_C: torch.Tensor) -> float:
    """H(y_1, ..., y_b) - sum of the conditional entropies, over every labeling."""
    probs, total = log_probs_b_K_C.exp(), 0.0
    for labels in itertools.product(range(probs.shape[2]), repeat=len(probs)):
        mass = float(math.prod(probs[i, :, c] for i, c in enumerate(labels)).mean())
        total -= mass * math.log(mass) if mass > 0 else 0
    return total - float(entropy(log_probs_b_K_C).mean(dim=1).sum())


def greedy(log_probs, count, lazy=True, seed=0, order=None, **options):
    table = LabelTable(log_probs.shape[1], seeded(seed), **options)
    single = mutual_information(log_probs)
    order = single.argsort(descending=True, stable=True) if order is None else order
    return greedy_information(log_probs, single, order, table, count, lazy)


def test_each_step_takes_the_best_of_all_and_the_gains_add_up_to_the_joint_information():
    log_probs = samples()
    picks, gains = greedy(log_probs, 4)
    for step in range(4):
        chosen = picks[:step].tolist()
        values = {i: joint_information(log_probs[[*chosen, i]]) for i in range(len(log_probs)) if i not in chosen}
        assert int(picks[step]) == max(values, key=values.get)
        assert sum(gains[: step + 1]) == pytest.approx(max(values.values()), abs=1e-12)
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(gains))


def test_greedy_is_within_its_guarantee_of_the_best_batch_and_its_value_within_bounds():
    log_probs = samples()
    picks, gains = greedy(log_probs, 3)
    best = max(joint_information(log_probs[list(batch)]) for batch in itertools.combinations(range(8), 3))
    single = mutual_information(log_probs)
    assert (1 - 1 / math.e) * best <= sum(gains) <= best + 1e-12
    assert float(single.max()) <= sum(gains) <= min(float(single[picks].sum()), math.log(6)) + 1e-12


def test_independent_certainties_add_up():
    """Samples labeled 0011 and 0101: two labels tell all four samples apart; a third point says nothing new."""
    bits = mc([[1, 0], [1, 0], [0, 1], [0, 1]], [[1, 0], [0, 1], [1, 0], [0, 1]], [[0, 1], [1, 0], [0, 1], [1, 0]])
    picks, gains = greedy(bits, 3)
    assert gains == pytest.approx([math.log(2), math.log(2), 0])
    assert 0 in picks[:2]


def test_a_copy_adds_less_than_a_weaker_point():
    leaning, other = [[0.9, 0.1], [0.1, 0.9]] * 2, [[0.85, 0.15], [0.85, 0.15], [0.15, 0.85], [0.15, 0.85]]
    view = fake_view(mc_log_probs=mc(leaning, leaning, leaning, other))
    assert 3 not in BALD().propose(view, 2, seeded()).indices
    assert 3 in BatchBALD().propose(view, 2, seeded()).indices


def test_a_batch_of_one_is_that_of_bald():
    view = random_view(60)
    assert torch.equal(BatchBALD().propose(view, 1, seeded()).indices, BALD().propose(view, 1, seeded()).indices)


def test_lazy_and_full_search_agree():
    log_probs = samples(300, 4)
    (lazy, gains), (full, all_gains) = greedy(log_probs, 5), greedy(log_probs, 5, lazy=False)
    assert torch.equal(lazy, full)
    assert gains == pytest.approx(all_gains, abs=1e-12)


def test_lazy_search_looks_at_few_points():
    bounds = torch.arange(10_000, dtype=torch.float64)
    seen = []

    def gains_of(places):
        seen.append(len(places))
        return bounds[places] / (1 + (places > 9_990))

    assert best_gain(bounds.clone(), [gains_of]) == (9_990, 9_990.0)
    assert sum(seen) == 64


def test_bounds_that_are_all_too_high_alike_cost_few_looks_once_calibrated():
    gains = torch.rand(10_000, generator=seeded(), dtype=torch.float64)
    looked = {False: 0, True: 0}
    for calibrated in looked:

        def gains_of(places, calibrated=calibrated):
            looked[calibrated] += len(places)
            return gains[places]

        bounds, looks = torch.full_like(gains, 2), [lambda places: 1.2 * gains[places], gains_of]
        assert best_gain(bounds, looks, calibrated=calibrated) == (int(gains.argmax()), float(gains.max()))
    assert looked[True] == 64 and looked[False] > 1_000


def test_drawn_labelings_give_the_enumerated_value_on_average():
    log_probs = samples()
    picks, gains = greedy(log_probs, 4)
    single = mutual_information(log_probs)
    runs = []
    for seed in range(20):
        table = LabelTable(6, seeded(seed), limit=0, draws=300)
        runs.append(sum(greedy_information(log_probs[picks], single[picks], torch.arange(4), table, 4)[1]))
    drawn = torch.tensor(runs)
    assert abs(float(drawn.mean()) - sum(gains)) < 4 * float(drawn.std()) / 20**0.5


def test_a_saturated_batch_is_filled_as_power_bald_would():
    """Two certain samples are told apart by one label: after three more labels that say nothing the rest is drawn."""
    view = fake_view(mc_log_probs=mc(*[[[1, 0], [0, 1]]] * 30, *[[[1, 0], [1, 0]]] * 30))
    picks, gains = greedy(view.pool.require("mc_log_probs"), 20)
    assert len(picks) == 4 and gains == pytest.approx([math.log(2), 0, 0, 0])
    batches = [BatchBALD().propose(view, 20, seeded(s)).indices for s in range(3)]
    assert len({tuple(batch.tolist()) for batch in batches}) == 3
    assert all((batch[4:] < 30).all() for batch in batches)


@pytest.mark.parametrize("options", [{"limit": -1}, {"draws_of_labels": 0}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(InvalidInput, match="wanted at least"):
        BatchBALD(**options).propose(random_view(), 2, seeded())


def test_picks_and_values_are_those_of_batchbald_redux():
    redux = pytest.importorskip("batchbald_redux.batchbald")
    log_probs = samples(60, 4)
    theirs = redux.get_batchbald_batch(log_probs.clone(), 5, 4**4, dtype=torch.double)
    picks, gains = greedy(log_probs, 5)
    assert picks.tolist() == theirs.indices
    totals, values = (torch.tensor(v, dtype=torch.float64) for v in (gains, theirs.scores))
    torch.testing.assert_close(totals.cumsum(0), values, rtol=0, atol=1e-12)


def test_picks_and_values_are_those_of_scikit_activeml():
    pool = pytest.importorskip("skactiveml.pool")
    log_probs = samples(60, 4)
    theirs = torch.as_tensor(
        pool.batch_bald(log_probs.exp().transpose(0, 1).numpy().copy(), 4, n_MC_samples=4**3, random_state=0)
    ).nan_to_num(-1)
    picks, gains = greedy(log_probs, 4)
    assert picks.tolist() == theirs.argmax(dim=1).tolist()
    totals = torch.tensor(gains, dtype=torch.float64).cumsum(0)
    torch.testing.assert_close(totals, theirs.amax(dim=1), rtol=0, atol=1e-12)


def log_det(features: torch.Tensor, batch) -> float:
    rows = features[list(batch)]
    return float(torch.logdet(torch.eye(len(rows), dtype=rows.dtype) + rows @ rows.T))


def test_in_a_regression_each_step_has_the_largest_log_det():
    view = random_view(8, task="regression", dtype=torch.float64)
    features = sample_features(view.pool.require("mc_means")) / noise_variance(view).sqrt()
    picks = BatchBALD().propose(view, 8, seeded()).indices.tolist()
    for step in range(1, 8):
        left = set(range(8)) - set(picks[:step])
        assert picks[step] == max(left, key=lambda i: log_det(features, [*picks[:step], i]))
    best = max(log_det(features, batch) for batch in itertools.combinations(range(8), 3))
    assert (1 - 1 / math.e) * best <= log_det(features, picks[:3]) <= best + 1e-12


def test_in_a_regression_a_copy_adds_less():
    """Of deviations 3, 3, 2 and a noise of 1 a second 3 leaves 1/2 log(1 + 9/10), the 2 beside it 1/2 log(1 + 4)."""
    features = torch.tensor([[3.0, 0.0], [3.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    assert greedy_log_det(features, 3).tolist()[1] == 2
    assert log_det(features, [0, 1]) == pytest.approx(math.log(1 + 2 * 9))


def test_in_a_regression_more_points_than_samples_are_ranked_by_what_they_leave():
    view = random_view(40, task="regression")
    short = replace(view, pool=replace(view.pool, mc_means=view.pool.require("mc_means")[:, :2]))
    assert BatchBALD().propose(short, 40, seeded()).indices.unique().numel() == 40


def test_in_a_regression_without_disagreement_the_batch_is_random():
    view = PoolView(
        ModelOutputs(mc_means=torch.ones(30, 4), embeddings=torch.ones(30, 1)), ModelOutputs(), torch.zeros(0), 0
    )
    batches = {tuple(BatchBALD().propose(view, 5, seeded(s)).indices.tolist()) for s in range(5)}
    assert len(batches) == 5
