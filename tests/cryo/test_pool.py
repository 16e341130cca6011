"""Windows as a pool: candidates, what overlaps, what one costs, what is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from autoal import AutoAL
from autoal.cryo import CryoMAE, WindowPool, answers, refit, synthetic_micrograph
from autoal.errors import InvalidInput, PoolExhausted
from autoal.rng import numpy_rng

DIAMETER = 24.0


@pytest.fixture(scope="module")
def made() -> Any:
    return [synthetic_micrograph("blob", seed, snr=1.0, side=192, particles=14, confounders=True) for seed in range(2)]


@pytest.fixture(scope="module")
def pool(made: Any) -> WindowPool:
    marks = np.column_stack([np.zeros(5), made[0].centres[:5]])
    return WindowPool([one.pixels for one in made], DIAMETER, marks=marks, random=20)


def test_candidates_hold_the_particles_and_lie_inside(made: Any, pool: WindowPool) -> None:
    assert (pool.kind[:5] == "mark").all() and (pool.kind == "random").sum() == 40
    for number, one in enumerate(made):
        at = pool.centres[pool.group == number, 1:]
        assert at.min() >= 11.4 and at.max() <= 191 - 11.4
        far = np.linalg.norm(one.centres[:, None] - at[None], axis=2).min(axis=1)
        assert (far < 0.3 * DIAMETER).mean() > 0.9


def test_answers_of_whole_half_and_no_particles(made: Any) -> None:
    centre = made[0].centres[0]
    at = np.asarray([[0, centre[0], centre[1] + step * DIAMETER] for step in (0.0, 0.28, 0.45, 0.61)])
    alone = WindowPool([made[0].pixels], DIAMETER, marks=at, candidates="peaks", most=1).kept(np.arange(4))
    told = answers(alone, [centre[None]], [centre[None] + np.asarray([0, 0.61 * DIAMETER])])
    assert told.tolist() == [1, 1, -1, 2]
    assert answers(alone, [np.zeros((0, 2))]).tolist() == [0] * 4


def test_overlaps_are_those_within_a_diameter_of_the_same_micrograph(pool: WindowPool) -> None:
    for row in (0, 17, len(pool) - 1):
        far = np.linalg.norm(pool.centres[:, 1:] - pool.centres[row, 1:], axis=1)
        by_hand = np.flatnonzero((far <= DIAMETER) & (pool.group == pool.group[row]))
        assert pool.overlaps(row).tolist() == [i for i in by_hand if i != row]
    thin = pool.thinned()
    assert all(len(thin.overlaps(row)) == 0 for row in range(len(thin))) and (thin.kind == "mark").sum() == 5


def test_costs_and_the_next_micrograph(pool: WindowPool) -> None:
    costs = pool.costs([0], opening=5, batch_size=10)
    assert set(costs[pool.group == 0]) == {1.0} and set(costs[pool.group == 1]) == {1.5}
    utilities = np.where(pool.group == 1, 0.2, 0.1)
    assert pool.next_micrograph(utilities) == 1 and pool.next_micrograph(utilities, [1]) == 0
    with pytest.raises(PoolExhausted):
        pool.next_micrograph(utilities, [0, 1])


@pytest.mark.parametrize("foreign", ["background", "reject"])
@pytest.mark.parametrize("names", ["margin", "poal", None])
def test_what_is_asked_for_overlaps_nothing(made: Any, pool: WindowPool, foreign: Any, names: str | None) -> None:
    truth = answers(pool, [one.centres for one in made], [one.foreign for one in made])
    rng = numpy_rng(0, "embeddings")
    embeddings = rng.normal(size=(len(pool), 6)) + 2 * truth[:, None]
    labels = np.full(len(pool), -1)
    for value in (0, 2):
        labels[np.flatnonzero((truth == value) & (pool.kind != "mark"))[:4]] = value
    labels[:5] = 1
    selector = AutoAL(
        "fast" if names is None else [names], model=LogisticRegression(class_weight="balanced", C=10), random_state=0,
        mode="bilevel" if names is None else "uniform", device="cpu",
    )  # fmt: skip
    picked = pool.ask(selector, embeddings, labels, 8, foreign=foreign, opened=[0])
    assert len(set(picked.tolist())) == 8 and (labels[picked] == -1).all()
    assert not set(picked.tolist()) & set(pool.blocked(np.flatnonzero(labels != -1)).tolist())
    for row in picked:
        assert not set(pool.overlaps(row).tolist()) & set(picked.tolist())


def test_random_windows_while_no_background_is_known(pool: WindowPool) -> None:
    labels = np.full(len(pool), -1)
    labels[:5] = 1
    picked = pool.ask(AutoAL("fast"), np.zeros((len(pool), 3)), labels, 3)
    assert (pool.kind[picked] == "random").all()
    with pytest.raises(PoolExhausted):
        pool.ask(AutoAL("fast"), np.zeros((len(pool), 3)), labels, 500)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.full(3, -1)}, "one of each for each window"),
        ({"labels": "seven"}, "wanted 1, 0, 2 and -1"),
        ({"foreign": "ignore"}, "'background' or 'reject'"),
    ],
)
def test_what_is_wrong_is_said(pool: WindowPool, change: dict[str, Any], message: str) -> None:
    labels = np.full(len(pool), -1)
    given = {"labels": labels, "foreign": "background", **change}
    if isinstance(given["labels"], str):
        given["labels"] = np.full(len(pool), 7)
    with pytest.raises(InvalidInput, match=message):
        pool.ask(AutoAL("fast"), np.zeros((len(pool), 3)), given["labels"], 3, foreign=given["foreign"])


def test_the_picker_is_trained_again_with_what_was_labeled(made: Any, pool: WindowPool) -> None:
    pictures = [one.pixels for one in made]
    quick: dict[str, Any] = {"steps": 4, "batch": 8, "width": 24, "depth": 1, "heads": 2, "stride": 0.5}
    before = CryoMAE(DIAMETER, **quick, random_state=0, device="cpu").fit(pictures[0], made[0].centres[:5])
    was = before.embed(pictures, pool.centres)
    truth = answers(pool, [one.centres for one in made], [one.foreign for one in made])
    labels = np.full(len(pool), -1)
    labels[:5] = 1
    for value, count in ((1, 10), (0, 6), (2, 6)):
        labels[np.flatnonzero((truth == value) & (pool.kind != "mark"))[:count]] = value
    after, embeddings = refit(pool, before, pictures, labels)
    assert embeddings.shape == was.shape and not np.allclose(embeddings, was)
    assert len(after.references_) == 5 and after.labels_threshold_ is not None
    assert np.array_equal(before.embed(pictures, pool.centres), was) and before.labels_threshold_ is None
    turned_away, others = refit(pool, before, pictures, labels, foreign="reject")
    assert turned_away.labels_threshold_ is None and not np.allclose(others, embeddings)
    unmarked = pool.kept(np.flatnonzero(pool.kind != "mark"))
    model, _ = refit(unmarked, before, pictures, labels[pool.kind != "mark"])
    assert 5 <= len(model.references_) <= 10
    for wrong, message in (
        ({"labels": labels[:3]}, "one for each"),
        ({"labels": np.where(labels == 1, 0, labels)}, "without a particle"),
        ({"labels": np.full(len(pool), 7)}, "1, 0, 2 and -1"),
        ({"micrographs": pictures[:1]}, "wanted those of the pool"),
        ({"foreign": "ignore"}, "'background' or 'reject'"),
    ):
        given = {"micrographs": pictures, "labels": labels, **wrong}
        with pytest.raises(InvalidInput, match=message):
            refit(pool, before, **given)


def test_pools_that_cannot_be(made: Any) -> None:
    with pytest.raises(InvalidInput, match="within half a diameter"):
        WindowPool([made[0].pixels], DIAMETER, marks=[[0, 2, 50]])
    with pytest.raises(InvalidInput, match="there are 1"):
        WindowPool([made[0].pixels], DIAMETER, marks=[[1, 50, 50]])
    with pytest.raises(InvalidInput, match="candidates"):
        WindowPool([made[0].pixels], DIAMETER, "all")  # type: ignore[arg-type]
