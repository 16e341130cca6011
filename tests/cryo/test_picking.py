"""Windows, peaks, thresholds, matching, and the picker from end to end on small micrographs."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from autoal.cryo import CryoMAE, Peaks, ScoreMap, find_peaks, measures, synthetic_micrograph, threshold_of
from autoal.cryo.exemplars import recentred
from autoal.cryo.peaks import best_threshold, otsu, score_at
from autoal.cryo.pictures import prepare
from autoal.cryo.rivals import Template, laplacian
from autoal.cryo.training import Reference
from autoal.cryo.windows import grid, slices, windows
from autoal.errors import AutoALWarning, InvalidInput, NotFitted
from autoal.rng import numpy_rng

SMALL: dict[str, Any] = {
    "steps": 12, "batch": 8, "width": 24, "depth": 1, "heads": 2, "stride": 0.3, "device": "cpu", "random_state": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def picture() -> Any:
    return synthetic_micrograph("blob", 0, snr=1.0, side=160, particles=14)


@pytest.fixture(scope="module")
def fitted(picture: Any) -> CryoMAE:
    return CryoMAE(24, **SMALL).fit(picture.pixels, picture.centres)


# --- windows ------------------------------------------------------------------------------------------------------


def test_windows_between_pixels_are_slices() -> None:
    pixels = numpy_rng(0, "pixels").normal(size=(50, 61)).astype(np.float32)
    corners = np.asarray([[0, 0], [18, 29], [7, 3]])
    cut = windows(pixels, corners + 15.5, 32)
    for (row, column), window in zip(corners, cut, strict=True):
        assert np.abs(window - pixels[row : row + 32, column : column + 32]).max() < 1e-5


def test_half_a_turn_flips_both_axes_and_a_flip_one() -> None:
    pixels = numpy_rng(1, "pixels").normal(size=(60, 60)).astype(np.float32)
    middle = np.asarray([[30.2, 27.9]])
    straight = windows(pixels, middle, 32)
    turned = windows(pixels, middle, 32, angles=np.asarray([np.pi]))
    mirrored = windows(pixels, middle, 32, flips=np.asarray([True]))
    assert np.abs(turned - straight[:, ::-1, ::-1]).max() < 1e-5
    assert np.abs(mirrored - straight[:, :, ::-1]).max() < 1e-5


@pytest.mark.parametrize("stride", [1, 3, 7])
def test_every_place_of_the_grid_has_its_slice_also_at_the_border(stride: int) -> None:
    pixels = numpy_rng(2, "pixels").normal(size=(41, 37)).astype(np.float32)
    rows, columns = grid(pixels.shape, stride)
    cut = np.concatenate(list(slices(pixels, 32, stride, 40)))
    middles = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    assert np.abs(cut - windows(pixels, middles, 32)).max() < 1e-5


def test_places_go_there_and_back_through_scaling() -> None:
    prepared = prepare(numpy_rng(3, "pixels").normal(size=(101, 77)), 31.0, 23.0)
    centres = np.asarray([[0.0, 0.0], [50.3, 12.1], [100, 76]])
    assert np.allclose(prepared.outside(prepared.inside(centres)), centres)
    assert np.allclose(prepared.inside(np.asarray([[-0.5, -0.5]])), -0.5)  # the edge stays the edge


# --- peaks and thresholds -----------------------------------------------------------------------------------------


def test_peaks_are_found_between_the_points_of_the_grid() -> None:
    rows = columns = np.arange(0.0, 121, 3)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    true = np.asarray([[40.4, 61.7], [80.0, 30.0]])
    values = sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / 72) * s for (a, b), s in zip(true, (1.0, 0.7), strict=True))
    found = find_peaks(ScoreMap(values, rows, columns, (121, 121)), 20)
    assert np.abs(found.centres[:2] - true).max() < 0.3


def test_of_two_peaks_too_near_to_one_another_the_better_stays() -> None:
    line = np.arange(0.0, 121)
    y, x = np.meshgrid(line, line, indexing="ij")
    values = np.exp(-((y - 60) ** 2 + (x - 50) ** 2) / 30) + 0.8 * np.exp(-((y - 60) ** 2 + (x - 68) ** 2) / 30)
    scores = ScoreMap(values, line, line, (121, 121))
    assert len(find_peaks(scores, 20)) == 2
    assert np.abs(find_peaks(scores, 25).centres - [60, 50]).max() < 0.3
    true = np.asarray([[60.0, 50.0], [60.0, 68.0]])
    at = score_at(scores, true + 2, 6)
    assert at[0] > at[1] > 0.5


def test_a_flat_map_has_no_peaks() -> None:
    line = np.arange(40.0)
    assert len(find_peaks(ScoreMap(np.zeros((40, 40)), line, line, (40, 40)), 8)) == 0


def test_the_valley_between_two_modes_and_otsu_for_one() -> None:
    rng = numpy_rng(0, "modes")
    low, high = rng.normal(0, 0.1, 150), rng.normal(1, 0.1, 60)
    threshold, rule = threshold_of(np.concatenate([low, high]))
    assert rule == "valley" and low.max() < threshold < high.min()
    one = rng.normal(0, 1, 200)
    threshold, rule = threshold_of(one)
    assert rule == "otsu" and threshold == otsu(one)


@pytest.mark.parametrize("scores", [[], [0.3], [0.3, 0.3, 0.3], [0.1, 0.9]])
def test_few_scores_keep_all(scores: list[float]) -> None:
    threshold, _ = threshold_of(np.asarray(scores))
    assert all(score >= threshold for score in scores)


def test_otsu_by_trying_every_cut() -> None:
    scores = np.sort(numpy_rng(0, "otsu").normal(size=30))
    cuts = (scores[1:] + scores[:-1]) / 2

    def between(cut: float) -> float:
        low, high = scores[scores < cut], scores[scores >= cut]
        return float(len(low) * len(high) * (low.mean() - high.mean()) ** 2)

    assert otsu(scores) == pytest.approx(max(cuts, key=between))


def test_the_threshold_of_labels_has_the_best_f1() -> None:
    assert best_threshold(np.asarray([0.9, 0.8, 0.4]), np.asarray([0.5, 0.1])) == pytest.approx(0.25)
    assert best_threshold(np.asarray([0.9, 0.8]), np.asarray([0.5, 0.1])) == pytest.approx(0.65)


# --- matching -----------------------------------------------------------------------------------------------------

MARKS = np.asarray([[50.0, 50.0], [50.0, 100.0], [100.0, 50.0]])


def told(centres: Any, scores: Any = None) -> Any:
    centres = np.reshape(np.asarray(centres, dtype=float), (-1, 2))
    peaks = Peaks(centres, np.linspace(1, 0.5, len(centres)) if scores is None else np.asarray(scores))
    return measures([peaks], [0.0], [MARKS], [(200, 200)], 20)


def test_perfect_picks() -> None:
    got = told(MARKS)
    assert (got.f1, got.ap, got.precision, got.recall, got.best_f1) == (1, 1, 1, 1, 1)


def test_duplicates_lower_precision_alone() -> None:
    got = told(np.concatenate([MARKS, MARKS + 1]))
    assert got.recall == 1 and got.precision == 0.5


def test_a_pick_of_six_tenths_misses_and_one_of_four_hits() -> None:
    assert told(MARKS + np.asarray([12.0, 0.0])).f1 == 0
    assert told(MARKS + np.asarray([8.0, 0.0])).f1 == 1


def test_what_lies_at_the_border_is_left_out() -> None:
    got = measures(
        [Peaks(np.asarray([[3.0, 50.0]]), np.ones(1))], [0.0], [np.asarray([[100.0, 4.0]])], [(200, 200)], 20
    )
    assert got.picks == 0 and got.marks == 0


def test_no_picks_at_all() -> None:
    got = told([])
    assert (got.f1, got.ap, got.picks, got.marks) == (0, 0, 0, 3)


# --- the generator ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["blob", "ring", "asym"])
@pytest.mark.parametrize("snr", [0.1, 0.03])
def test_the_generator_has_the_ratio_asked_for(kind: Any, snr: float) -> None:
    made = synthetic_micrograph(kind, 3, snr=snr, confounders=True)
    assert made.snr() == pytest.approx(snr, rel=0.03)
    assert len(made.centres) == 60 and len(made.foreign) == 25
    both = np.concatenate([made.centres, made.foreign])
    far = np.linalg.norm(both[:, None] - both[None], axis=2)[np.triu_indices(len(both), 1)]
    assert far.min() >= 1.05 * made.diameter
    assert np.array_equal(made.pixels, synthetic_micrograph(kind, 3, snr=snr, confounders=True).pixels)
    assert not np.array_equal(made.pixels, synthetic_micrograph(kind, 4, snr=snr, confounders=True).pixels)


# --- the picker ---------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_picks_in_any_units(picture: Any, fitted: CryoMAE) -> None:
    picks = fitted.pick(picture.pixels)
    again = CryoMAE(24, **SMALL).fit(picture.pixels, picture.centres).pick(picture.pixels)
    assert len(picks) and np.array_equal(picks.centres, again.centres) and np.array_equal(picks.scores, again.scores)
    scaled = 3.7 * picture.pixels.astype(np.float64) - 812.3
    other = CryoMAE(24, **SMALL).fit(scaled, picture.centres).pick(scaled)
    assert np.array_equal(picks.centres, other.centres) and picks.threshold == other.threshold
    different = CryoMAE(24, **{**SMALL, "random_state": 1}).fit(picture.pixels, picture.centres).pick(picture.pixels)
    assert len(different) != len(picks) or not np.array_equal(different.scores, picks.scores)


def test_embeddings_of_windows(picture: Any, fitted: CryoMAE) -> None:
    one = fitted.embed(picture.pixels, picture.centres)
    assert one.shape == (14, 24) and one.dtype == np.float32
    assert np.allclose(np.linalg.norm(one, axis=1), 1, atol=1e-5)
    two = fitted.embed([picture.pixels, picture.pixels], np.column_stack([np.ones(14), picture.centres]))
    assert np.allclose(one, two, atol=1e-6)
    assert fitted.embed(picture.pixels, np.zeros((0, 2))).shape == (0, 24)


def test_a_threshold_of_ones_own(picture: Any, fitted: CryoMAE) -> None:
    everything = fitted.pick(picture.pixels, threshold=-2)
    assert everything.rule == "given" and len(everything) == len(fitted.peaks(picture.pixels))
    assert len(fitted.pick(picture.pixels, threshold=2)) == 0


def test_an_even_micrograph_holds_no_particles(fitted: CryoMAE) -> None:
    picks = fitted.pick(np.full((160, 160), 7.0))
    assert len(picks) == 0 and picks.rule == "empty"


def test_several_references_and_a_tensor(picture: Any) -> None:
    pictures = [picture.pixels, torch.from_numpy(picture.pixels)]
    halves = [picture.centres[:7], picture.centres[7:]]
    model = CryoMAE(24, **SMALL).fit(pictures, halves, [picture.centres[:3] + 14, None])
    assert len(model.references_) == 14


def test_labels_set_the_threshold(picture: Any, fitted: CryoMAE) -> None:
    model = CryoMAE(24, **SMALL).fit(picture.pixels, picture.centres)
    other = synthetic_micrograph("blob", 5, snr=1.0, side=160, particles=14)
    nothing = np.asarray([p for p in _grid(160) if np.linalg.norm(other.centres - p, axis=1).min() > 24])[:20]
    picks = model.calibrate(other.pixels, other.centres, nothing).pick(picture.pixels)
    assert picks.rule == "labels" and picks.threshold == model.labels_threshold_
    with pytest.raises(InvalidInput, match="14 particles and 3 places"):
        model.calibrate(other.pixels, other.centres, nothing[:3])


def _grid(side: int) -> Any:
    line = np.arange(16.0, side - 16, 8)
    return np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)


def test_template_and_blobs_find_plain_particles(picture: Any) -> None:
    other = synthetic_micrograph("blob", 7, snr=1.0, side=160, particles=14)
    for scores in (
        Template(24, picture.pixels, picture.centres[:5]).score(other.pixels),
        laplacian(24, other.pixels, 1),
    ):
        peaks = find_peaks(scores, 24)
        got = measures([peaks], [threshold_of(peaks.scores)[0]], [other.centres], [(160, 160)], 24)
        assert got.ap > 0.95, got


# --- marks that miss the middle -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["blob", "ring", "asym"])
def test_marks_that_miss_the_middle_are_put_right(kind: Any) -> None:
    made = synthetic_micrograph(kind, 2, snr=0.3, particles=20)
    prepared = prepare(made.pixels, 24, 23.0)
    true = prepared.inside(made.centres)
    missed = true + numpy_rng(0, "marks").normal(0, 0.075 * 23, true.shape)
    halves = [Reference(prepared.pixels, missed[:12], true[:1]), Reference(prepared.pixels, missed[12:], true[:0])]
    right = recentred(halves, 23.0)
    at = np.concatenate([one.exemplars for one in right])
    far, before = (np.sqrt(((places - true) ** 2).sum(axis=1).mean()) for places in (at, missed))
    assert far < 0.6 * before
    assert np.linalg.norm(at - missed, axis=1).max() <= 0.2 * 23
    assert len(right[0].exemplars) == 12 and np.array_equal(right[0].negatives, true[:1])


def test_one_mark_and_an_even_picture_stay_as_they_are() -> None:
    flat, marks = np.zeros((90, 90), dtype=np.float32), np.asarray([[40.0, 40.0], [60.3, 30.1]])
    for given in (marks[:1], marks):
        [one] = recentred([Reference(flat, given, marks[:0])], 23.0)
        assert np.array_equal(one.exemplars, given)


def test_the_picker_recentres_its_exemplars(picture: Any) -> None:
    missed = picture.centres + np.where(np.arange(14) % 2, 2.0, -2.0)[:, None]
    as_given, right = (CryoMAE(24, **SMALL, recentre=given).fit(picture.pixels, missed) for given in (False, True))
    assert not np.array_equal(as_given.references_, right.references_)


# --- at the door --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"centres": [[50, 50], [3, 80], [80, 155]]}, r"1 at \(3\.0, 80\.0\), 2 at \(80\.0, 155\.0\)"),
        ({"centres": []}, "no marks"),
        ({"centres": [[1, 2, 3]]}, "row and column"),
        ({"centres": [[np.nan, 40]]}, "not finite"),
        ({"centres": "here"}, "no numbers|wanted"),
        ({"diameter": 0}, "diameter=0"),
        ({"diameter": "24"}, "diameter='24'"),
        ({"diameter": 300}, "half of its shorter side"),
        ({"micrograph": np.zeros((4, 5, 6, 7))}, "shape|micrographs"),
        ({"micrograph": np.full((160, 160), np.inf)}, "not finite"),
        ({"micrograph": np.asarray([["a", "b"], ["c", "d"]])}, "real numbers"),
        ({"steps": 0}, "steps=0"),
        ({"lam": float("nan")}, "lam"),
        ({"patch": 7}, "whole patches"),
        ({"width": 30, "heads": 4}, "heads divide"),
        ({"similarity": "median"}, "similarity"),
        ({"recentre": "yes"}, "recentre"),
        ({"random_state": -1}, "random_state"),
    ],
)
def test_what_is_wrong_is_said(picture: Any, change: dict[str, Any], message: str) -> None:
    given = {"micrograph": picture.pixels, "centres": picture.centres, "diameter": 24, **change}
    pixels, centres, diameter = (given.pop(name) for name in ("micrograph", "centres", "diameter"))
    with pytest.raises(InvalidInput, match=message):
        CryoMAE(diameter, **{**SMALL, **given}).fit(pixels, centres)


def test_one_mark_warns_and_works(picture: Any) -> None:
    with pytest.warns(AutoALWarning, match="one mark"):
        model = CryoMAE(24, **SMALL).fit(picture.pixels, picture.centres[:1])
    assert len(model.peaks(picture.pixels))


def test_marks_too_close_together_warn(picture: Any) -> None:
    with pytest.warns(AutoALWarning, match="half a diameter"), warnings.catch_warnings():
        CryoMAE(60, **SMALL).fit(picture.pixels, [[60, 60], [60, 85], [90, 90]])


def test_nothing_before_fit(picture: Any) -> None:
    with pytest.raises(NotFitted):
        CryoMAE(24).pick(picture.pixels)
