"""scikit-learn estimators as models."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from autoal.data import as_rows
from autoal.errors import InvalidInput, MissingOutput, NotFitted
from autoal.models import SklearnModel

CPU = torch.device("cpu")
BASE = frozenset({"log_probs", "embeddings"})
ALL = BASE | {"mc_log_probs"}
GENERATOR = np.random.RandomState(0)
Y = np.arange(60) % 3
X = GENERATOR.randn(60, 5) + Y[:, None]
LABELED = torch.arange(30)
TREE = DecisionTreeClassifier(max_depth=3)

ESTIMATORS = {
    "logistic": LogisticRegression(),
    "bayes": GaussianNB(),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
    "mlp": MLPClassifier((7, 4), max_iter=20, solver="lbfgs"),
    "scaled mlp": make_pipeline(StandardScaler(), MLPClassifier((4,), activation="tanh", max_iter=20, solver="lbfgs")),
    "boosting": GradientBoostingClassifier(n_estimators=3),
    "forest": RandomForestClassifier(8, max_depth=3),
    "extra trees": ExtraTreesClassifier(5),
    "bagging": BaggingClassifier(TREE, 6, max_features=0.6, max_samples=4),
    "bagged pipeline": make_pipeline(StandardScaler(), BaggingClassifier(GaussianNB(), 4)),
    "voting": VotingClassifier([("a", GaussianNB()), ("b", TREE), ("c", LogisticRegression())], voting="soft"),
}
WITH_SAMPLES = {"forest", "extra trees", "bagging", "bagged pipeline", "voting"}


def fitted(name, X=X, y=Y, num_classes=3, seed=0):
    model = SklearnModel(ESTIMATORS[name] if isinstance(name, str) else name)
    rows = as_rows(X)
    model.fit(rows, LABELED, torch.from_numpy(np.asarray(y))[LABELED], num_classes, seed=seed)
    return model, rows


def everything(model, rows, indices=None):
    indices = torch.arange(len(rows)) if indices is None else indices
    return model.outputs(rows, indices, model.provides & ALL, seed=1, device=CPU)


pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("name", ESTIMATORS)
def test_outputs_are_probabilities_and_repeat(name):
    model, rows = fitted(name)
    assert model.provides >= ALL and (model._sampler() == "members") == (name in WITH_SAMPLES)
    assert not model.provides & {"means", "mc_means"}
    out = everything(model, rows)
    torch.testing.assert_close(out.log_probs.exp().sum(1), torch.ones(60))
    np.testing.assert_allclose(out.log_probs.exp(), model.fitted.predict_proba(X), atol=1e-6)
    assert out.embeddings.shape[0] == 60 and bool(out.embeddings.isfinite().all())
    assert all(out.require(field).dtype == torch.float32 for field in out.present())
    assert torch.equal(model.predict_log_probs(rows, torch.arange(60)), out.log_probs)
    np.random.rand(7), torch.rand(3)
    state = np.random.get_state()[1].copy()
    again = everything(fitted(name)[0], rows)
    assert (state == np.random.get_state()[1]).all()
    assert all(torch.equal(out.require(field), again.require(field)) for field in out.present())
    if name in WITH_SAMPLES:
        torch.testing.assert_close(out.mc_log_probs.exp().sum(2), torch.ones(out.mc_log_probs.shape[:2]))
        torch.testing.assert_close(out.mc_log_probs.exp().mean(1), out.log_probs.exp(), atol=1e-5, rtol=1e-4)
    else:
        assert "mc_log_probs" not in SklearnModel(ESTIMATORS[name], posterior="members").provides


@pytest.mark.parametrize("name", ESTIMATORS)
def test_outputs_do_not_depend_on_chunks_or_order(name, monkeypatch):
    model, rows = fitted(name)
    whole = everything(model, rows)
    monkeypatch.setattr("autoal.compute.CHUNK_BYTES", 2000)
    picks = torch.tensor([50, 2, 2, 17])
    for indices in (picks, torch.arange(60).flip(0)):
        part = everything(model, rows, indices)
        for field in part.present():
            torch.testing.assert_close(part.require(field), whole.require(field)[indices], rtol=1e-5, atol=1e-6)


def test_the_estimator_itself_is_not_fitted():
    estimator = LogisticRegression(random_state=3)
    fitted(estimator)
    assert not hasattr(estimator, "coef_") and estimator.random_state == 3


def test_every_random_state_is_set_from_the_seed():
    a, _ = fitted(make_pipeline(StandardScaler(), RandomForestClassifier(5)), seed=1)
    b, rows = fitted(make_pipeline(StandardScaler(), RandomForestClassifier(5)), seed=2)
    assert a.fitted[-1].random_state != b.fitted[-1].random_state
    assert not torch.equal(everything(a, rows).log_probs, everything(b, rows).log_probs)


@pytest.mark.parametrize("name", ["logistic", "forest", "bagging", "bagged pipeline", "voting", "scaled mlp"])
def test_classes_without_labels_get_a_tiny_probability(name):
    model, rows = fitted(name, y=np.array([1, 3])[Y % 2], num_classes=5)
    out = everything(model, rows)
    fields = {"log_probs", "mc_log_probs"} if name in WITH_SAMPLES else {"log_probs"}  # a drawn layer is not so sure
    for field in fields:
        values = out.require(field)
        assert values.shape[-1] == 5
        assert bool((values[..., [0, 2, 4]] < -27).all()) and bool(values.isfinite().all())
        torch.testing.assert_close(values.exp()[..., [1, 3]].sum(-1), torch.ones(values.shape[:-1]))


def test_members_that_saw_few_classes_are_put_in_their_columns():
    model, rows = fitted(BaggingClassifier(KNeighborsClassifier(1), 12, max_samples=2))
    assert any(len(member.classes_) < 3 for member in model.fitted.estimators_)
    assert everything(model, rows).mc_log_probs.shape == (60, 12, 3)


def test_embeddings_are_standardised_inputs_hidden_units_or_what_the_last_step_sees():
    standard = (X - X.mean(0)) / X.std(0)
    for name in ("logistic", "pipeline"):
        np.testing.assert_allclose(everything(*fitted(name)).embeddings, standard, atol=2e-4)
    model, rows = fitted("mlp")
    hidden = everything(model, rows).embeddings
    net = model.fitted
    assert hidden.shape == (60, 4)
    logits = hidden.numpy() @ net.coefs_[-1] + net.intercepts_[-1]
    np.testing.assert_allclose(torch.from_numpy(logits).softmax(1), everything(model, rows).log_probs.exp(), atol=1e-4)


def test_embeddings_follow_the_rows_when_they_are_permuted():
    order = np.random.RandomState(4).permutation(60)
    back = torch.from_numpy(np.argsort(order))
    model, rows = fitted("logistic")
    other = SklearnModel(LogisticRegression())
    there = as_rows(X[order])
    other.fit(there, back[LABELED], torch.from_numpy(Y)[LABELED], 3, seed=0)
    a, b = everything(model, rows), everything(other, there, back)
    assert torch.equal(a.embeddings, b.embeddings) and torch.equal(a.log_probs, b.log_probs)


def test_sparse_rows_stay_sparse_and_are_reduced_for_embeddings():
    wide = sparse.random(60, 300, density=0.1, format="csr", random_state=0)
    seen = []

    class Watching(LogisticRegression):
        def fit(self, X, y):
            seen.append(sparse.issparse(X))
            return super().fit(X, y)

    model, rows = fitted(Watching(), X=wide)
    assert seen == [True]
    assert everything(model, rows).embeddings.shape == (60, 59)
    narrow, rows = fitted(LogisticRegression(), X=wide[:, :1])
    assert everything(narrow, rows).embeddings.shape == (60, 1)


def test_images_are_flattened():
    images = (np.abs(X[:, :4]).reshape(60, 2, 2) * 20).astype(np.uint8)
    model, rows = fitted("logistic", X=images)
    assert model.fitted.n_features_in_ == 4 and everything(model, rows).embeddings.shape == (60, 4)


def test_a_column_transformer_gets_the_frame():
    frame = pd.DataFrame({"a": X[:, 0], "c": np.array(["x", "y", "z"])[Y]})
    pipeline = make_pipeline(ColumnTransformer([("c", OneHotEncoder(), ["c"])]), LogisticRegression())
    model, rows = fitted(pipeline, X=frame)
    assert bool((everything(model, rows).log_probs.argmax(1).numpy() == Y).all())
    assert everything(model, rows).embeddings.shape == (60, 3)


def test_a_skorch_net_gets_float32_rows_in_their_own_shape():
    class Net(LogisticRegression):
        __module__ = "skorch.classifier"

        def fit(self, X, y):
            assert X.dtype == np.float32 and X.shape[1:] == (1, 2, 2)
            return super().fit(X.reshape(len(X), -1), y)

        def predict_proba(self, X):
            return super().predict_proba(X.reshape(len(X), -1))

    images = np.abs(X[:, :4]).reshape(60, 2, 2)
    model, rows = fitted(Net(), X=images)
    assert everything(model, rows).embeddings.shape == (60, 4)


def test_estimators_that_cannot_serve_are_refused_with_what_to_do():
    with pytest.raises(InvalidInput, match="BaggingClassifier"):
        SklearnModel(KMeans())
    with pytest.raises(NotFitted):
        SklearnModel(GaussianNB()).predict_log_probs(as_rows(X), LABELED)
    with pytest.raises(InvalidInput, match="fit fails on 30 rows of 1 classes"):
        fitted("logistic", y=np.zeros(60, dtype=int))
    with pytest.raises(InvalidInput, match="predict_proba fails"):
        model, rows = fitted(KNeighborsClassifier(50))
        everything(model, rows)
    with pytest.raises(MissingOutput, match="greedy_log_probs"):
        model, rows = fitted("bayes")
        model.outputs(rows, LABELED, ALL | {"greedy_log_probs"}, seed=0, device=CPU)
    with pytest.raises(InvalidInput, match="posterior="):
        SklearnModel(GaussianNB(), posterior="dropout")
