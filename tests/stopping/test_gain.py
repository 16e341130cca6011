"""What the next labels may add: against a slow average over curves, and on curves whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autoal.errors import InvalidInput
from autoal.stopping import Round, expected_gain
from autoal.stopping.gain import EXPONENTS, NOISE_WEIGHT, fit_gain


def by_sampling(n: np.ndarray, y: np.ndarray, k: np.ndarray, ahead: int, room: float) -> tuple[float, float, float]:
    """The same average by drawing curves from the prior and weighing each by its fit, level and noise integrated out
    one after the other."""
    rng = np.random.default_rng(0)
    c = rng.choice(EXPONENTS, 60_000)
    at = n[-1]
    g = rng.random(len(c)) * room * (1 - (1 + ahead / at) ** -c)
    curve = -g[:, None] * ((n / at) ** -c[:, None] - 1) / (1 - ((at + ahead) / at) ** -c[:, None])  # plus a level
    w = k
    left = y - curve
    left = left - (left @ w / w.sum())[:, None]
    p = (y @ k + 0.5) / (k.sum() + 1)
    squares = (left**2) @ w
    weight = (NOISE_WEIGHT * p * (1 - p) + squares) ** (-(len(n) - 1 + NOISE_WEIGHT) / 2)
    weight /= weight.sum()
    order = np.argsort(g)
    below = np.cumsum(weight[order])
    return float(g @ weight), *(float(g[order][np.searchsorted(below, q)]) for q in (0.1, 0.9))


@pytest.mark.parametrize("seed", range(6))
def test_the_grid_gives_what_sampling_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = np.arange(50.0, 301.0, 50.0)
    k = rng.integers(20, 200, len(n)).astype(float)
    y = rng.binomial(k.astype(int), 0.9 - 2 * n**-0.6) / k
    found = fit_gain(n, y, k, 50)
    later = n >= np.median(n)
    slope, start = np.polyfit(np.log(n[later] / 300), y[later], 1)
    level = start if slope >= 0 else y[later].mean()
    expected, low, high = by_sampling(n, y, k, 50, max(1 - level, 0.5 / k.max()))
    assert math.isclose(found.expected, expected, rel_tol=0.05, abs_tol=2e-4)
    assert math.isclose(found.low, low, rel_tol=0.1, abs_tol=4e-4)
    assert math.isclose(found.high, high, rel_tol=0.1, abs_tol=4e-4)


def drawn(rng: np.random.Generator, nested: bool) -> tuple[bool, float]:
    """A curve, and whether the interval of its next 50 labels holds the truth; and the width."""
    c = math.exp(rng.uniform(math.log(0.2), math.log(2)))
    top = rng.uniform(0.6, 0.99)
    first = rng.uniform(0.4, top)
    sizes = np.arange(50, 50 + 50 * rng.integers(4, 11), 50)
    b = (top - first) * 50**c
    true = top - b * sizes**-c
    gain = b * (sizes[-1] ** -c - (sizes[-1] + 50.0) ** -c)
    if nested:  # each point is right from some accuracy on, and in three of ten cases by a new draw
        own = rng.random(sizes[-1])
        y = [
            (np.where(rng.random(s) < 0.3, rng.random(s), own[:s]) < t).mean() for s, t in zip(sizes, true, strict=True)
        ]
        found = fit_gain(sizes, y, sizes, 50, shared=0.7)
    else:
        counts = np.full(len(sizes), 20)
        found = fit_gain(sizes, rng.binomial(20, true) / 20, counts, 50)
    return found.low <= gain <= found.high, found.high - found.low


@pytest.mark.parametrize("nested", [False, True])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(nested: bool) -> None:
    """Curves from about the prior: 80 % intervals should hold in about four of five; not in all, which would be of no
    use either."""
    rng = np.random.default_rng(5)
    held, width = zip(*(drawn(rng, nested) for _ in range(400)), strict=True)
    assert 0.7 < np.mean(held) < 0.9
    assert np.median(width) < 0.02


def test_many_labels_make_it_sure() -> None:
    n = np.arange(50.0, 551.0, 50.0)
    true = 0.9 - 3 * n**-0.8
    gain = 3 * (550**-0.8 - 600**-0.8)
    found = fit_gain(n, true, np.full(len(n), 1e6), 50)
    assert math.isclose(found.expected, gain, rel_tol=0.1) and found.high - found.low < 0.2 * gain
    flat = fit_gain(n, np.full(len(n), 0.9), np.full(len(n), 1e6), 50)
    assert flat.high < 1e-3


def test_more_ahead_is_more_gain_and_no_gain_is_below_zero() -> None:
    n, y = [50, 100, 150, 200], [0.7, 0.8, 0.78, 0.75]
    gains = [fit_gain(n, y, n, ahead) for ahead in (1, 10, 100, 1000)]
    assert all(0 <= g.low <= g.expected <= g.high <= 1 for g in gains)
    assert [g.expected for g in gains] == sorted(g.expected for g in gains)


def test_errors_have_no_known_noise() -> None:
    n = np.arange(20.0, 101.0, 20.0)
    rmse = 1 + 30 / n
    found = fit_gain(n, -rmse, n, 20, best=0.0)
    assert math.isclose(found.expected, 0.3 - 0.25, rel_tol=0.3) and 0 <= found.low <= found.high
    scaled = fit_gain(n, -1000 * rmse, n, 20, best=0.0)
    assert math.isclose(scaled.expected, 1000 * found.expected, rel_tol=1e-3)


@pytest.mark.parametrize(
    "arguments",
    [
        ([50, 100], [0.5, 0.6], [50, 100], 10),
        ([50, 50, 50], [0.5, 0.6, 0.7], [50, 50, 50], 10),
        ([50, 100, 150], [0.5, 0.6], [50, 100, 150], 10),
        ([50, 100, 150], [0.5, float("nan"), 0.7], [50, 100, 150], 10),
        ([0, 100, 150], [0.5, 0.6, 0.7], [50, 100, 150], 10),
        ([50, 100, 150], [0.5, 0.6, 0.7], [50, 100, 150], 0),
    ],
)
def test_too_little_is_refused(arguments: tuple[list[float], list[float], list[float], int]) -> None:
    with pytest.raises(InvalidInput, match="wanted"):
        fit_gain(*arguments)


def test_changed_predictions_cap_what_can_be_gained() -> None:
    rounds = [
        Round(labels=n, value=v, changed=0.001) for n, v in zip((50, 100, 150, 200), (0.5, 0.6, 0.66, 0.7), strict=True)
    ]
    found = expected_gain(rounds, 50)
    assert found is not None and found.high <= 0.001 + 1e-12
    loose = expected_gain([Round(labels=r.labels, value=r.value) for r in rounds], 50)
    assert loose is not None and loose.high > 0.01


def test_audit_points_come_first_where_there_are_enough() -> None:
    def rounds(audited: int) -> list[Round]:
        flat = [
            Round(labels=n, value=0.5, audited=audited, audited_right=r)
            for n, r in zip((50, 100, 150, 200), (8, 12, 15, 16), strict=True)
        ]
        return flat

    by_audit, by_values = expected_gain(rounds(20), 50), expected_gain(rounds(1), 50)
    assert by_audit is not None and by_values is not None and by_audit.expected > by_values.expected
    assert expected_gain(rounds(20)[:2], 50) is None and expected_gain([], 50) is None
