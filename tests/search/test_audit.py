"""The audit: points drawn at random, what they say about the model, and what choosing gained over them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from autoal.rng import generator
from autoal.search.audit import audit_report, draw_audit
from autoal.search.fit_net import with_bias


def clusters(n: int, seed: int, classes: int = 4, width: float = 1.2) -> tuple[torch.Tensor, torch.Tensor]:
    rng = generator(seed, "clusters")
    labels = torch.randint(classes, (n,), generator=rng)
    return 2.0 * torch.nn.functional.one_hot(labels, 8) + width * torch.randn(n, 8, generator=rng), labels


def report(x, y, random, chosen, classes=4, seed=0):
    return audit_report(
        with_bias(x), y, classes, torch.arange(len(y)), [{"chosen": chosen, "random": random}], l2=1.0,
        rng=generator(seed, "report"),
    )  # fmt: skip


# --- which points are drawn -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_the_share_is_kept_over_all_that_was_asked_for(batch_size):
    earlier, drawn = [], 0
    for number in range(40):
        picks = draw_audit(torch.arange(50), batch_size, 0.2, earlier, generator(number, "draw"))
        assert len(picks.unique()) == len(picks) <= batch_size
        drawn += len(picks)
        assert abs(drawn - 0.2 * batch_size * (number + 1)) <= 0.5
        earlier.append({"chosen": [0] * (batch_size - len(picks)), "random": picks.tolist()})


def test_every_point_is_drawn_as_often_as_any_other():
    times = torch.zeros(20)
    for seed in range(2_000):
        times[draw_audit(torch.arange(20), 10, 0.4, [], generator(seed, "draw"))] += 1
    expected = 2_000 * 4 / 20
    assert float(((times - expected) ** 2 / (expected * 0.8)).sum()) < 40  # chi-squared, 19 degrees: 40 is 1 in 300


def test_a_draw_belongs_to_the_point_and_not_to_its_row():
    keys = torch.arange(30) * 7
    shuffle = torch.randperm(30, generator=generator(0))
    straight = keys[draw_audit(keys, 10, 0.5, [], generator(1))]
    shuffled = keys[shuffle][draw_audit(keys[shuffle], 10, 0.5, [], generator(1))]
    assert straight.tolist() == shuffled.tolist()


# --- what they say ----------------------------------------------------------------------------------------------------


def test_the_value_is_that_on_fresh_points():
    gaps = []
    for seed in range(30):
        x, y = clusters(4_000, seed)
        said = report(x[:100], y[:100], list(range(40, 100)), list(range(20, 40)), seed=seed)
        model = LogisticRegression(max_iter=500).fit(x[:100].numpy(), y[:100].numpy())
        gaps.append(said.value - model.score(x[100:].numpy(), y[100:].numpy()))
    error = np.std(gaps) / len(gaps) ** 0.5
    # A fifth of the random points is missing where it judges: a little below is right.
    assert -0.02 - 2 * error < np.mean(gaps) < 2 * error


def test_random_points_gain_nothing_over_random_points():
    found = []
    for seed in range(60):
        x, y = clusters(110, seed)
        found.append(report(x, y, list(range(10, 50)), list(range(50, 110)), seed=seed))
    gains = np.array([each.gain for each in found])
    assert abs(gains.mean()) < 2.5 * gains.std() / len(gains) ** 0.5
    assert sum(each.verdict == "better" for each in found) <= 8
    assert sum(each.verdict == "worse" for each in found) <= 8
    # The errors are what they say: the gains spread about as far.
    assert 0.5 < gains.std() / np.mean([each.gain_error for each in found]) < 1.5


def test_points_that_differ_are_better_than_random_ones_where_most_of_the_pool_is_copies():
    found = []
    for seed in range(20):
        x, y = clusters(300, seed, classes=8, width=0.8)
        rng = generator(seed, "copies")
        copies = torch.rand(300, generator=rng) < 0.7
        copies[:10] = False
        x[copies], y[copies] = x[0].clone(), y[0].clone()
        random = list(range(10, 70))
        chosen = [i for i in range(70, 300) if not copies[i]][:50]
        kept = list(range(10)) + random + chosen
        found.append(report(x[kept], y[kept], random, list(range(70, len(kept))), classes=8, seed=seed))
    assert all(each.compared == 40 for each in found)
    assert sum(each.gain > 0 for each in found) >= 18
    assert sum(each.verdict == "better" for each in found) >= 3
    assert not any(each.alarm for each in found)


def test_labels_of_one_class_alone_are_worse_and_raise_the_alarm():
    x, y = clusters(400, 0)
    one = (y == 0).nonzero().flatten()[:60].tolist()
    random = [i for i in range(20, 100) if i not in one]
    kept = list(range(20)) + random + one
    said = report(x[kept], y[kept], list(range(20, 20 + len(random))), list(range(20 + len(random), len(kept))))
    assert said.verdict == "worse"
    assert said.alarm
    assert "random points would have done better" in str(said)


def test_few_points_say_nothing():
    x, y = clusters(30, 0)
    said = report(x, y, list(range(5)), list(range(5, 30)))
    assert (said.labels, said.value, said.gain, said.verdict, said.alarm) == (5, None, None, "too few", False)
    assert "too few" in str(said)


def test_answers_that_are_missing_are_left_out():
    x, y = clusters(60, 0)
    keys = torch.arange(60)
    asked = [{"chosen": [*range(40, 60), 900], "random": [*range(20, 40), 901, 902]}]
    said = audit_report(with_bias(x), y, 4, keys, asked, l2=1.0, rng=generator(0, "report"))
    assert said == report(x, y, list(range(20, 40)), list(range(40, 60)), seed=0)
    assert (said.labels, said.compared) == (20, 13)


def test_a_regression_is_measured_in_units_of_the_variance():
    rng = generator(3)
    x = torch.randn(200, 4, generator=rng)
    y = (10 * x[:, 0] + torch.randn(200, generator=rng)).double() + 50
    said = report(x, y, list(range(10, 80)), list(range(80, 200)), classes=0)
    assert 0.8 < said.value < 2.0  # the noise is 1
    assert said.gain == said.gain_nats
    assert abs(said.gain) < 0.05
