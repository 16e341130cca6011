"""Planted particles and real ones: gates below what was measured (baselines/results/cryo.md).

Minutes of one thread; the real ones need AUTOAL_DATA.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from tests.cryo import runs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
SEEDS = (0, 1)


def mean(values: list[float]) -> float:
    return float(np.mean(values))


def test_blobs_without_confounders() -> None:
    sets = [runs.synthetic("blob", seed, 3) for seed in SEEDS]
    got = [runs.picked(runs.picker(one, seed), one) for one, seed in zip(sets, SEEDS, strict=True)]
    assert mean([one.f1 for one in got]) >= 0.95, got


def test_blobs_among_ice_and_dirt() -> None:
    sets = [runs.synthetic("blob", seed, 3, confounders=True) for seed in SEEDS]
    got = [runs.picked(runs.picker(one, seed), one) for one, seed in zip(sets, SEEDS, strict=True)]
    others = [runs.rivals(one, seed) for one, seed in zip(sets, SEEDS, strict=True)]
    ap = mean([one.ap for one in got])
    assert mean([one.f1 for one in got]) >= 0.82, got
    assert ap >= mean([one["NCC"].ap for one in others]) + 0.10, (got, others)
    assert ap >= mean([one["LoG"].ap for one in others]) + 0.20, (got, others)


def test_asymmetric_particles_among_ice_and_dirt() -> None:
    sets = [runs.synthetic("asym", seed, 3, confounders=True) for seed in SEEDS]
    got = mean([runs.picked(runs.picker(one, seed), one).ap for one, seed in zip(sets, SEEDS, strict=True)])
    plain = mean([runs.picked(runs.picker(one, seed, lam=0.0), one).ap for one, seed in zip(sets, SEEDS, strict=True)])
    template = mean([runs.rivals(one, seed)["NCC"].ap for one, seed in zip(sets, SEEDS, strict=True)])
    assert got >= 0.88 and got >= template + 0.15 and got >= plain + 0.05, (got, template, plain)


def test_labeled_negatives_help_among_rings() -> None:
    gains = []
    for seed in SEEDS:
        data = runs.synthetic("ring", seed, 3, confounders=True)
        model = runs.picker(data, seed)
        told = runs.picker(data, seed, runs.false_peaks(model, data, 20))
        gains.append(runs.picked(told, data).f1 - runs.picked(model, data).f1)
    assert mean(gains) >= 0.04, gains


@pytest.mark.xfail(
    reason="measured: 80 labels by margin raise AP from .80 to .87, by a little less than wanted, and the pixels' "
    "principal components, a strong baseline on particles that are round, end at .88"
)
def test_windows_of_rings_as_a_pool() -> None:
    gains, ours, theirs = [], [], []
    for seed in SEEDS:
        data = runs.synthetic("ring", seed, 4, confounders=True)
        unseen = runs.synthetic("ring", seed, 3, confounders=True, start=50)
        model = runs.picker(data, seed)
        made = runs.pooled(data, model, seed, peaks=False)  # as the windows that it is tested on
        pool, truth = runs.candidates(unseen, seed)
        curves = {name: runs.asked(made, name, seed) for name in ("margin", "uncertainty_herding")}
        tested = model.embed(unseen.pictures, pool.centres)
        ends = [runs.window_ap(runs.trained(made, curve[-1]), tested, truth) for curve in curves.values()]
        start = runs.window_ap(runs.trained(made, curves["margin"][0]), tested, truth)
        gains.append(max(ends) - start)
        pixels, tested_pixels = runs.pca_of(data, made.pool.centres, unseen, pool.centres)
        plain = runs.Pooled(made.pool, made.truth, made.first, pixels)
        last = runs.asked(plain, "margin", seed)[-1]
        ours.append(max(ends))
        theirs.append(runs.window_ap(runs.trained(plain, last), tested_pixels, truth))
    print("gain of 80 labels", gains, "cryoMAE", ours, "pixels", theirs)
    assert mean(ours) >= mean(theirs) + 0.1, (ours, theirs)
    assert mean(gains) >= 0.08, gains


@pytest.mark.skipif("AUTOAL_DATA" not in os.environ, reason="AUTOAL_DATA says where the real micrographs are")
@pytest.mark.parametrize(("reference", "recentre"), [(0, True), (1, False)])
def test_apoferritin(reference: int, recentre: bool) -> None:
    """The marks of micrograph 0 scatter about the middles of their particles twice as far as those of 1: too far to
    learn from as they are (F1 .85 with both seeds), so that they are put right first."""
    data = runs.real("apoferritin", [reference, *runs.REAL["apoferritin"][2]])
    got = [runs.picked(runs.picker(data, seed, recentre=recentre), data) for seed in SEEDS]
    others = runs.rivals(data, 0)
    print("cryoMAE", got, "beside", others)  # the template is better, and the page says so
    assert mean([one.f1 for one in got]) >= 0.90 and mean([one.ap for one in got]) >= 0.88, got
    assert mean([one.f1 for one in got]) >= others["LoG"].f1 + 0.15, (got, others)
