"""Every field of ModelOutputs from the adapters, checked against slow and plain ways to the same number."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from torch import nn

from autoal.data import as_rows
from autoal.errors import InvalidInput
from autoal.models import MLP, SklearnModel, TorchModel, TrainConfig, default_net
from autoal.models.ensembles import Repulsion, train_members
from autoal.outputs import check_outputs

CPU = torch.device("cpu")
X = np.random.RandomState(0).randn(40, 5)
ROWS = as_rows(X)
Y = torch.from_numpy((X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 1))
TARGETS = torch.from_numpy(3.0 * X[:, 0] - 2.0)
LABELED = torch.arange(24)
QUICK = TrainConfig(epochs=1, min_steps=12)


def fitted(classes, **options):
    source = options.pop("source", partial(default_net, (5,), classes))
    model = TorchModel(source, config=QUICK, device="cpu", mc_samples=4, members=3, noise_samples=3, **options)
    model.fit(ROWS, LABELED, (Y if classes else TARGETS)[LABELED], classes, seed=0)
    return model


def outputs(model, needs, indices=None, seed=1):
    indices = torch.arange(40) if indices is None else indices
    return model.outputs(ROWS, indices, frozenset(needs), seed=seed, device=CPU)


@pytest.mark.parametrize("classes", [3, 0])
@pytest.mark.parametrize("posterior", ["dropout", "laplace", "ensemble", "greedy"])
def test_every_field_is_there_whatever_the_chunks_and_order_and_the_module_stays(classes, posterior, monkeypatch):
    model = fitted(classes, posterior=posterior)
    model.module.zero_grad()  # training leaves its last ones
    before = copy.deepcopy(model.module.state_dict())
    needs = model.provides if posterior == "laplace" else {"mc_log_probs" if classes else "mc_means"}
    out = outputs(model, needs)
    assert out.present() == needs
    check_outputs(out, 40, classes, "pool")
    monkeypatch.setattr("autoal.models.torch_adapter.CHUNK_BYTES", 10_000)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))
    again = outputs(model, needs, order)
    for name in needs:  # not bit-equal: products of matrices of other heights may round differently
        scale = float(out.require(name).abs().max())
        torch.testing.assert_close(
            again.require(name), out.require(name)[order], rtol=1e-5, atol=2e-6 * max(1.0, scale)
        )
    for key, value in model.module.state_dict().items():
        assert torch.equal(value, before[key])
    assert all(weight.grad is None and weight.requires_grad for weight in model.module.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.module.modules())
    if classes == 0 and posterior == "laplace":
        assert out.deviations.shape == (40, 3, 64) and out.gradients.shape == (40, 512)
    elif posterior == "laplace":
        assert out.deviations.shape == (40, 3, 3) and out.gradient_norms.shape == (40, 2)


@pytest.mark.parametrize(("estimator", "classes"), [(LogisticRegression(), 3), (Ridge(), 0)])
def test_scikit_learn_models_without_members_give_draws_of_a_last_layer(estimator, classes, monkeypatch):
    model = SklearnModel(estimator, mc_samples=200)
    model.fit(ROWS, LABELED, (Y if classes else TARGETS)[LABELED], classes, seed=0)
    field = "mc_log_probs" if classes else "mc_means"
    drawn = outputs(model, {field}).require(field)
    assert drawn.shape[:2] == (40, 200)
    monkeypatch.setattr("autoal.compute.CHUNK_BYTES", 2000)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(outputs(model, {field}, order).require(field), drawn[order], rtol=1e-6, atol=1e-6)
    if classes:
        probs = outputs(model, {"log_probs"}).log_probs.exp()
        assert float((drawn.exp().mean(1) - probs).abs().mean()) < 0.15
    else:
        torch.testing.assert_close(drawn.mean(1).double(), TARGETS, atol=0.3, rtol=0)
    assert "mc_log_probs" not in SklearnModel(LogisticRegression(), posterior="none").provides


def test_gradients_are_those_of_the_prediction_in_units_of_the_targets():
    models = [fitted(0, gradient_width=4000), fitted(0, gradient_width=4000)]
    models[1].fit(ROWS, LABELED, 8.0 * TARGETS[LABELED], 0, seed=0)
    a, b = (outputs(model, {"gradients"}).gradients for model in models)
    torch.testing.assert_close(b, 8.0 * a, rtol=1e-3, atol=1e-3)
    x = outputs(models[0], {"inputs"}).inputs
    rows = []
    for point in x[:6]:
        mean = models[0].module(point[None])[0, 0] * models[0]._targets.std
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(mean, list(models[0].module.parameters()))]))
    kernel = torch.stack(rows) @ torch.stack(rows).T
    assert float((a[:6] @ a[:6].T - kernel).norm() / kernel.norm()) < 0.1


@pytest.mark.parametrize(
    "options", [{"posterior": "x"}, {"members": 0}, {"noise_variant": "x"}, {"noise_scale": 0.0}, {"gradient_width": 0}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(InvalidInput, match=f"{next(iter(options))}="):
        TorchModel(MLP(5, 3), **options)


def test_without_repulsion_a_greedy_ensemble_is_a_deep_ensemble():
    model = fitted(3, greedy_strength=0.0)
    out = outputs(model, {"ensemble_log_probs", "greedy_log_probs"})
    assert torch.equal(out.ensemble_log_probs, out.greedy_log_probs)
    assert out.ensemble_log_probs.shape == (40, 3, 3)
    assert not torch.equal(out.ensemble_log_probs[:, 0], out.ensemble_log_probs[:, 1])
    assert model._trained_members("ensemble", CPU) is model._trained_members("ensemble", CPU)


def test_repulsion_is_within_its_bounds_and_leaves_normalisation_alone():
    net = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    repulsion = Repulsion(torch.from_numpy(X).float(), 2.0, 0)
    repulsion.add(net)
    repulsion.add(net)
    net.train()
    before = copy.deepcopy(net.state_dict())
    value = repulsion(net, torch.arange(8))
    assert value.item() == pytest.approx(np.log(2), abs=1e-6)  # identical members: d = 0
    assert net.training and all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    other = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    value = repulsion(other, torch.arange(8))
    assert np.log(2) - 4.0 <= value.item() < np.log(2)
    value.backward()
    assert all(weight.grad is None for weight in net.parameters())
    assert any(float(weight.grad.abs().max()) > 0 for weight in other.parameters())


def test_members_that_repel_each_other_disagree_more_where_there_are_no_data():
    x, y = torch.from_numpy(X).float(), Y

    def disagreement(strength):
        torch.manual_seed(0)
        repulsion = Repulsion(x, strength, 0)

        def make(seed):
            torch.manual_seed(seed)
            return MLP(5, 3, dropout=0.0)

        def fit(module, _, penalty):
            search = torch.optim.Adam(module.parameters(), 1e-2)
            for _ in range(60):
                loss = nn.functional.cross_entropy(module(x), y)
                loss = loss if penalty is None else loss + penalty(module, torch.arange(40))
                search.zero_grad()
                loss.backward()
                search.step()

        members = train_members(2, make, fit, 0, repulsion)
        with torch.no_grad():
            a, b = (member(repulsion.inputs).softmax(1) for member in members)
        return float((a - b).square().sum(1).mean())

    assert disagreement(5.0) > disagreement(0.0) + 0.1
