"""The last layer fitted for models without one: its outputs against closed forms."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge

from autoal.data import as_rows
from autoal.models import SklearnModel
from autoal.models.head import HEAD_FIELDS, Head
from autoal.outputs import check_outputs

CPU = torch.device("cpu")
X = np.random.RandomState(0).randn(60, 4)
ROWS = as_rows(X)
Y = torch.from_numpy((X[:, 0] + 0.5 * X[:, 2] > 0).astype(np.int64) + (X[:, 1] > 0.7))
TARGETS = torch.from_numpy(3.0 * X[:, 0] - 2.0 + 0.1 * X[:, 1] ** 2)
LABELED, EVERY = torch.arange(40), torch.arange(60)


def fitted(estimator, classes=3):
    model = SklearnModel(estimator)
    model.fit(ROWS, LABELED, (Y if classes else TARGETS)[LABELED], classes, seed=0)
    return model


def outputs(model, needs, indices=EVERY, seed=1):
    return model.outputs(ROWS, indices, frozenset(needs), seed=seed, device=CPU)


@pytest.mark.parametrize(
    ("estimator", "classes"), [(LogisticRegression(), 3), (Ridge(), 0), (RandomForestClassifier(9), 3)]
)
def test_every_field_there_is_whatever_the_chunks(estimator, classes, monkeypatch):
    model = fitted(estimator, classes)
    out = outputs(model, model.provides)
    check_outputs(out, 60, classes, "pool")
    assert out.present() == model.provides
    monkeypatch.setattr("autoal.compute.CHUNK_BYTES", 5000)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(3))
    again = outputs(model, model.provides, order)
    for name in model.provides:
        torch.testing.assert_close(again.require(name), out.require(name)[order], rtol=1e-4, atol=1e-5)


def test_the_layer_is_where_the_penalised_loss_is_flat():
    torch.manual_seed(0)
    h = torch.randn(50, 4)
    y = torch.randint(0, 3, (50,), generator=torch.Generator().manual_seed(1))
    head = Head(h, y, 3, mc_samples=2)
    logits = head.outputs(h, frozenset({"logits"}), seed=0)["logits"].double()
    missing = torch.nn.functional.one_hot(y, 3) - logits.softmax(1)
    inputs = torch.cat([h, torch.ones(50, 1)], dim=1).double()
    torch.testing.assert_close(missing.T @ inputs, head._posterior.prior * head._posterior.mean, atol=2e-3, rtol=0)


def test_gradient_norms_have_a_closed_form():
    out = outputs(fitted(LogisticRegression()), {"gradient_norms", "logits", "embeddings"})
    p, sizes = out.logits.softmax(1), out.embeddings.norm(dim=1) + 1  # weight and bias are two tensors
    expected = sum(p[:, c] * (torch.eye(3)[c] - p).norm(dim=1) for c in range(3)) * sizes
    torch.testing.assert_close(out.gradient_norms[:, 1], expected, rtol=1e-4, atol=1e-6)
    entropy = -(p * p.log()).sum(1, keepdim=True)
    torch.testing.assert_close(
        out.gradient_norms[:, 0], (p * (p.log() + entropy)).norm(dim=1) * sizes, rtol=1e-3, atol=1e-5
    )


def test_inner_products_of_sketches_are_those_of_the_gradients_on_average():
    model = fitted(LogisticRegression())
    out = outputs(model, {"logits", "embeddings"})
    inputs = torch.cat([out.embeddings, torch.ones(60, 1)], dim=1)
    slopes = out.logits.softmax(1) - torch.nn.functional.one_hot(out.logits.argmax(1), 3)
    kernel = (inputs @ inputs.T) * (slopes @ slopes.T)
    sketches = [outputs(model, {"gradients"}, seed=seed).gradients for seed in range(40)]
    mean = torch.stack([g @ g.T for g in sketches]).mean(0)
    assert float((mean - kernel).norm() / kernel.norm()) < 0.03


def test_a_regression_has_gradients_in_units_of_the_targets():
    needs = {"gradients", "embeddings"}
    out = outputs(fitted(Ridge(), 0), needs)
    larger = SklearnModel(Ridge())
    larger.fit(ROWS, LABELED, 10 * TARGETS[LABELED], 0, seed=0)
    torch.testing.assert_close(outputs(larger, needs).gradients, 10 * out.gradients, rtol=1e-4, atol=1e-5)
    assert HEAD_FIELDS - larger.provides == {"logits", "gradient_norms", "deviations"}
