"""The audit: points drawn at random, what they say about the model, and what choosing gained over them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from autoal.anchor.heads import with_bias
from autoal.rng import generator
from autoal.search.audit import audit_report, draw_audit


def clusters(n: int, seed: int, classes: int = 4, width: float = 1.2) -> tuple[torch.Tensor, torch.Tensor]:
    rng = generator(seed, "clusters")
    labels = torch.randint(classes, (n,), generator=rng)
    return 2.0 * torch.nn.functional.one_hot(labels, 8) + width * torch.randn(n, 8, generator=rng), labels


def report(x, y, random, chosen, classes=4, seed=0, predicted=None):
    """Of one batch; what was predicted of its random points is the truth, unless said otherwise."""
    said = y[random].tolist() if predicted is None else predicted
    asked = [{"chosen": chosen, "random": random, "predicted": said, "classes": classes}]
    return audit_report(with_bias(x), y, classes, torch.arange(len(y)), asked, l2=1.0, rng=generator(seed, "report"))


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


def test_the_value_is_that_of_what_was_predicted():
    gaps = []
    for seed in range(30):
        x, y = clusters(4_000, seed)
        model = LogisticRegression(max_iter=500).fit(x[:40].numpy(), y[:40].numpy())
        random = list(range(40, 90))
        said = report(x[:90], y[:90], random, [], seed=seed, predicted=model.predict(x[random].numpy()).tolist())
        assert said.value_error == pytest.approx((said.value * (1 - said.value) / 50) ** 0.5)
        gaps.append(said.value - model.score(x[90:].numpy(), y[90:].numpy()))
    assert abs(np.mean(gaps)) < 2.5 * np.std(gaps) / len(gaps) ** 0.5


def test_the_value_is_of_the_latest_points_and_of_the_classes_there_are():
    x, y = clusters(200, 0)

    def batch(rows, right, classes=4):
        said = y[list(rows)] if right else (y[list(rows)] + 1) % 4
        return {"chosen": [], "random": list(rows), "predicted": said.tolist(), "classes": classes}

    def value(*asked):
        said = audit_report(with_bias(x), y, 4, torch.arange(200), asked, l2=1.0, rng=generator(0))
        return said.value

    assert value(batch(range(20), False), batch(range(20, 70), True)) == 1
    assert value(batch(range(25), False), batch(range(25, 50), True)) == 0.5
    assert value(batch(range(25), False, classes=3), batch(range(25, 50), True)) == 1
    assert value(batch(range(25), False, classes=3), batch(range(25, 30), True)) is None


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


def test_where_all_answers_are_right_there_is_an_error_still():
    x, y = clusters(60, 0, width=0.01)
    said = report(x, y, list(range(20, 40)), list(range(40, 60)))
    assert (said.value, said.gain, said.verdict) == (1, 0, "open")
    assert said.value_error == said.gain_error == 1 / 20


def test_few_points_say_nothing():
    x, y = clusters(30, 0)
    said = report(x, y, list(range(5)), list(range(5, 30)))
    assert (said.labels, said.value, said.gain, said.verdict, said.alarm) == (5, None, None, "too few", False)
    assert "too few" in str(said)


def test_answers_that_are_missing_are_left_out():
    x, y = clusters(60, 0)
    keys = torch.arange(60)
    random, said = [*range(20, 40), 901, 902], [*y[20:40].tolist(), 0, 0]
    asked = [{"chosen": [*range(40, 60), 900], "random": random, "predicted": said, "classes": 4}]
    said = audit_report(with_bias(x), y, 4, keys, asked, l2=1.0, rng=generator(0, "report"))
    assert said == report(x, y, list(range(20, 40)), list(range(40, 60)), seed=0)
    assert (said.labels, said.compared) == (20, 13)


def test_a_regression_is_measured_in_units_of_the_variance():
    rng = generator(3)
    x = torch.randn(200, 4, generator=rng)
    y = (10 * x[:, 0] + torch.randn(200, generator=rng)).double() + 50
    random = list(range(10, 80))
    said = report(x, y, random, list(range(80, 200)), classes=0, predicted=(y[random] + 3).tolist())
    assert said.value == pytest.approx(3)
    assert said.gain == said.gain_nats
    assert abs(said.gain) < 0.05
