"""Confidence that a point is of a known class, alone: energy, Mahalanobis, mixtures, neighbors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis

from autoal.outputs import ModelOutputs, PoolView
from autoal.strategies import CANDIDATES
from autoal.strategies.open_set.energy import Energy
from autoal.strategies.open_set.knn_confidence import NearestNeighbors
from autoal.strategies.open_set.mahalanobis import Mahalanobis
from tests.helpers import fake_view, random_view, seeded

DISTANT = ["mahalanobis", "gmm", "knn_confidence"]


def two_classes(far: float = 20.0) -> PoolView:
    """Two classes at (-3, 0) and (3, 0); pool points 0..19 of these, 20..29 around (0, far)."""
    draws = seeded(7)
    centers = torch.tensor([[-3.0, 0.0], [3.0, 0.0]])
    labeled = centers.repeat(10, 1) + torch.randn(20, 2, generator=draws)
    known = centers.repeat(10, 1) + torch.randn(20, 2, generator=draws)
    foreign = torch.tensor([0.0, far]) + torch.randn(10, 2, generator=draws)
    return fake_view(embeddings=torch.cat([known, foreign]), labeled=labeled, labels=[0, 1] * 10)


@pytest.mark.parametrize("name", DISTANT)
def test_foreign_points_score_below_all_others(name):
    scores = CANDIDATES[name]().propose(two_classes(), 5, seeded()).scores
    if name == "knn_confidence":  # on directions; these clusters differ in direction as well
        scores = NearestNeighbors(normalise=False).propose(two_classes(), 5, seeded()).scores
    assert scores[20:].max() < scores[:20].min()


def test_energy_by_hand():
    view = PoolView(ModelOutputs(logits=torch.tensor([[2.0, 0.0], [5.0, 5.0]])), ModelOutputs(), torch.zeros(0), 2)
    cold, warm = (Energy(t).propose(view, 1, seeded()).scores for t in (1.0, 2.0))
    torch.testing.assert_close(cold, torch.tensor([np.log(np.e**2 + 1), 5 + np.log(2)]))
    torch.testing.assert_close(warm, torch.tensor([2 * np.log(np.e + 1), 5 + 2 * np.log(2)]))


def test_mahalanobis_is_that_of_scipy():
    view = two_classes()
    x, y = view.labeled.embeddings.double(), view.labels
    means = torch.stack([x[y == c].mean(0) for c in (0, 1)])
    centred = x - means[y]
    covariance = centred.T @ centred / len(x)
    covariance += 1e-3 * covariance.diagonal().mean() * torch.eye(2)
    inverse = torch.linalg.inv(covariance)
    nearest = [min(mahalanobis(p, m, inverse) for m in means) for p in view.pool.embeddings.double()]
    expected = -0.5 * torch.tensor(nearest) ** 2
    scores = Mahalanobis().propose(view, 1, seeded()).scores
    torch.testing.assert_close(scores, expected - expected.min())


def test_neighbors_by_hand():
    view = fake_view(embeddings=torch.tensor([[0.0, 1.0], [4.0, 0.0]]), labeled=torch.tensor([[0.0, 0.0], [3.0, 0.0]]))
    scores = NearestNeighbors(k=2, normalise=False).propose(view, 1, seeded()).scores
    torch.testing.assert_close(scores, -torch.tensor([10**0.5, 4.0], dtype=torch.float64))


def against_pytorch_ood(detector, view: PoolView, ours: torch.Tensor) -> None:
    """Its scores grow with distance, ours with likeness; the order must be the same."""
    theirs = detector.predict_features(view.pool.embeddings)
    assert torch.equal(ours.argsort(), (-theirs.double()).argsort())


def test_energy_is_that_of_pytorch_ood():
    peers = pytest.importorskip("pytorch_ood.detector")
    view = random_view(60)
    theirs = peers.EnergyBased.score(view.pool.logits)
    torch.testing.assert_close(Energy().propose(view, 1, seeded()).scores.float(), -theirs)


def test_mahalanobis_orders_points_as_pytorch_ood_does():
    peers = pytest.importorskip("pytorch_ood.detector")
    view = two_classes()
    detector = peers.Mahalanobis(encoder=None).fit_features(view.labeled.embeddings, view.labels)
    against_pytorch_ood(detector, view, Mahalanobis(ridge=1e-9).propose(view, 1, seeded()).scores)


def test_neighbors_order_points_as_pytorch_ood_does():
    peers = pytest.importorskip("pytorch_ood.detector")
    view = two_classes()
    detector = peers.KNN(encoder=None, k=1).fit_features(view.labeled.embeddings, view.labels)
    against_pytorch_ood(detector, view, NearestNeighbors(k=1).propose(view, 1, seeded()).scores)
