"""Outputs computed elsewhere, and the one function that turns anything into a model."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from autoal.data import as_rows
from autoal.errors import InvalidInput, MissingOutput
from autoal.models import (
    MLP,
    ModelAdapter,
    OverlaidModel,
    PrecomputedModel,
    SklearnModel,
    SmallCNN,
    TorchModel,
    TrainConfig,
    as_adapter,
)
from autoal.models.standardise import column_moments

CPU = torch.device("cpu")
ROWS = as_rows(np.random.RandomState(0).randn(6, 4))
LABELS = torch.tensor([0, 1, 2])
PROBS = np.random.RandomState(1).dirichlet(np.ones(3), size=6)
MC = np.random.RandomState(2).dirichlet(np.ones(3), size=(6, 5))
EMBEDDINGS = np.random.RandomState(3).randn(6, 7)
QUICK = TrainConfig(epochs=1, min_steps=0)


def outputs(model, needs=None, indices=(4, 0, 4)):
    needs = model.provides if needs is None else frozenset(needs)
    return model.outputs(ROWS, torch.tensor(indices), needs, seed=0, device=CPU)


def test_the_asked_rows_of_the_arrays():
    model = PrecomputedModel(PROBS, torch.from_numpy(EMBEDDINGS), MC)
    model.fit(ROWS, torch.arange(3), LABELS, 3, seed=0)
    out = outputs(model)
    np.testing.assert_allclose(out.log_probs.exp(), PROBS[[4, 0, 4]], atol=1e-6)
    np.testing.assert_allclose(out.mc_log_probs.exp(), MC[[4, 0, 4]], atol=1e-6)
    np.testing.assert_allclose(out.embeddings, EMBEDDINGS[[4, 0, 4]], atol=1e-6)
    np.testing.assert_allclose(model.predict_log_probs(ROWS, torch.tensor([2])).exp(), PROBS[[2]], atol=1e-6)


def test_only_what_was_given_is_provided():
    assert PrecomputedModel(PROBS).provides == {"log_probs"}
    model = PrecomputedModel(embeddings=EMBEDDINGS)
    assert model.provides == {"embeddings"}
    with pytest.raises(MissingOutput, match="log_probs"):
        outputs(model, {"log_probs"})


def test_rounded_probabilities_are_made_whole_and_zeros_stay_finite():
    probs = np.array([[1, 0, 0], [0.3333, 0.3333, 0.3333]] * 3)
    out = outputs(PrecomputedModel(probs))
    torch.testing.assert_close(out.log_probs.exp().sum(1), torch.ones(3))
    assert bool(out.log_probs.isfinite().all())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "no outputs"),
        ({"probs": np.log(PROBS)}, "softmax"),
        ({"probs": PROBS * 1.01}, "sums to 1.01"),
        ({"probs": PROBS[:, 0]}, r"\(n, C\)"),
        ({"probs": np.full((6, 3), np.nan)}, "NaN or infinite values in 6 of 6"),
        ({"mc_probs": PROBS}, r"\(n, K, C\)"),
        ({"mc_probs": MC * 2}, "softmax"),
        ({"embeddings": np.full((6, 2), np.inf)}, "infinite"),
        ({"embeddings": np.array([["a"]])}, r"\(n, D\)"),
        ({"probs": PROBS, "embeddings": EMBEDDINGS[:5]}, "differ in length"),
    ],
)
def test_what_is_no_output_is_refused(arguments, words):
    with pytest.raises(InvalidInput, match=words):
        PrecomputedModel(**arguments)


def test_lengths_and_classes_must_be_those_of_the_data():
    with pytest.raises(InvalidInput, match="5 rows, the data 6"):
        PrecomputedModel(PROBS[:5]).fit(ROWS, torch.arange(3), LABELS, 3, seed=0)
    with pytest.raises(InvalidInput, match="3 columns, but there are 4 classes"):
        PrecomputedModel(PROBS).fit(ROWS, torch.arange(3), LABELS, 4, seed=0)


def test_overlaid_outputs_take_the_place_of_the_models():
    model = OverlaidModel(SklearnModel(LogisticRegression()), PrecomputedModel(embeddings=EMBEDDINGS))
    model.fit(ROWS, torch.arange(3), LABELS, 3, seed=0)
    out = outputs(model)
    np.testing.assert_allclose(out.embeddings, EMBEDDINGS[[4, 0, 4]], atol=1e-6)
    assert torch.equal(out.log_probs, model.model.predict_log_probs(ROWS, torch.tensor([4, 0, 4])))
    assert outputs(model, {"embeddings"}).present() == {"embeddings"}
    assert torch.equal(model.predict_log_probs(ROWS, torch.tensor([1])), outputs(model, None, (1,)).log_probs)


class Foreign:
    provides = frozenset({"log_probs"})

    def fit(self, rows, indices, labels, num_classes, *, seed): ...

    def outputs(self, rows, indices, needs, *, seed, device): ...

    def predict_log_probs(self, rows, indices): ...


def test_anything_a_user_calls_a_model_becomes_an_adapter():
    def net(row_shape, num_classes):
        return MLP(row_shape[0], num_classes)

    for model, kind in (
        (None, TorchModel),
        (MLP(4, 3), TorchModel),
        (lambda: MLP(4, 3), TorchModel),
        (net, TorchModel),
        (LogisticRegression(), SklearnModel),
        (RandomForestClassifier(3), SklearnModel),
        (SklearnModel(LogisticRegression()), SklearnModel),
        (TorchModel(MLP(4, 3)), TorchModel),
    ):
        adapter = as_adapter(model, (4,), 3, device="cpu", config=QUICK)
        assert isinstance(adapter, kind) and isinstance(adapter, ModelAdapter)
        adapter.fit(ROWS, torch.arange(3), LABELS, 3, seed=0)
        assert outputs(adapter, {"log_probs"}).log_probs.shape == (3, 3)
    foreign = Foreign()
    assert as_adapter(foreign, (4,), 3) is foreign
    images = as_adapter(None, (3, 16, 16), 3, mc_samples=4)
    assert images.mc_samples == 4 and isinstance(images._example(), SmallCNN)


def test_precomputed_outputs_stand_alone_or_beside_a_model():
    assert isinstance(as_adapter(None, (4,), 3, probs=PROBS), PrecomputedModel)
    beside = as_adapter(None, (4,), 3, embeddings=EMBEDDINGS, config=QUICK, device="cpu")
    assert isinstance(beside, OverlaidModel) and isinstance(beside.model, TorchModel)
    assert isinstance(as_adapter(LogisticRegression(), (4,), 3, mc_probs=MC).model, SklearnModel)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("resnet", "type str"),
        (3, "type int"),
        (LogisticRegression, r"LogisticRegression\(\)"),
        (KMeans(), "BaggingClassifier"),
        (lambda a, b, c: None, "requires"),
    ],
)
def test_what_is_no_model_is_refused(model, words):
    with pytest.raises(InvalidInput, match=words):
        as_adapter(model, (4,), 3)


def test_moments_are_right_and_do_not_depend_on_order_or_chunks():
    x = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0)).double() * torch.tensor([1.0, 100.0, 0.0]) + 5
    mean, std = column_moments(lambda: [x])
    torch.testing.assert_close(mean, x.mean(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(std, x.std(0, unbiased=False), rtol=1e-4, atol=1e-4)
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(1))
    shuffled = column_moments(lambda: x[order].split(17))
    assert torch.equal(mean, shuffled[0]) and torch.equal(std, shuffled[1])
