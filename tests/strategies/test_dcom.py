"""DCoM against the loop over balls that it stands for, and what it becomes with no and with full competence."""

from __future__ import annotations

import math

import pytest
import torch

from autoal.errors import InvalidInput
from autoal.strategies.diversity import dcom
from autoal.strategies.diversity.dcom import DCoM, References, competence, learned_radii
from autoal.strategies.diversity.probcover import ProbCover
from autoal.strategies.uncertainty.margin import Margin
from tests.helpers import fake_view, probs, seeded
from tests.strategies.test_probcover import chord, on_circle


def distance(a: list[float], b: list[float]) -> float:
    return math.dist(a, b)


def slow_radius(centre, label, places, classes, purity, largest) -> float:
    low, high = 0.0, largest
    for _ in range(dcom.HALVINGS):
        middle = (low + high) / 2
        inside = [c == label for place, c in zip(places, classes, strict=True) if distance(centre, place) < middle]
        if not inside or sum(inside) / len(inside) >= purity:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def slow(log_probs, pool, labeled, labels, delta, largest, count, steepness, centre) -> tuple[list[int], float]:
    """The picks and the competence; of equal values the last, so that ties must not be there."""
    p, x, known = log_probs.exp().tolist(), pool.tolist(), labeled.tolist()
    places, classes = x + known, [row.index(max(row)) for row in p] + labels

    def covered(radii: list[float]) -> set[int]:
        return {
            r for r, place in enumerate(places) for c, d in zip(known, radii, strict=True) if distance(c, place) < d
        }

    purity = 0.4 + 0.2 * len(covered([delta] * len(known))) / len(places)
    radii = [slow_radius(c, y, places, classes, purity, largest) for c, y in zip(known, labels, strict=True)]
    inside = covered(radii)
    share = len(inside) / len(places)
    s = (1 + math.exp(-steepness * (1 - centre))) / (1 + math.exp(-steepness * (share - centre)))
    radius = sum(radii) / len(radii)
    margins = [sorted(row)[-1] - sorted(row)[-2] for row in p]
    picks: list[int] = []
    for _ in range(count):
        left = [i for i in range(len(x)) if i not in picks]
        counts = {
            i: len([r for r in range(len(places)) if r not in inside and distance(x[i], places[r]) < radius])
            for i in left
        }
        unsure = {i: max(margins) - margins[i] for i in left}
        most, widest = max(unsure.values()) or 1.0, max(counts.values()) or 1.0
        picks.append(max(left, key=lambda i: s * unsure[i] / most + (1 - s) * counts[i] / widest))
        inside |= {r for r in range(len(places)) if distance(x[picks[-1]], places[r]) < radius}
    return picks, s


@pytest.mark.parametrize("delta, largest, centre", [(0.5, 1.0, 0.5), (0.3, 0.8, 0.3), (0.6, 1.2, 0.8)])
@pytest.mark.parametrize("seed", range(3))
def test_the_slow_loop(delta, largest, centre, seed):
    rng = seeded(seed)
    pool, labeled = (
        torch.nn.functional.normalize(torch.randn(n, 3, generator=rng, dtype=torch.float64)) for n in (60, 8)
    )
    log_probs = (pool @ torch.randn(3, 4, generator=rng, dtype=torch.float64) * 2).log_softmax(dim=1)
    labels = torch.randint(4, (8,), generator=rng).tolist()
    wanted, s = slow(log_probs, pool, labeled, labels, delta, largest, 12, 6.0, centre)
    assert 0.01 < s < 0.99  # both parts count
    view = fake_view(log_probs, pool * 3, labeled=labeled / 2, labels=labels)
    strategy = DCoM(delta, largest, steepness=6.0, centre=centre)
    assert strategy.propose(view, 12, seeded()).indices.tolist() == wanted


def test_competence_by_hand():
    assert competence(1.0, 50.0, 0.8) == pytest.approx(1.0)
    assert competence(0.8, 50.0, 0.8) == pytest.approx((1 + math.exp(-10)) / 2)
    assert competence(0.0, 50.0, 0.8) == pytest.approx(math.exp(-40), rel=1e-3)
    assert competence(0.0, 1e6, 0.8) == pytest.approx(0.0)
    shares = [competence(i / 20, 10.0, 0.5) for i in range(21)]
    assert shares == sorted(shares)


def test_a_ball_grows_up_to_where_too_many_of_another_class_are_in_it():
    places, classes = on_circle(1, 2, 3, 20, 21, 22, 23), torch.tensor([0, 0, 0, 1, 1, 1, 1])
    radii = learned_radii(on_circle(0, 21, 180), torch.tensor([0, 1, 0]), References(places, classes), 0.6, chord(64))
    step = chord(64) / 2**dcom.HALVINGS
    # Of class 0: 3 of 4 are alike with the one at 20 degrees, 3 of 5 with that at 21, then too few.
    assert abs(float(radii[0]) - chord(22)) < step
    # Of class 1 all four are near; 18 and 19 degrees away come two of class 0, 4 of 6, and at 20 the third, 4 of 7.
    assert abs(float(radii[1]) - chord(20)) < step
    # A ball without a point is pure, and as large as it may be.
    assert float(radii[2]) > chord(64) - step


def test_without_competence_it_is_coverage_and_with_full_one_margin():
    rng = seeded(4)
    pool = torch.nn.functional.normalize(torch.randn(50, 3, generator=rng, dtype=torch.float64))
    log_probs = torch.randn(50, 3, generator=rng, dtype=torch.float64).log_softmax(dim=1)
    bare = DCoM(0.6).propose(fake_view(log_probs, pool), 1, seeded()).indices
    counts = (torch.cdist(pool, pool) < 0.6).sum(dim=1)
    assert counts[bare[0]] == counts.max()
    cover = ProbCover(0.6).propose(fake_view(embeddings=pool), 5, seeded()).indices
    picks = DCoM(0.6).propose(fake_view(log_probs, pool), 5, seeded()).indices
    gain = [int((torch.cdist(pool, pool[some]) < 0.6).any(dim=1).sum()) for some in (picks, cover)]
    assert gain[0] >= gain[1] - 1  # both are greedy; ties may part them
    # One label whose ball is the whole sphere, of a class that all points are predicted to have.
    certain = torch.stack([log_probs[:, 0].exp() + 2, log_probs[:, 1].exp()], dim=1).log_softmax(dim=1)
    view = fake_view(certain, pool, labeled=pool[:1], labels=[0])
    picks = DCoM(0.6, largest=3.0).propose(view, 10, seeded()).indices
    assert picks.tolist() == Margin().propose(view, 10, seeded()).indices.tolist()


def test_a_sample_of_references_is_enough(monkeypatch):
    points = on_circle(*range(0, 20), *range(90, 95), 180)
    log_probs = probs(*[[0.6, 0.4]] * 26)
    monkeypatch.setattr(dcom, "REFERENCES", 15)
    picks = DCoM(chord(30)).propose(fake_view(log_probs, points), 26, seeded()).indices.tolist()
    assert sorted(picks) == list(range(26)) and picks[0] < 20


def test_copies_and_one_predicted_class():
    points = on_circle(0, 0, 0, 90, 90, 180)
    view = fake_view(probs(*[[0.7, 0.3]] * 6), points, labeled=on_circle(270), labels=[1])
    for batch_size in (3, 6):
        picks = DCoM(chord(20)).propose(view, batch_size, seeded()).indices.tolist()
        assert len(set(picks)) == batch_size
        assert picks[0] < 3 <= picks[1] < 5 == picks[2]  # by the number of copies in each ball


@pytest.mark.parametrize(
    "options", [{"delta": 0.0}, {"delta": "large"}, {"largest": -1.0}, {"largest": "x"}, {"steepness": 0.0}]
)
def test_what_makes_no_sense_is_refused(options):
    view = fake_view(probs([0.5, 0.5], [0.2, 0.8]), on_circle(0, 9))
    with pytest.raises(InvalidInput, match=next(iter(options))):
        DCoM(**options).propose(view, 1, seeded())
