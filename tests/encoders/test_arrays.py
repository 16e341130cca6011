"""Texts, pictures and numbers as rows for distances."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from autoal.encoders import fit_encoder
from autoal.encoders.reduction import Reduction
from autoal.errors import InvalidInput

RNG = np.random.RandomState(0)
WORDS = "cat dog house tree leaf red green runs sleeps over under big small moon sun rain".split()
TEXTS = [" ".join(RNG.choice(WORDS, 9)) for _ in range(60)]


def encode(kind, rows):
    made = fit_encoder(kind, rows).transform(rows)
    assert made.dtype == np.float32 and np.isfinite(made).all() and made.ndim == 2
    return made


def distances(made):
    return np.linalg.norm(made[:, None].astype(np.float64) - made[None], axis=2)


def test_texts_come_in_any_container():
    wanted = encode("texts", TEXTS)
    assert wanted.shape == (60, 59)
    np.testing.assert_allclose(np.square(wanted).sum(axis=1).mean(), wanted.shape[1], rtol=1e-4)
    containers = [
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object)[:, None],
        pd.Series(TEXTS, index=[3] * 60),
        pd.Series(TEXTS, dtype="string"),
        pd.Series(TEXTS, dtype="category"),
        pd.DataFrame({"text": TEXTS}),
    ]
    try:
        import polars
    except ImportError:
        pass
    else:
        containers += [polars.Series(TEXTS), polars.DataFrame({"text": TEXTS})]
    for rows in containers:
        np.testing.assert_array_equal(encode("texts", rows), wanted)


def test_similar_texts_are_near_and_spelling_counts_little():
    texts = ["the cat sleeps in the house", "the cats are sleeping in a house", "stocks fell on monday", "stock fell"]
    found = distances(encode("texts", texts + TEXTS))
    assert found[0, 1] < found[0, 2] and found[2, 3] < found[2, 0]


def test_unspaced_scripts():
    texts = ["我喜欢吃苹果和香蕉", "他喜欢吃苹果和橙子", "股市周一下跌了很多", "股市周二上涨了很多"]
    found = distances(encode("texts", texts))
    assert found[0, 1] < found[0, 2] and found[2, 3] < found[1, 3]


@pytest.mark.parametrize("n", [2, 3, 4, 10])
def test_few_texts_keep_all_differences(n):
    assert len(np.unique(encode("texts", TEXTS[:n]), axis=0)) == n


def test_the_order_of_texts_changes_nothing():
    many = [f"{text} {WORDS[i % 16]} {WORDS[i % 7]}" for i, text in enumerate(TEXTS * 20)]
    for texts in (TEXTS, many):
        order = np.random.RandomState(1).permutation(len(texts))
        made = encode("texts", [texts[i] for i in order])
        np.testing.assert_allclose(made, encode("texts", texts)[order], atol=1e-4)
    assert made.shape == (1200, 128)


def test_missing_texts_are_empty():
    texts = [None, float("nan"), pd.NA, "", *TEXTS]
    encoder = fit_encoder("texts", texts)
    made = encoder.transform(texts)
    assert (made[:4] == made[0]).all() and not encoder.notes
    np.testing.assert_array_equal(encoder.transform(["", "zzzz qqqq"])[0], made[0])
    assert encoder.transform([]).shape == (0, made.shape[1])


@pytest.mark.parametrize("texts", [["?"] * 30, [""] * 5, [None, None], ["same words here"] * 4, ["one"]])
def test_texts_without_a_difference(texts):
    encoder = fit_encoder("texts", texts)
    np.testing.assert_array_equal(encoder.transform(texts), np.zeros((len(texts), 1)))
    assert "cannot be told apart" in encoder.notes[0]
    assert np.isfinite(encoder.transform(["something else"])).all()


def test_texts_of_punctuation_and_single_letters():
    for texts in (["?", "!", "?!", "..."], ["a", "b", "c", "a"], ["?", "", "?", ""], ["1", "2", "3"]):
        assert len(np.unique(encode("texts", texts), axis=0)) == len(set(texts)), texts


def test_what_is_no_text_is_refused():
    for rows, words in [
        ([["a", "b"], ["c"]], "row 0"),
        (np.array([["a", "b"]]), r"\(1, 2\)"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), "2 columns"),
        ("one text", "list of texts"),
        (5, "counted"),
        ([], "without rows"),
    ]:
        with pytest.raises(InvalidInput, match=words):
            fit_encoder("texts", rows)


def blobs(n=40, shape=(8, 8), seed=0):
    r = np.random.RandomState(seed)
    return (r.rand(3, *shape)[np.arange(n) % 3] * 200 + r.rand(n, *shape) * 50).astype(np.uint8)


@pytest.mark.parametrize("shape", [(8, 8), (6, 7, 3), (3, 6, 7)])
def test_pictures(shape):
    pictures = blobs(shape=shape)
    made = encode("pictures", pictures)
    assert made.shape == (40, 39)
    np.testing.assert_allclose(np.square(made).sum(axis=1).mean(), 39, rtol=1e-3)
    assert (distances(made)[0, 3::3] < distances(made)[0, 1::3].min()).all()
    np.testing.assert_allclose(encode("pictures", (pictures / 255).astype(np.float32)), made, atol=2e-3)
    np.testing.assert_array_equal(encode("pictures", torch.from_numpy(pictures)), made)
    order = np.random.RandomState(1).permutation(40)
    np.testing.assert_allclose(encode("pictures", pictures[order]), made[order], atol=1e-3)


def test_pictures_in_chunks_and_with_gaps(monkeypatch):
    pictures = blobs(3000).astype(np.float64)
    pictures[0, 0, 0], pictures[1, 2, 3], pictures[:, 7, 7] = np.nan, np.inf, np.nan
    encoder = fit_encoder("pictures", pictures)
    made = encoder.transform(pictures)
    assert made.shape == (3000, 64) and np.isfinite(made).all()
    monkeypatch.setattr("autoal.encoders.pictures.CHUNK_BYTES", 4 * 64 * 7)
    np.testing.assert_allclose(encoder.transform(pictures), made, atol=1e-5)
    monkeypatch.setattr("autoal.encoders.pictures.FIT_BYTES", 1)
    assert fit_encoder("pictures", pictures).transform(pictures[:5]).shape == (5, 63)


def test_pictures_that_are_all_the_same_or_of_another_size():
    encoder = fit_encoder("pictures", np.full((5, 4, 4), 7, dtype=np.uint8))
    assert not encoder.transform(np.full((2, 4, 4), 7, dtype=np.uint8)).any() and "told apart" in encoder.notes[0]
    with pytest.raises(InvalidInput, match=r"\(4, 5\).*\(4, 4\)"):
        encoder.transform(np.zeros((2, 4, 5), dtype=np.uint8))
    for rows in (np.zeros((3, 4)), np.zeros((0, 4, 4)), np.array([["a"]]), [np.zeros((2, 2)), np.zeros((3, 2))]):
        with pytest.raises(InvalidInput):
            fit_encoder("pictures", rows)


def test_numbers_are_standardised_over_what_is_there():
    rows = RNG.randn(50, 5) * [1, 1e6, 1e-9, 1e300, 0] + [0, 1e9, 0, 0, 3]
    rows[3, 0], rows[4, 1], rows[5, 2] = np.nan, np.inf, -np.inf
    made = encode("numbers", rows)
    assert made[3, 0] == made[4, 1] == made[5, 2] == 0 and not made[:, 4].any()
    np.testing.assert_allclose(made.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(made.std(axis=0)[:4], 1, atol=0.02)
    far = fit_encoder("numbers", rows).transform(np.full((1, 5), 1e308))
    assert np.isfinite(far).all() and np.isfinite(np.square(far).sum())


def test_numbers_in_other_containers():
    rows = RNG.randn(30, 4).astype(np.float32)
    wanted = encode("numbers", rows)
    for other in (
        rows.tolist(),
        torch.from_numpy(rows),
        pd.DataFrame(rows),
        rows.astype(object),
        np.asfortranarray(rows),
    ):
        np.testing.assert_allclose(encode("numbers", other), wanted, atol=1e-6)
    np.testing.assert_allclose(encode("numbers", sparse.csr_matrix(rows)), wanted, atol=1e-6)
    assert encode("numbers", np.array([[True], [False]])).tolist() == [[1], [-1]]
    assert encode("numbers", np.arange(6).reshape(6, 1)).shape == (6, 1)


@pytest.mark.parametrize("n", [3, 40, 1500])
def test_sparse_rows_are_reduced(n):
    rows = sparse.random_array((n, 3000), density=0.01, rng=np.random.default_rng(0), format="coo")
    made = encode("numbers", rows)
    assert made.shape == (n, min(64, n - 1))
    np.testing.assert_allclose(np.square(made).sum(axis=1).mean(), made.shape[1], rtol=1e-3)
    if n <= 40:  # nothing is lost
        true = distances(rows.toarray())
        np.testing.assert_allclose(distances(made) * true.max(), true * distances(made).max(), atol=1e-3 * true.max())
    order = np.random.RandomState(1).permutation(n)
    np.testing.assert_allclose(encode("numbers", rows.tocsr()[order]), made[order], atol=1e-3)


def test_sparse_gaps_count_as_nothing():
    rows = sparse.random_array((30, 100), density=0.1, rng=np.random.default_rng(0), format="csr")
    rows.data[:3] = [np.nan, np.inf, -np.inf]
    before = rows.data.copy()
    assert encode("numbers", rows).shape == (30, 29)
    np.testing.assert_array_equal(rows.data, before)


def test_numbers_without_a_difference_or_of_another_shape():
    for rows in (np.ones((4, 2)), sparse.csr_matrix((5, 200)), np.full((3, 1), np.nan), np.ones((1, 3))):
        encoder = fit_encoder("numbers", rows)
        assert not encoder.transform(rows).any() and "told apart" in encoder.notes[0]
    for rows in (np.zeros(3), np.zeros((0, 3)), np.zeros((3, 0)), np.zeros((2, 2), complex), [["a"]], [[1], [1, 2]]):
        with pytest.raises(InvalidInput):
            fit_encoder("numbers", rows)
    with pytest.raises(InvalidInput, match="got X with 3 columns; wanted 2"):
        fit_encoder("numbers", RNG.randn(4, 2)).transform(RNG.randn(4, 3))


def test_components_of_dense_rows_keep_distances():
    rows = RNG.randn(20, 50)
    kept = Reduction(rows, 64, unit=False)
    np.testing.assert_allclose(distances(kept.apply(rows)), distances(rows), rtol=1e-4, atol=1e-4)


def test_unknown_kinds():
    with pytest.raises(ValueError, match="did you mean 'texts'"):
        fit_encoder("text", TEXTS)
    with pytest.raises(InvalidInput, match="encoder="):
        fit_encoder("any", [{"a": 1}])
