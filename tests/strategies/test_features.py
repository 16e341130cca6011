"""FRE and FeatSim: how unlike the labeled points of its predicted class a point is."""

from __future__ import annotations

import pytest
import torch
from sklearn.decomposition import PCA

from autoal.errors import InvalidInput, UnknownName
from autoal.strategies.diversity.featsim import FeatSim
from autoal.strategies.diversity.fre import FRE, reconstruction_error
from autoal.strategies.parts.strata import merged_by_rank
from tests.helpers import fake_view, probs, seeded


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def test_classes_take_turns_and_equal_values_share_a_place():
    values = torch.tensor([5.0, 3.0, 3.0, 1.0, 9.0, 2.0])
    group = torch.tensor([0, 0, 0, 0, 1, 1])
    scores = merged_by_rank(values, group)
    assert scores.argsort(descending=True)[:3].tolist() == [4, 0, 1]
    assert scores[1] == scores[2]
    # Largest group: 4. Ranks in the group 0 1 1 3 0 1, and 1 2 2 5 0 4 of 6 points are larger.
    expected = [0 + 1 / 6, 1 + 2 / 6, 1 + 2 / 6, 3 + 5 / 6, 0, 1 + 4 / 6]
    torch.testing.assert_close(scores, -torch.tensor(expected, dtype=torch.float64) / 4)


def test_the_error_is_the_squared_distance_to_the_span():
    basis = torch.linalg.qr(normal(6, 6)).Q
    plane, off = basis[:2], basis[2:]
    known = normal(20, 2, seed=1) @ plane + 3
    outside = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    points = normal(3, 2, seed=2) @ plane + 3 + outside[:, None] * off[1]
    torch.testing.assert_close(reconstruction_error(points, known, 1.0), outside.square(), atol=1e-12, rtol=1e-9)


def test_one_known_point_is_its_own_subspace():
    error = reconstruction_error(torch.tensor([[3.0, 4.0], [1.0, 1.0]]), torch.ones(1, 2), 0.995)
    assert error.tolist() == [13.0, 0.0]


@pytest.mark.parametrize("variance", [0.5, 0.9, 0.995])
def test_the_error_is_the_residual_of_scikit_learn(variance):
    known, points = normal(40, 12) * torch.arange(1, 13), normal(15, 12, seed=1) * 5
    pca = PCA(variance, svd_solver="full").fit(known.numpy())
    residual = points.numpy() - pca.inverse_transform(pca.transform(points.numpy()))
    expected = torch.from_numpy((residual**2).sum(axis=1))
    torch.testing.assert_close(reconstruction_error(points, known, variance), expected)


def test_fre_takes_the_worst_of_each_predicted_class():
    # Class 0 varies along x, class 1 along y; the last two points are predicted as class 1.
    labeled = torch.tensor([[-1.0, 0], [0, 0], [1, 0], [0, -1], [0, 0], [0, 1]])
    pool = torch.tensor([[0.0, 3.0], [0.0, 2.0], [9.0, 0.0], [1.0, 0.0], [0.0, 9.0]])
    log_probs = probs([0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9])
    view = fake_view(log_probs, pool, labeled=labeled, labels=[0, 0, 0, 1, 1, 1])
    assert FRE().propose(view, 5, seeded()).indices.tolist() == [0, 3, 1, 4, 2]


def test_a_predicted_class_without_labels_is_judged_by_all_of_them():
    labeled = torch.tensor([[-1.0, 0], [0, 0], [1, 0]])
    pool = torch.tensor([[5.0, 1.0], [5.0, 2.0]])
    view = fake_view(probs([0.1, 0.9], [0.1, 0.9]), pool, labeled=labeled, labels=[0, 0, 0])
    assert FRE().propose(view, 2, seeded()).indices.tolist() == [1, 0]


def test_fre_ignores_rotation_and_one_subspace_takes_no_turns():
    pool, labeled = normal(30, 6), normal(12, 6, seed=1)
    turn = torch.linalg.qr(normal(6, 6, seed=2)).Q
    log_probs = normal(30, 3, seed=3).log_softmax(1)
    labels = [i % 3 for i in range(12)]
    views = [
        fake_view(log_probs, p, labeled=q, labels=labels) for p, q in ((pool, labeled), (pool @ turn, labeled @ turn))
    ]
    plain, turned = (FRE(variance=0.9).propose(v, 10, seeded()).indices.tolist() for v in views)
    assert plain == turned
    error = reconstruction_error(pool, labeled, 0.9)
    whole = FRE(variance=0.9, per_class=False).propose(views[0], 10, seeded()).indices
    assert whole.tolist() == error.argsort(descending=True)[:10].tolist()


def test_featsim_asks_for_the_least_alike_and_for_copies_last():
    labeled = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    pool = torch.tensor([[2.0, 0.0], [1.0, 1.0], [-1.0, 0.1], [0.0, 5.0], [1.0, -1.0]])
    log_probs = probs([0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9])
    view = fake_view(log_probs, pool, labeled=labeled, labels=[0, 1])
    # Cosines to the own class: 1, .71, -1 for class 0; 1, -.71 for class 1.
    assert FeatSim().propose(view, 5, seeded()).indices.tolist()[:2] == [2, 4]
    assert FeatSim().propose(view, 5, seeded()).indices.tolist()[2] in (1, 3)
    assert FeatSim(scope="all").propose(view, 5, seeded()).indices.tolist()[:3] == [2, 4, 1]


def test_featsim_by_brute_force():
    pool, labeled = normal(25, 4), normal(11, 4, seed=1)
    log_probs = normal(25, 3, seed=3).log_softmax(1)
    labels = [0, 1] * 5 + [0]  # nothing of class 2
    unit = torch.nn.functional.normalize
    cosine = unit(pool) @ unit(labeled).T
    for reduce, function in (("max", lambda row: row.max()), ("mean", lambda row: row.mean())):
        value = torch.stack(
            [
                -function(cosine[i, [j for j in range(11) if labels[j] == c] if c < 2 else slice(None)])
                for i, c in enumerate(log_probs.argmax(1).tolist())
            ]
        )
        proposal = FeatSim(reduce=reduce).propose(
            fake_view(log_probs, pool, labeled=labeled, labels=labels), 9, seeded()
        )
        torch.testing.assert_close(proposal.scores, merged_by_rank(value, log_probs.argmax(1)))


def test_arguments_are_checked():
    view = fake_view(probs([0.5, 0.5]), torch.ones(1, 2), labeled=torch.ones(1, 2))
    with pytest.raises(InvalidInput, match="variance=0"):
        FRE(variance=0).propose(view, 1, seeded())
    with pytest.raises(UnknownName, match="min"):
        FeatSim(reduce="min").propose(view, 1, seeded())
    with pytest.raises(UnknownName, match="some"):
        FeatSim(scope="some").propose(view, 1, seeded())
