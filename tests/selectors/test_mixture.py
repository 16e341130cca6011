"""`mode="uniform"`: each slot of the batch goes to a candidate drawn uniformly, which buys its best point left."""

import numpy as np
import torch

from autoal.rng import generator
from autoal.selectors.mixture import uniform_mixture
from autoal.strategies import Proposal
from tests.selectors.problems import auto, blobs


def proposal(*indices: int) -> Proposal:
    return Proposal(torch.tensor(indices), torch.zeros(20, dtype=torch.float64))


def test_a_slot_goes_to_the_drawn_candidates_best_point_that_is_left():
    proposals = [proposal(0, 1, 2, 3, 4), proposal(1, 0, 7, 8, 9), proposal(0, 7, 1, 9, 5)]
    for seed in range(20):
        bought: list[int] = []
        for k in torch.randint(0, 3, (5,), generator=generator(seed, "slots")).tolist():
            bought.append(next(i for i in proposals[k].indices.tolist() if i not in bought))
        assert uniform_mixture(proposals, 5, generator(seed, "slots")).tolist() == bought


def test_every_candidate_gets_its_share():
    proposals = [proposal(*range(5)), proposal(*range(5, 10)), proposal(*range(10, 15)), proposal(*range(15, 20))]
    bought = torch.cat([uniform_mixture(proposals, 5, generator(seed, "share")) for seed in range(400)])
    shares = torch.bincount(bought // 5, minlength=4) / len(bought)
    assert torch.allclose(shares, torch.full((4,), 0.25), atol=0.04)  # 4 standard errors of a share are 0.039


def test_points_come_from_the_candidates_own_batches_at_equal_weights():
    X, y, _ = blobs()
    query = auto(["entropy", "kcenter", "random"], mode="uniform").fit_query(X, y, batch_size=8)
    assert set(query.weights.values()) == {1 / 3}
    assert np.any(list(query.votes.values()), axis=0).all(), "a point that no candidate wanted was bought"


def test_equal_candidates_are_both_kept():
    X, y, _ = blobs()
    query = auto(["entropy", "least_confidence", "margin"], mode="uniform").fit_query(X, y, batch_size=8)
    assert set(query.weights) == {"entropy", "least_confidence", "margin"}


def test_equally_wanted_points_have_equal_utilities():
    X, y, _ = blobs()
    probs = np.full((len(X), 3), 1 / 3)
    query = auto(["entropy", "margin"], mode="uniform", model=None).fit_query(X, y, probs=probs, batch_size=2)
    rest = np.setdiff1d(np.flatnonzero(y < 0), np.concatenate([query.indices]))
    assert len(np.unique(query.utilities[rest])) <= 4  # those in a batch of either candidate, and all others
