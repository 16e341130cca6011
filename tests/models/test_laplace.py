"""Last-layer Laplace: the exact posterior of linear regression, and the curvature of the softmax."""

import pytest
import torch

from autoal.models.laplace import (
    LastLayer,
    _curvature,
    _linear_posterior,
    classification_posterior,
    draw,
    map_head,
    regression_posterior,
    with_one,
)

G = torch.Generator().manual_seed(0)
Z = with_one(torch.randn(40, 2, generator=G))
Y = (Z[:, 0] + 0.5 * torch.randn(40, generator=G) > 0).long() + (Z[:, 1] > 1).long()


def test_the_regression_posterior_is_the_exact_one():
    truth = torch.tensor([1.0, -2.0, 0.5]).double()
    targets = Z @ truth + 0.3 * torch.randn(40, generator=G).double()
    found = regression_posterior(Z, targets)
    covariance = torch.linalg.inv(Z.T @ Z / found.noise + found.prior * torch.eye(3))
    torch.testing.assert_close(found.mean[0], covariance @ Z.T @ targets / found.noise)
    draws = draw(found, 100_000, torch.Generator().manual_seed(1))[:, 0]
    torch.testing.assert_close(draws.mean(0), found.mean[0], rtol=1e-2, atol=2e-3)
    torch.testing.assert_close(draws.T.cov(), covariance, rtol=2e-2, atol=2e-2 * float(covariance.diag().mean()))
    assert 0.03 < found.noise < 0.3  # true noise variance 0.09, grid of half powers of ten
    torch.testing.assert_close(found.mean[0], truth, atol=0.2, rtol=0)


def test_the_marginal_likelihood_is_that_of_the_targets():
    targets = Z @ torch.tensor([1.0, -2.0, 0.5]).double() + 0.3 * torch.randn(40, generator=G).double()
    found = regression_posterior(Z, targets)

    def evidence(prior, noise):
        covariance = Z @ Z.T / prior + noise * torch.eye(40)
        return torch.distributions.MultivariateNormal(torch.zeros(40).double(), covariance).log_prob(targets)

    here = evidence(found.prior, found.noise)
    for factor in (10**-0.5, 10**0.5):
        assert evidence(found.prior * factor, found.noise) < here or not 1e-2 <= found.prior * factor <= 1e4
        assert evidence(found.prior, found.noise * factor) < here
    assert torch.equal(_linear_posterior(Z.T @ Z, Z.T @ targets, found.prior, found.noise).mean, found.mean)


def test_the_curvature_is_the_hessian_of_the_softmax_regression():
    weights = torch.randn(3, 3, generator=G).double()

    def loss(flat):
        return torch.nn.functional.cross_entropy(Z @ flat.view(3, 3).T, Y, reduction="sum")

    torch.testing.assert_close(_curvature(Z, weights)[0], torch.func.hessian(loss)(weights.flatten()))
    # For two classes the curvature has blocks p(1 - p) with alternating signs.
    p = torch.softmax(Z @ weights[:2].T, 1)[:, 0]
    block = (Z * (p * (1 - p))[:, None]).T @ Z
    full = torch.cat([torch.cat([block, -block], 1), torch.cat([-block, block], 1)])
    torch.testing.assert_close(_curvature(Z, weights[:2])[0], full)


def test_many_weights_get_one_block_for_each_class(monkeypatch):
    weights = torch.randn(3, 3, generator=G).double()
    full = _curvature(Z, weights)[0].view(3, 3, 3, 3)
    monkeypatch.setattr("autoal.models.laplace.FULL_WEIGHTS", 5)
    torch.testing.assert_close(_curvature(Z, weights), torch.stack([full[c, :, c] for c in range(3)]))
    found = classification_posterior(Z, Y, 3, weights)
    drawn = draw(found, 40_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.mean(0), weights, atol=0.1, rtol=0)
    wanted = torch.linalg.inv(found.precision[1])
    torch.testing.assert_close(drawn[:, 1].T.cov(), wanted, rtol=5e-2, atol=5e-2 * float(wanted.diag().mean()))


def test_the_most_probable_head_has_no_slope():
    weights = map_head(Z, Y, 4, 0.7)  # class 3 has no label
    slope = (torch.softmax(Z @ weights.T, 1) - torch.nn.functional.one_hot(Y, 4)).T @ Z + 0.7 * weights
    torch.testing.assert_close(slope, torch.zeros_like(slope), atol=1e-4, rtol=0)


@pytest.mark.parametrize("scale", [0.0, 1e6])
@pytest.mark.parametrize("n", [1, 40])
def test_degenerate_features_still_give_draws(scale, n):
    inputs = with_one(Z[:n, :2] * scale)
    for posterior in (
        classification_posterior(inputs, Y[:n], 3, None),
        classification_posterior(inputs, Y[:n] * 0, 3, torch.full((3, 3), 1e-3).double()),
        regression_posterior(inputs, Z[:n, 1]),
        regression_posterior(inputs, Z[:n, 1] * 0),
    ):
        assert isinstance(posterior, LastLayer)
        assert bool(draw(posterior, 3, torch.Generator().manual_seed(0)).isfinite().all())


def test_curvature_evidence_and_covariance_are_those_of_laplace_torch():
    laplace = pytest.importorskip("laplace")
    head = torch.nn.Linear(2, 3).double()
    inputs, labels = Z[:, :2], Y
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, labels), batch_size=40)
    mode = torch.cat([head.weight, head.bias[:, None]], 1).detach()
    found = classification_posterior(Z, labels, 3, mode)
    peer = laplace.Laplace(
        head, "classification", subset_of_weights="all", hessian_structure="full", prior_precision=found.prior
    )
    peer.fit(loader)
    order = [*(c * 3 + d for c in range(3) for d in range(2)), *(c * 3 + 2 for c in range(3))]  # weights, then biases
    torch.testing.assert_close(peer.posterior_precision.double(), found.precision[0][order][:, order])
    torch.testing.assert_close(
        peer.posterior_covariance.double(), torch.linalg.inv(found.precision[0])[order][:, order]
    )
    evidences = [float(peer.log_marginal_likelihood(torch.tensor(p).double())) for p in (found.prior / 3, found.prior)]
    assert evidences[1] > evidences[0] and evidences[1] > float(
        peer.log_marginal_likelihood(torch.tensor(found.prior * 3.2).double())
    )
