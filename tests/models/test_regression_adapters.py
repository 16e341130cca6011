"""Regressions through every adapter: targets in their own units, one number for each point."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.ensemble import BaggingRegressor, ExtraTreesRegressor, RandomForestRegressor, VotingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from autoal.data import as_rows
from autoal.errors import InvalidInput, MissingOutput
from autoal.models import MLP, OverlaidModel, PrecomputedModel, SklearnModel, TorchModel, TrainConfig, as_adapter
from autoal.models.nets import default_net
from autoal.models.targets import TargetScale
from autoal.outputs import ModelOutputs, check_outputs

CPU = torch.device("cpu")
X = np.random.RandomState(0).randn(60, 5)
TARGETS = torch.from_numpy(1000.0 + 50.0 * (X[:, 0] - 2 * X[:, 1]))
ROWS = as_rows(X)
LABELED = torch.arange(40)
CONFIG = TrainConfig(epochs=1, min_steps=200, lr=1e-2)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def fitted(model, targets=TARGETS):
    model.fit(ROWS, LABELED, targets[LABELED], 0, seed=0)
    return model


def outputs(model, *needs, seed=1, indices=None):
    indices = torch.arange(60) if indices is None else indices
    return model.outputs(ROWS, indices, frozenset(needs), seed=seed, device=CPU)


def torch_model(module=None, **options):
    return TorchModel(module or partial(default_net, (5,), 0), config=CONFIG, device="cpu", mc_samples=6, **options)


class Flat(MLP):
    """One output per point, without an axis for it."""

    def forward(self, x):
        return super().forward(x)[:, 0]


@pytest.mark.parametrize("module", [None, lambda: MLP(5, 0), lambda: Flat(5, 0)])
def test_a_module_with_one_output_predicts_targets_in_their_units(module):
    model = fitted(torch_model(module))
    assert model.provides >= {"means", "mc_means", "embeddings", "inputs"} and "log_probs" not in model.provides
    out = outputs(model, "means", "mc_means", "embeddings", "inputs")
    assert out.means.shape == (60,) and out.mc_means.shape == (60, 6) and out.inputs.shape == (60, 5)
    assert out.means.dtype == torch.float32
    assert float((out.means - TARGETS).square().mean()) < 0.2 * float(TARGETS.var())
    assert torch.equal(model.predict_means(ROWS, torch.arange(60)), out.means)
    check_outputs(out, 60, 0, "pool")
    with torch.no_grad():
        raw = model.module(out.inputs).flatten().double() * TARGETS[LABELED].std(correction=0) + TARGETS[LABELED].mean()
    torch.testing.assert_close(out.means, raw.float())


def test_a_regression_does_not_depend_on_the_units_of_its_targets():
    a = outputs(fitted(torch_model()), "means").means
    b = outputs(fitted(torch_model(), TARGETS * 1024 - 5), "means").means
    torch.testing.assert_close(b, a * 1024 - 5, rtol=1e-4, atol=1.0)


def test_samples_are_one_function_each_whatever_the_chunks(monkeypatch):
    model = fitted(torch_model())
    whole = outputs(model, "mc_means").mc_means
    monkeypatch.setattr("autoal.models.torch_adapter.CHUNK_BYTES", 10_000)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    # Rows of a matrix product may round differently in another company, by 1e-6 of their size.
    torch.testing.assert_close(outputs(model, "mc_means", indices=order).mc_means, whole[order], rtol=1e-6, atol=1e-3)


def test_constant_targets_are_learnt():
    means = outputs(fitted(torch_model(), torch.full_like(TARGETS, 7.0)), "means").means
    torch.testing.assert_close(means, torch.full((60,), 7.0), atol=0.5, rtol=0)
    assert TargetScale.of(torch.tensor([7.0])) == TargetScale(7.0, 1.0)


def test_without_fitting_a_module_predicts_as_it_is():
    net = nn.Linear(5, 1)
    model = fitted(TorchModel(net, fit=False, device="cpu"))
    with torch.no_grad():
        torch.testing.assert_close(outputs(model, "means").means, net(torch.from_numpy(X).float())[:, 0])


FORESTS = {
    "forest": RandomForestRegressor(8, max_depth=4),
    "extra trees": ExtraTreesRegressor(8, max_depth=4),
    "bagging": BaggingRegressor(Ridge(), 5, max_features=0.8),
    "voting": VotingRegressor([("a", Ridge()), ("b", LinearRegression())]),
    "pipeline": make_pipeline(StandardScaler(), RandomForestRegressor(6)),
}


@pytest.mark.parametrize("name", FORESTS)
def test_members_of_a_forest_are_samples(name):
    model = fitted(SklearnModel(FORESTS[name]))
    out = outputs(model, "means", "mc_means", "embeddings", "inputs")
    np.testing.assert_allclose(out.means, model.fitted.predict(X), rtol=1e-6)
    torch.testing.assert_close(out.mc_means.mean(1), out.means, rtol=1e-5, atol=1e-3)
    assert torch.equal(model.predict_means(ROWS, LABELED), out.means[LABELED])
    np.testing.assert_allclose(out.inputs, (X - X.mean(0)) / X.std(0), atol=1e-4)


def test_the_hidden_layer_of_a_scikit_learn_network_gives_embeddings():
    model = fitted(SklearnModel(MLPRegressor(hidden_layer_sizes=(7, 4), solver="lbfgs", max_iter=50)))
    out = outputs(model, "means", "embeddings")
    head = out.embeddings.numpy() @ model.fitted.coefs_[-1] + model.fitted.intercepts_[-1]
    np.testing.assert_allclose(head[:, 0], out.means, rtol=1e-4)


def test_precomputed_means_stand_alone_or_beside_a_model():
    samples = np.random.RandomState(1).randn(60, 4)
    model = fitted(as_adapter(None, (5,), 0, means=TARGETS.numpy(), mc_means=samples))
    assert isinstance(model, PrecomputedModel) and model.provides == {"means", "mc_means"}
    torch.testing.assert_close(outputs(model, "means").means, TARGETS.float())
    assert outputs(model, "mc_means").mc_means.shape == (60, 4)
    beside = fitted(as_adapter(Ridge(), (5,), 0, mc_means=samples))
    assert isinstance(beside, OverlaidModel) and {"means", "mc_means"} <= beside.provides
    np.testing.assert_allclose(beside.predict_means(ROWS, LABELED), beside.model.fitted.predict(X)[:40], rtol=1e-6)


@pytest.mark.parametrize(
    ("model", "num_classes", "labels", "words"),
    [
        (LogisticRegression(), 0, TARGETS, "a classifier; wanted classes"),
        (Ridge(), 3, torch.arange(60) % 3, "a regressor; wanted targets"),
        (MLP(5, 3), 0, TARGETS, "one output in a regression"),
        (MLP(5, 0), 3, torch.arange(60) % 3, "one output for each class"),
        (MLP(5, 3), 3, TARGETS, "num_classes=0"),
        (MLP(5, 0), 0, TARGETS * float("nan"), "finite"),
        (PrecomputedModel(means=TARGETS), 3, torch.arange(60) % 3, "means belong to a regression"),
        (PrecomputedModel(probs=np.full((60, 2), 0.5)), 0, TARGETS, "wanted means"),
    ],
)
def test_a_model_of_the_other_task_is_refused(model, num_classes, labels, words):
    adapter = as_adapter(model, (5,), num_classes, device="cpu", config=CONFIG)
    with pytest.raises(InvalidInput, match=words):
        adapter.fit(ROWS, LABELED, labels[LABELED], num_classes, seed=0)


def test_outputs_of_the_other_task_are_refused():
    with pytest.raises(MissingOutput, match="log_probs"):
        outputs(fitted(SklearnModel(Ridge())), "log_probs")
    with pytest.raises(MissingOutput, match="log_probs"):
        outputs(fitted(torch_model()), "log_probs")
    ones = torch.ones(3)
    for found, num_classes, words in (
        (ModelOutputs(means=ones), 2, "belongs to a regression"),
        (ModelOutputs(log_probs=ones[:, None]), 0, "wanted means"),
        (ModelOutputs(means=ones[:2]), 0, "wanted 3 rows"),
        (ModelOutputs(means=ones[:, None]), 0, "wanted 1 axes"),
        (ModelOutputs(means=ones * float("inf")), 0, "infinite for 3 of 3"),
    ):
        with pytest.raises(InvalidInput, match=words):
            check_outputs(found, 3, num_classes, "pool")
