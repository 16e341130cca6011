"""What the oracle rejected lowers the value of what is like it, and nothing else."""

import torch
from sklearn.linear_model import LogisticRegression

from autoal.anchor.open_set import log_known
from autoal.outputs import ModelOutputs, PoolView
from autoal.rng import generator
from autoal.selectors import AutoAL, RoundState


def clusters(seed: int, *sizes: int) -> torch.Tensor:
    """Points around corners of a cube, `sizes` of each."""
    rng = generator(seed, "open set")
    corners = 3 * torch.eye(3)
    return torch.cat([corners[i] + 0.5 * torch.randn(n, 3, generator=rng) for i, n in enumerate(sizes)])


def test_it_is_a_logistic_regression_of_labeled_against_rejected():
    labeled, rejected, pool = clusters(0, 12, 8, 4), clusters(1, 2, 3, 15), clusters(2, 10, 10, 10)
    reference = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000)
    # Two columns, each with its ridge: half the ridge on their difference.
    reference.fit(torch.cat([labeled, rejected]).numpy(), [1] * len(labeled) + [0] * len(rejected))
    found = log_known(pool, labeled, rejected, l2=2.0)
    assert torch.allclose(found.exp(), torch.tensor(reference.predict_proba(pool.numpy())[:, 1]).float(), atol=2e-3)


def test_with_nothing_rejected_nothing_is_held_against_anybody():
    pool = clusters(0, 5, 5, 5)
    assert torch.equal(log_known(pool, pool[:3], pool[:0], l2=1.0), torch.zeros(15))


def round_state(rejected: bool) -> RoundState:
    """Two known classes in the first two corners; the third corner of the pool is foreign."""
    labeled, pool, foreign = clusters(3, 10, 10, 0), clusters(4, 40, 40, 40), clusters(5, 0, 0, 10)
    logits = 0.1 * (pool[:, :1] - pool[:, 1:2])

    def outputs(x: torch.Tensor, log_odds: torch.Tensor) -> ModelOutputs:
        return ModelOutputs(log_probs=torch.log_softmax(torch.cat([log_odds, -log_odds], dim=1), dim=1), embeddings=x)

    labels = torch.tensor([0] * 10 + [1] * 10)
    view = PoolView(
        outputs(pool, logits), outputs(labeled, torch.zeros(20, 1)), labels, 2,
        rejected=outputs(foreign, torch.zeros(10, 1)) if rejected else None,
    )  # fmt: skip
    return RoundState(view=view, round=0, seed=0, pool_ids=torch.arange(120), labeled_ids=200 + torch.arange(20))


def foreign_share(rejected: bool, **search: bool) -> float:
    selector = AutoAL(["margin", "random", "kcenter"], search=search, random_state=0)
    return float((selector.select(round_state(rejected), 12).positions >= 80).double().mean())


def test_autoal_learns_from_rejections():
    # The model is least sure of the foreign corner, which lies on its boundary.
    before = foreign_share(rejected=False)
    assert before > 0.5
    assert foreign_share(rejected=True) <= 0.5 * before
    assert foreign_share(rejected=True, open_set=False) == before
