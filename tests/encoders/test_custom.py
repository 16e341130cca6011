"""The user's own encoder is used as it is meant, left alone, and its result is checked."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.manifold import TSNE
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from autoal.encoders import check_encoder, fit_encoder, load_encoder
from autoal.errors import InvalidInput

TEXTS = [f"leaf {i % 5} of tree {'abcdefg'[i % 7] * 3}" for i in range(40)]
NUMBERS = np.random.RandomState(0).randn(40, 6)


class Sentences:
    def encode(self, texts):
        assert type(texts) is list and all(type(text) is str for text in texts)
        return [torch.tensor([float(len(text)), 1.0], requires_grad=True) for text in texts]


class Learner:
    """A transformer outside scikit-learn's rules."""

    def __init__(self, width):
        self._width = width
        self.fits = 0

    def fit(self, rows):
        self.fits += 1
        return self

    def transform(self, rows):
        assert self.fits == 1
        return np.zeros((len(rows), self._width))


class OnlyTransform:
    def transform(self, rows):
        return np.asarray(rows)[:, :2]


def encode(kind, rows, encoder):
    made = fit_encoder(kind, rows, encoder).transform(rows)
    assert made.dtype == np.float32 and np.isfinite(made).all() and made.shape[0] == len(rows)
    return made


def test_a_transformer_is_cloned_and_fitted():
    scaler = StandardScaler()
    made = encode("numbers", NUMBERS, scaler)
    np.testing.assert_allclose(made.mean(axis=0), 0, atol=1e-6)
    assert not hasattr(scaler, "mean_")
    learner = Learner(3)
    assert encode("numbers", NUMBERS, learner).shape == (40, 3) and learner.fits == 0
    pipe = make_pipeline(TfidfVectorizer(), FunctionTransformer())
    assert encode("texts", TEXTS, pipe).shape[1] > 5 and not hasattr(pipe[0], "vocabulary_")


def test_a_fitted_transformer_is_used_as_it_is():
    scaler = StandardScaler().fit(NUMBERS + 5)
    encoder = fit_encoder("numbers", NUMBERS, scaler)
    np.testing.assert_allclose(encoder.transform(NUMBERS), scaler.transform(NUMBERS), atol=1e-5)
    assert "fitted before" in encoder.notes[0]
    pipe = make_pipeline(StandardScaler(), FunctionTransformer()).fit(NUMBERS + 5)
    np.testing.assert_allclose(encode("numbers", NUMBERS, pipe), scaler.transform(NUMBERS), atol=1e-5)
    frozen = pytest.importorskip("sklearn.frozen").FrozenEstimator(scaler)
    encoder = fit_encoder("numbers", NUMBERS, frozen)
    np.testing.assert_allclose(encoder.transform(NUMBERS), scaler.transform(NUMBERS), atol=1e-5)
    np.testing.assert_allclose(encode("numbers", NUMBERS, OnlyTransform()), NUMBERS[:, :2], atol=1e-6)
    assert not fit_encoder("texts", TEXTS, HashingVectorizer(n_features=8)).notes


def test_encode_gets_a_list_of_str():
    for rows in (TEXTS, np.array(TEXTS), pd.Series([None, *TEXTS[1:]]), pd.DataFrame({"a": TEXTS})):
        assert encode("texts", rows, Sentences()).shape == (40, 2)
    assert encode("table", pd.DataFrame({"a": TEXTS}), Sentences()).shape == (40, 2)
    with pytest.raises(InvalidInput, match="2 columns"):
        fit_encoder("table", pd.DataFrame({"a": TEXTS, "b": TEXTS}), Sentences())


def test_a_function_gets_the_rows_in_their_container():
    frame = pd.DataFrame({"a": range(40), "text": TEXTS})
    seen = []

    def encoder(rows):
        seen.append(type(rows))
        return rows[["a"]]

    np.testing.assert_array_equal(encode("table", frame, encoder)[:, 0], np.arange(40))
    assert set(seen) == {pd.DataFrame}
    columns = make_column_transformer((TfidfVectorizer(), "text"), ("passthrough", ["a"]))
    assert encode("table", frame, columns).shape[1] > 5
    assert encode("any", [{"x": 1.0}, {"x": 2.0}], lambda rows: [[row["x"]] for row in rows]).tolist() == [[1], [2]]
    assert encode("pictures", np.zeros((3, 4, 4)), lambda rows: torch.ones(3, 2, dtype=torch.bfloat16)).shape == (3, 2)


def test_sparse_and_wide_results_are_reduced():
    assert encode("texts", TEXTS, TfidfVectorizer()).shape == (40, 10)
    wide = fit_encoder("numbers", NUMBERS, lambda rows: np.tile(rows, 300))
    assert wide.transform(NUMBERS).shape == (40, 6) and "1800 columns" in wide.notes[0]
    hashed = fit_encoder("texts", TEXTS, HashingVectorizer(n_features=4096))
    made = hashed.transform(TEXTS[:7])
    np.testing.assert_allclose(
        np.linalg.norm(made[0] - made[1]),
        sparse.linalg.norm(hashed._encoder.transform(TEXTS[:1]) - hashed._encoder.transform(TEXTS[1:2])),
        rtol=1e-3,
    )
    many = sparse.random_array((1500, 2000), density=0.01, rng=np.random.default_rng(0), format="csr")
    assert fit_encoder("any", many, lambda rows: rows).transform(many[:3]).shape == (3, 256)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (lambda rows: np.zeros(len(rows)), r"\(40,\).*reshape"),
        (lambda rows: np.zeros((len(rows), 2, 2)), r"\(40, 2, 2\)"),
        (lambda rows: np.zeros((3, 2)), r"\(3, 2\); wanted .*\(40, D\)"),
        (lambda rows: np.zeros((len(rows), 0)), r"\(40, 0\)"),
        (lambda rows: np.full((len(rows), 2), np.nan), "80 value"),
        (lambda rows: np.full((len(rows), 1), 1e300), "beyond float32"),
        (lambda rows: sparse.csr_matrix(np.full((len(rows), 1), np.inf)), "infinite"),
        (lambda rows: np.zeros((len(rows), 2), complex), "complex"),
        (lambda rows: [["a"]] * len(rows), "dtype"),
        (lambda rows: [[1], [1, 2]] * 20, "no array"),
        (lambda rows: None, "shape|array"),
        (lambda rows: 1 / 0, "ZeroDivisionError: division by zero"),
        (PCA(100), "PCA cannot be fitted.*n_components=100"),
    ],
)
def test_bad_results_are_refused_with_the_reason(result, words):
    with pytest.raises(InvalidInput, match=words):
        fit_encoder("numbers", NUMBERS, result)


def test_the_number_of_columns_may_not_change():
    encoder = fit_encoder("numbers", NUMBERS, lambda rows: np.zeros((len(rows), len(rows))))
    with pytest.raises(InvalidInput, match="gave 3 columns, and 40 before"):
        encoder.transform(NUMBERS[:3])


def test_chance_inside_an_encoder_is_fixed_and_leaves_no_trace():
    def encoder(rows):
        return np.random.rand(len(rows), 2) + torch.rand(len(rows), 2).numpy()

    np.random.seed(7)
    first = encode("numbers", NUMBERS, encoder)
    drawn = np.random.rand()
    np.testing.assert_array_equal(encode("numbers", NUMBERS, encoder), first)
    np.random.seed(7)
    assert np.random.rand() == drawn


def test_what_is_no_encoder_is_refused_at_the_door():
    for encoder, words in [
        (StandardScaler, r"StandardScaler\(\)"),
        ("all-MiniLM", "not its name"),
        (5, "got int"),
        (np.zeros(3), "got ndarray"),
        (TSNE(), "no transform"),
        (BaseEstimator(), "wanted a scikit-learn transformer"),
    ]:
        with pytest.raises(InvalidInput, match=words):
            check_encoder(encoder)
    for encoder in (None, StandardScaler(), Sentences(), len, torch.nn.Linear(2, 2), clone(PCA())):
        check_encoder(encoder)


MODULE = """
import numpy as np
class Own:
    def encode(self, texts):
        return np.array([[len(text)] for text in texts])
class Needs:
    def __init__(self, path):
        pass
def function(rows):
    return np.zeros((len(rows), 1))
class Holder:
    inner = Own()
value = 3
"""


def test_load_encoder(tmp_path, monkeypatch):
    (tmp_path / "own_encoders.py").write_text(MODULE)
    (tmp_path / "broken_encoder.py").write_text("import not_there_at_all")
    monkeypatch.chdir(tmp_path)
    assert encode("texts", TEXTS, load_encoder("own_encoders:Own")).shape == (40, 1)
    assert load_encoder("own_encoders.function").__name__ == "function"
    assert type(load_encoder("own_encoders:Holder.inner")).__name__ == "Own"
    assert isinstance(load_encoder("sklearn.preprocessing.StandardScaler"), StandardScaler)
    for path, words in [
        ("own_encoders:missing", "has no 'missing'"),
        ("own_encoders:Needs", "without arguments"),
        ("own_encoders:value", "got int"),
        ("own_encoders", "import path such as"),
        ("sklearn.preprocessing", "module"),
        ("not_there:x", "cannot be imported"),
        ("broken_encoder:x", "not_there_at_all"),
        (":x", "import path"),
    ]:
        with pytest.raises(InvalidInput, match=words):
            load_encoder(path)
