"""EPIG and JEPIG: numbers by hand, order of the three informations, and enumeration."""

import math

import pytest
import torch

from autoal.errors import InvalidInput
from autoal.strategies.parts.information import mutual_information
from autoal.strategies.parts.joint import LabelTable
from autoal.strategies.uncertainty.epig import EPIG, drawn_targets, expected_information, gaussian_information, pruned
from autoal.strategies.uncertainty.jepig import JEPIG, effective_samples, joint_gaussian_information, joint_information
from tests.helpers import fake_view, mc, random_outputs, random_view, seeded

LEANING = mc([[0.9, 0.1], [0.1, 0.9]])


def some(n=12, classes=3):
    return random_outputs(n, 0, classes, dtype=torch.float64).require("mc_log_probs")


def jepig(rows, targets, **options):
    table = LabelTable(rows.shape[1], seeded(), **options)
    for target in targets:
        table.extend(target)
    return joint_information(rows, mutual_information(rows), table)


def test_a_leaning_coin_about_itself():
    assert float(expected_information(LEANING, LEANING.exp())) == pytest.approx(0.221754, abs=1e-6)
    assert float(mutual_information(LEANING)) == pytest.approx(0.368064, abs=1e-6)
    assert float(jepig(LEANING, LEANING)) == pytest.approx(0.221754, abs=1e-6)


def test_certain_samples_say_all_and_independent_ones_nothing():
    bits = mc([[1.0, 0], [1, 0], [0, 1], [0, 1]], [[1, 0], [0, 1], [1, 0], [0, 1]])
    assert expected_information(bits, bits[:1].exp()).tolist() == pytest.approx([math.log(2), 0])
    assert jepig(bits, bits[:1]).tolist() == pytest.approx([math.log(2), 0])


def test_it_is_the_divergence_from_independence():
    rows = some()
    probs = rows.exp()
    scores = expected_information(rows, probs[:4])
    for n in range(len(rows)):
        total = 0.0
        for target in probs[:4]:
            joint = probs[n].T @ target / len(target)
            apart = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
            total += float((joint * (joint / apart).log()).sum()) / 4
        assert float(scores[n]) == pytest.approx(total, abs=1e-12)


def test_epig_is_at_most_jepig_and_that_at_most_bald():
    rows = some()
    each = torch.stack([expected_information(rows, rows[e : e + 1].exp()) for e in range(3)])
    joint = jepig(rows, rows[:3])
    assert (each >= 0).all()
    assert (each.amax(dim=0) <= joint + 1e-12).all()
    assert (joint <= mutual_information(rows) + 1e-12).all()


def test_drawn_labelings_give_the_same_mean():
    rows = some(5)
    exact = jepig(rows, rows[:3])
    runs = []
    for seed in range(20):
        table = LabelTable(6, seeded(seed), limit=0, draws=600)
        for target in rows[:3]:
            table.extend(target)
        runs.append(joint_information(rows, mutual_information(rows), table))
    drawn = torch.stack(runs)
    assert ((drawn.mean(dim=0) - exact).abs() < 4 * drawn.std(dim=0) / 20**0.5 + 1e-6).all()


def test_effective_samples():
    table = LabelTable(2, seeded())
    assert effective_samples(table) == pytest.approx(2)
    table.extend(mc([[1.0, 0], [0, 1]])[0])
    assert effective_samples(table) == pytest.approx(1)


def test_leaving_out_what_cannot_be_picked_changes_no_pick(monkeypatch):
    monkeypatch.setattr("autoal.strategies.uncertainty.epig.STEP", 16)
    rows = random_outputs(300, 0, dtype=torch.float64).require("mc_log_probs")
    rows[100:] = rows[100:, :1]  # nothing to learn there
    targets, bound = rows[:9].exp(), mutual_information(rows)
    whole, part = expected_information(rows, targets), pruned(rows, targets, bound, 5, seeded())
    assert part.topk(5).indices.tolist() == whole.topk(5).indices.tolist()
    assert (part >= whole - 1e-12).all() and bool((part[100:] == bound[100:]).all())


def test_a_class_prior_draws_the_points_it_asks_for():
    rows = mc(*[[[0.99, 0.01]]] * 90, *[[[0.01, 0.99]]] * 10)
    view = fake_view(mc_log_probs=rows)
    for prior, share in ((None, 0.1), ([0.5, 0.5], 0.46), ([1, 0], 0.0011)):
        drawn = drawn_targets(view, 20_000, prior, seeded())
        assert float((drawn >= 90).double().mean()) == pytest.approx(share, abs=0.02)


def test_shuffled_samples_share_little_and_that_can_be_taken_away():
    view = random_view(dtype=torch.float64)
    plain, less = (EPIG(debias=on).propose(view, 3, seeded()).scores for on in (False, True))
    assert (less < plain).all()


def test_a_regression_by_hand():
    """Variance and noise 1, covariance 1: log(4/3) / 2 for either; as one target more, JEPIG grows and stays below
    BALD."""
    features = torch.ones(1, 1, dtype=torch.float64)
    assert float(gaussian_information(features, features)) == pytest.approx(0.143841, abs=1e-6)
    assert float(joint_gaussian_information(features, features)) == pytest.approx(0.143841, abs=1e-6)
    rows = torch.randn(20, 4, generator=seeded(), dtype=torch.float64)
    each = torch.stack([gaussian_information(rows, rows[e : e + 1]) for e in range(6)])
    joint, bald = joint_gaussian_information(rows, rows[:6]), 0.5 * rows.square().sum(dim=1).log1p()
    assert (each.amax(dim=0) <= joint + 1e-12).all() and (joint <= bald + 1e-12).all()
    block = torch.eye(7, dtype=torch.float64)
    for n in range(6, 20):
        points = torch.cat([rows[n : n + 1], rows[:6]])
        covariance = block + points @ points.T
        both = covariance[0, 0].log() + covariance[1:, 1:].logdet() - covariance.logdet()
        assert float(joint[n]) == pytest.approx(0.5 * float(both), abs=1e-10)


@pytest.mark.parametrize("strategy", [EPIG(targets=0), JEPIG(targets=51), JEPIG(draws_of_labels=0)])
def test_counts_out_of_range_are_refused(strategy):
    with pytest.raises(InvalidInput, match="targets="):
        strategy.propose(random_view(), 1, seeded())


def test_a_prior_of_another_length_is_refused():
    with pytest.raises(InvalidInput, match="class_prior"):
        EPIG(class_prior=[1.0]).propose(random_view(), 1, seeded())


def test_baal_agrees():
    heuristics = pytest.importorskip("baal.active.heuristics")
    if not hasattr(heuristics, "EPIG"):
        pytest.skip("this baal has no EPIG")
    rows = some(20, 4)
    ours = expected_information(rows, rows[:7].exp())
    theirs = heuristics.EPIG().compute_score(rows.exp().transpose(1, 2).numpy(), rows[:7].exp().transpose(1, 2).numpy())
    torch.testing.assert_close(ours, torch.as_tensor(theirs, dtype=torch.float64).flatten(), rtol=0, atol=2e-6)
