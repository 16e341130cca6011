import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from autoal.errors import InvalidInput
from autoal.strategies.gradient.badge import BADGE
from autoal.strategies.parts.gradient_embedding import GradientEmbedding
from tests.helpers import fake_view, probs, random_outputs, seeded


def explicit(log_probs: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
    """The (N, C D) gradients, written out."""
    residual = log_probs.double().exp()
    residual[torch.arange(len(residual)), log_probs.argmax(1)] -= 1
    return torch.einsum("nc,nd->ncd", residual, embeddings.double()).flatten(1)


@pytest.mark.parametrize("classes", [1, 2, 7])
def test_factored_distances_are_the_explicit_ones(classes):
    outputs = random_outputs(60, 0, classes=classes, width=9)
    log_probs, embeddings = outputs.require("log_probs"), outputs.require("embeddings")
    gradient = GradientEmbedding(log_probs, embeddings)
    expected = torch.cdist(*[explicit(log_probs, embeddings)] * 2).square()
    rows = torch.arange(60)
    torch.testing.assert_close(gradient.squared_distances(rows, rows).double(), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        gradient.size_N.double(), explicit(log_probs, embeddings).square().sum(1), atol=1e-5, rtol=1e-5
    )


def test_the_first_pick_has_the_largest_gradient():
    outputs = random_outputs(50, 1)
    log_probs, embeddings = outputs.require("log_probs"), outputs.require("embeddings")
    largest = int(explicit(log_probs, embeddings).square().sum(1).argmax())
    for s in range(5):
        assert BADGE().propose(fake_view(log_probs, embeddings), 1, seeded(s)).indices.tolist() == [largest]


def test_an_even_first_pick():
    outputs = random_outputs(4, 1)
    view = fake_view(outputs.require("log_probs"), outputs.require("embeddings"))
    firsts = torch.tensor([BADGE("uniform").propose(view, 1, seeded(s)).indices[0] for s in range(400)])
    assert torch.bincount(firsts, minlength=4).min() > 70


def test_the_second_pick_is_drawn_by_squared_distance():
    log_probs = probs([0.5, 0.5], [0.6, 0.4], [0.7, 0.3], [0.9, 0.1], [0.4, 0.6])
    embeddings = torch.tensor([[3.0, 0], [0, 2], [1, 1], [2, -1], [0, 1]])
    gradients = explicit(log_probs, embeddings)
    start = int(gradients.square().sum(1).argmax())
    expected = (gradients - gradients[start]).square().sum(1)
    expected = expected / expected.sum()
    view, times = fake_view(log_probs, embeddings), 1500
    seconds = torch.tensor([int(BADGE().propose(view, 2, seeded(s)).indices[1]) for s in range(times)])
    counts = torch.bincount(seconds, minlength=5)
    assert counts[start] == 0
    drawn = expected > 0
    chi = ((counts - times * expected).square() / (times * expected))[drawn].sum()
    assert chi < 16.3  # 0.999 quantile of chi-square with three degrees of freedom


def test_two_far_groups_get_one_pick_each():
    embeddings = torch.cat([torch.tensor([[1.0, 0]]), torch.tensor([[0.0, 1]])]).repeat_interleave(20, 0)
    embeddings = embeddings + 1e-3 * torch.randn(40, 2, generator=seeded())
    view = fake_view(probs(*[[0.5, 0.5]] * 40), embeddings)
    groups = [BADGE().propose(view, 2, seeded(s)).indices // 20 for s in range(100)]
    assert sum(int(pair[0] != pair[1]) for pair in groups) >= 99


def test_certain_points_are_all_the_same_point():
    """Their gradient is 0, and the second copy of it comes after all others."""
    view = fake_view(probs([1, 0], [0.6, 0.4], [1, 0], [0.7, 0.3]), torch.eye(4))
    for s in range(20):
        picks = BADGE().propose(view, 4, seeded(s)).indices.tolist()
        assert picks[0] == 1 and 3 in picks[:3] and picks[3] in {0, 2}


def test_copies_come_last():
    outputs = random_outputs(8, 0)
    view = fake_view(outputs.require("log_probs").repeat(4, 1), outputs.require("embeddings").repeat(4, 1))
    for s in range(10):
        assert len(set((BADGE().propose(view, 8, seeded(s)).indices % 8).tolist())) == 8


def test_an_unknown_first_pick_is_refused():
    outputs = random_outputs(8, 0)
    with pytest.raises(InvalidInput, match="'norm' or 'uniform'"):
        BADGE("median").propose(fake_view(outputs.require("log_probs"), outputs.require("embeddings")), 2, seeded())


def test_the_third_pick_is_drawn_by_squared_distance_to_the_nearer_of_two():
    """Where the first two picks are what they usually are: the sampler works with weights out of date by then."""
    log_probs = probs([0.5, 0.5], [0.6, 0.4], [0.7, 0.3], [0.9, 0.1], [0.4, 0.6])
    embeddings = torch.tensor([[3.0, 0], [0, 2], [1, 1], [2, -1], [0, 1]])
    gradients = explicit(log_probs, embeddings)
    view = fake_view(log_probs, embeddings)
    picks = torch.stack([BADGE().propose(view, 3, seeded(s)).indices for s in range(1500)])
    second = int(torch.bincount(picks[:, 1]).argmax())
    thirds = picks[picks[:, 1] == second, 2]
    squared = torch.cdist(gradients, gradients[[int(picks[0, 0]), second]]).square().amin(1)
    expected = squared / squared.sum() * len(thirds)
    drawn = expected > 1e-9
    counts = torch.bincount(thirds, minlength=5)
    assert counts[~drawn].sum() == 0
    chi = ((counts - expected).square() / expected)[drawn].sum()
    assert chi < 13.9  # 0.999 quantile of chi-square with two degrees of freedom


def test_distances_are_those_of_scikit_activeml():
    """Its chances for each pick; it counts the gradient 0 as one more centre, which the paper's code does not."""
    pool = pytest.importorskip("skactiveml.pool")
    classifier = pytest.importorskip("skactiveml.classifier").SklearnClassifier(LogisticRegression(), classes=[0, 1, 2])
    points = random_outputs(30, 2).require("embeddings").double().numpy()
    labels = np.full(30, np.nan)
    labels[:6] = [0, 1, 2, 0, 1, 2]
    picks, chances = pool.Badge(random_state=0).query(points, labels, classifier, batch_size=4, return_utilities=True)
    log_probs = torch.from_numpy(classifier.fit(points, labels).predict_proba(points)).log()
    gradient = GradientEmbedding(log_probs[6:], torch.from_numpy(points[6:]))
    assert int(gradient.size_N.argmax()) == picks[0] - 6
    for m in range(1, 4):
        before = torch.as_tensor(np.array(picks[:m])) - 6
        nearest = torch.minimum(gradient.squared_distances(slice(None), before).amin(1), gradient.size_N).double()
        theirs = torch.from_numpy(np.nan_to_num(chances[m, 6:]))
        torch.testing.assert_close(nearest / nearest.sum(), theirs, rtol=1e-4, atol=1e-6)
