"""MaxHerding, uncertainty herding, and the temperature it uses."""

import pytest
import torch

from autoal.errors import InvalidInput
from autoal.strategies.diversity.maxherding import MaxHerding
from autoal.strategies.diversity.uncertainty_herding import UncertaintyHerding
from autoal.strategies.parts.calibration import calibration_error, held_out_log_probs, least_ece_temperature
from autoal.strategies.parts.coverage import smallest_labeled_distance
from autoal.strategies.uncertainty.margin import Margin
from tests.helpers import fake_view, probs, random_view, seeded


def unit(angle: list[float]) -> torch.Tensor:
    radians = torch.tensor(angle).deg2rad()
    return torch.stack([radians.cos(), radians.sin()], dim=1)


def test_maxherding_starts_in_the_largest_group():
    view = fake_view(embeddings=unit([0, 2, 4, 90, 180]))
    picks = MaxHerding(bandwidth=0.3).propose(view, 3, seeded()).indices.tolist()
    assert picks[0] == 1 and set(picks[1:]) == {3, 4}


def test_maxherding_leaves_what_is_labeled():
    view = fake_view(embeddings=unit([0, 2, 4, 90, 92]), labeled=unit([2]))
    assert MaxHerding(bandwidth=0.3).propose(view, 1, seeded()).indices[0] in (3, 4)


def test_length_of_the_embeddings_changes_nothing():
    view = random_view(40)
    pool = view.pool.require("embeddings")
    grown = fake_view(embeddings=pool * torch.linspace(1, 9, 40)[:, None], labeled=view.labeled.require("embeddings"))
    plain = fake_view(embeddings=pool, labeled=view.labeled.require("embeddings"))
    assert MaxHerding().propose(grown, 9, seeded()).indices.equal(MaxHerding().propose(plain, 9, seeded()).indices)


def test_with_nothing_labeled_uncertainty_herding_is_maxherding():
    view = random_view(40, labeled=0)
    picks = [s.propose(view, 8, seeded()).indices.tolist() for s in (UncertaintyHerding(), MaxHerding())]
    assert picks[0] == picks[1]


def test_with_a_narrow_kernel_it_is_top_b_of_the_measure():
    view = random_view(40)
    narrow = UncertaintyHerding(temperature=1.0, bandwidth=1e-3).propose(view, 8, seeded()).indices
    assert narrow.equal(Margin().propose(view, 8, seeded()).indices)


def test_at_a_high_temperature_with_even_weights_it_is_maxherding():
    view = random_view(40)
    flat = UncertaintyHerding(temperature=1e9, bandwidth=1.0).propose(view, 8, seeded()).indices
    assert flat.equal(MaxHerding().propose(view, 8, seeded()).indices)


def test_it_covers_uncertain_points_and_takes_one_of_a_group():
    embeddings = unit([0, 1, 2, 90, 180])
    log_probs = probs([0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.6, 0.4], [0.99, 0.01])
    view = fake_view(log_probs, embeddings, labeled=unit([270]), labels=[0])
    picks = UncertaintyHerding(temperature=1.0, bandwidth=0.3).propose(view, 2, seeded()).indices.tolist()
    assert picks == [1, 3]


@pytest.mark.parametrize("measure", ["margin", "entropy", "least_confidence"])
def test_every_measure(measure):
    assert UncertaintyHerding(measure=measure).propose(random_view(40), 8, seeded()).indices.unique().numel() == 8


def test_the_bandwidth_is_the_smallest_labeled_distance():
    view = random_view(40)
    bandwidth = smallest_labeled_distance(view.labeled.require("embeddings"))
    picks = [UncertaintyHerding(bandwidth=w).propose(view, 8, seeded()).indices.tolist() for w in ("auto", bandwidth)]
    assert picks[0] == picks[1]


def test_the_temperature_is_10_below_30_labels_and_fitted_above():
    few, many = random_view(40, labeled=29), random_view(40, labeled=120)
    for view, temperature in ((few, 10.0), (many, None)):
        labeled = view.labeled.require("embeddings")
        if temperature is None:
            temperature = least_ece_temperature(*held_out_log_probs(labeled, view.labels, view.num_classes))
        picks = [UncertaintyHerding(t).propose(view, 8, seeded()).indices.tolist() for t in ("auto", temperature)]
        assert picks[0] == picks[1]


@pytest.mark.parametrize(
    "options", [{"temperature": 0.0}, {"temperature": "hot"}, {"bandwidth": "wide"}, {"bandwidth": 0}, {"measure": "x"}]
)
def test_what_cannot_be_used_is_refused(options):
    with pytest.raises(InvalidInput):
        UncertaintyHerding(**options).propose(random_view(40, labeled=40), 3, seeded())


def test_calibration_error_by_hand():
    # Two at confidence 0.9, one right: |0.5 - 0.9|. One at 0.6, right: |1 - 0.6|.
    rows = probs([0.9, 0.1], [0.9, 0.1], [0.6, 0.4])
    assert calibration_error(rows, torch.tensor([0, 1, 0])) == pytest.approx((2 * 0.4 + 0.4) / 3)


def test_an_overconfident_prediction_is_cooled():
    logits = 2 * torch.randn(3000, 3, generator=seeded())
    labels = torch.multinomial(logits.softmax(1), 1, generator=seeded(1)).flatten()
    assert least_ece_temperature(logits.log_softmax(1), labels) == pytest.approx(1, abs=0.2)
    assert least_ece_temperature((4 * logits).log_softmax(1), labels) == pytest.approx(4, abs=0.5)


def test_held_out_log_probs_are_those_of_scikit_learn():
    linear = pytest.importorskip("sklearn.linear_model")
    x = torch.randn(200, 6, generator=seeded())
    labels = (x @ torch.randn(6, 3, generator=seeded(1)) + torch.randn(200, 3, generator=seeded(2))).argmax(1)
    log_probs, _ = held_out_log_probs(x, labels, 3, iterations=500)
    fold = torch.empty_like(labels)
    fold[torch.sort(labels, stable=True).indices] = torch.arange(200) % 5
    z = x - x.mean(0)
    z = torch.cat([z / z.square().mean().sqrt(), torch.ones(200, 1)], dim=1)
    model = linear.LogisticRegression(fit_intercept=False, max_iter=1000, tol=1e-8).fit(z[fold != 2], labels[fold != 2])
    expected = torch.from_numpy(model.predict_log_proba(z[fold == 2])).float()
    torch.testing.assert_close(log_probs[fold == 2], expected, atol=1e-3, rtol=0)


def test_a_class_nobody_labeled_does_no_harm():
    x = torch.randn(40, 3, generator=seeded())
    log_probs, _ = held_out_log_probs(x, torch.zeros(40, dtype=torch.int64), 3)
    assert log_probs.isfinite().all() and (log_probs.argmax(1) == 0).all()
