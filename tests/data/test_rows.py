"""Every container of inputs gives the same rows, or says why it cannot."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import sparse
from torch.utils.data import Dataset, TensorDataset

from autoal.data import ConcatRows, as_rows, check_finite
from autoal.data.arrays import FLAT, ArrayRows
from autoal.errors import DataMissing, InvalidInput

TABLE = np.random.RandomState(0).randn(12, 3).astype(np.float32)
GREY = np.random.RandomState(1).randint(0, 256, (5, 6, 7)).astype(np.uint8)
COLOR = np.random.RandomState(2).randint(0, 256, (5, 6, 7, 3)).astype(np.uint8)


class Items(Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def containers(tmp_path):
    np.save(tmp_path / "table.npy", TABLE)
    yield "float32", TABLE
    yield "float64", TABLE.astype(np.float64)
    yield "fortran", np.asfortranarray(TABLE)
    yield "list", TABLE.tolist()
    yield "tensor", torch.from_numpy(TABLE.copy()).requires_grad_()
    yield "frame", pd.DataFrame(TABLE, columns=list("abc"))
    yield "path", tmp_path / "table.npy"
    yield "text path", str(tmp_path / "table.npy")
    yield "memmap", np.load(tmp_path / "table.npy", mmap_mode="r")
    yield "sparse", sparse.csr_matrix(TABLE)
    yield "sparse array", sparse.coo_array(TABLE)
    yield "dataset", TensorDataset(torch.from_numpy(TABLE), torch.zeros(len(TABLE)))
    yield "dataset of x", Items(list(TABLE))
    yield "rows", as_rows(TABLE)


def test_every_container_gives_the_same_rows(tmp_path):
    for name, X in containers(tmp_path):
        rows = as_rows(X)
        check_finite(rows)
        assert len(rows) == 12 and tuple(rows.row_shape) == (3,), name
        assert rows.take(torch.tensor([3, 0, 3])).dtype == torch.float32, name
        np.testing.assert_array_equal(rows.take(torch.tensor([3, 0, 3])), TABLE[[3, 0, 3]], err_msg=name)
        np.testing.assert_array_equal(rows.take(slice(2, 5)), TABLE[2:5], err_msg=name)
        native = rows.form(rows.forms[-1] if name == "dataset" else rows.forms[0], torch.tensor([1, 1]))
        np.testing.assert_array_equal(native.toarray() if sparse.issparse(native) else native, TABLE[[1, 1]])
        if name != "frame":  # a frame is known by its columns too
            assert rows.fingerprint() == as_rows(TABLE).fingerprint(), name
        assert rows.take(torch.zeros(0, dtype=torch.int64)).shape == (0, 3), name


def test_a_change_in_the_data_changes_the_fingerprint():
    other = TABLE.copy()
    other[0, 0] += 1
    assert as_rows(other).fingerprint() != as_rows(TABLE).fingerprint()


def test_taken_rows_are_a_copy():
    data = TABLE.copy()
    as_rows(data).take(slice(0, 4)).fill_(7)
    np.testing.assert_array_equal(data, TABLE)


def test_every_container_of_images_gives_channels_first_in_the_unit_interval():
    wanted = np.moveaxis(COLOR, 3, 1).astype(np.float32) / 255
    pictures = [Image.fromarray(picture) for picture in COLOR]
    for X in (
        COLOR,
        np.moveaxis(COLOR, 3, 1),
        torch.from_numpy(COLOR),
        COLOR.astype(np.float64) / 255,
        wanted,
        Items(pictures),
        Items(list(COLOR)),
        Items(list(torch.from_numpy(wanted))),
        Items(list(torch.from_numpy(np.moveaxis(COLOR, 3, 1).copy()))),
    ):
        rows = as_rows(X)
        assert tuple(rows.row_shape) == (3, 6, 7)
        np.testing.assert_allclose(rows.take(torch.tensor([4, 1])), wanted[[4, 1]], atol=1e-7)
        if isinstance(rows, ArrayRows):
            np.testing.assert_array_equal(rows.native(torch.tensor([2])), np.asarray(X)[[2]])
            np.testing.assert_allclose(rows.form(FLAT, torch.tensor([2])), wanted[[2]].reshape(1, -1), atol=1e-7)
        else:
            np.testing.assert_allclose(rows.native(torch.tensor([2])), wanted[[2]].reshape(1, -1), atol=1e-7)


def test_grey_images_get_a_channel():
    for X in (GREY, GREY[..., None], Items([Image.fromarray(picture) for picture in GREY])):
        rows = as_rows(X)
        assert tuple(rows.row_shape) == (1, 6, 7)
        np.testing.assert_allclose(rows.take(slice(0, 5))[:, 0], GREY / 255, atol=1e-7)


def test_frames_stay_frames_and_are_encoded_for_distances():
    frame = pd.DataFrame(
        {
            "size": [1.0, np.nan, 3],
            "ok": [True, False, True],
            "color": ["red", None, "blue"],
            "level": pd.Categorical(["low", "low", "high"], categories=["low", "mid", "high"]),
            "when": pd.to_datetime(["2020-01-01", None, "2020-02-01"]),
        }
    )
    rows = as_rows(frame)
    pd.testing.assert_frame_equal(rows.native(torch.tensor([2, 0])), frame.iloc[[2, 0]])
    assert rows.take(slice(0, 3)).isfinite().all()
    shuffled = as_rows(frame.iloc[[2, 0, 1]])
    torch.testing.assert_close(shuffled.take(torch.tensor([1, 2, 0])), rows.take(slice(0, 3)))
    numbers = as_rows(frame[["size", "ok"]])
    assert numbers.take(slice(0, 1)).tolist() == [[1, 1]] and numbers.take(slice(1, 2)).isnan().tolist() == [
        [True, False]
    ]


def test_concatenated_rows_keep_the_asked_order():
    rows = ConcatRows(as_rows(TABLE[:4]), as_rows(TABLE[4:]))
    picks = torch.tensor([11, 0, 5, 3, 4, 0])
    np.testing.assert_array_equal(rows.take(picks), TABLE[picks])
    np.testing.assert_array_equal(rows.native(picks), TABLE[picks])
    np.testing.assert_array_equal(rows.take(slice(2, 7)), TABLE[2:7])
    mixed = ConcatRows(as_rows(sparse.csr_matrix(TABLE[:4])), as_rows(sparse.csr_matrix(TABLE[4:])))
    np.testing.assert_array_equal(mixed.native(picks).toarray(), TABLE[picks])


def test_a_random_transform_draws_the_same_each_time_and_leaves_the_global_generator_alone():
    class Noisy(Items):
        def __getitem__(self, index):
            return self.items[index] + torch.rand(3)

    rows = as_rows(Noisy(list(torch.from_numpy(TABLE))))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    once, again = rows.take(torch.tensor([1, 2])), rows.take(torch.tensor([2, 1]))
    assert torch.equal(once, again.flip(0))
    assert torch.equal(before, torch.get_rng_state())


def nan_rows():
    X = TABLE.copy()
    X[[2, 9], 1] = np.nan
    return X


@pytest.mark.parametrize("X", [nan_rows(), sparse.csr_matrix(nan_rows()), torch.from_numpy(nan_rows())])
def test_rows_with_nan_are_named(X):
    with pytest.raises(InvalidInput, match=r"2 of 12 rows of X .*\[2, 9\]"):
        check_finite(as_rows(X))
    check_finite(as_rows(X), torch.tensor([0, 1, 3]))


def test_items_with_nan_are_named_when_read():
    rows = as_rows(Items(list(torch.from_numpy(nan_rows()))))
    rows.take(torch.tensor([0, 1]))
    with pytest.raises(InvalidInput, match="row 9"):
        rows.take(torch.tensor([8, 9]))


def test_values_too_large_for_float32_are_named():
    with pytest.raises(InvalidInput, match="infinite"):
        check_finite(as_rows(np.array([[1e300], [0.0]])))


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (np.zeros(3), r"reshape\(-1, 1\)"),
        (np.zeros((0, 3)), "without rows"),
        (np.zeros((3, 0)), "without columns"),
        (np.zeros((2, 2, 2, 2, 2)), "Dataset"),
        (np.array([["a", "b"], ["b", "a"]])[:, :0], "at least one row and one column"),
        (np.zeros((2, 2), dtype=complex), "complex"),
        (pd.Series([1, 2]), "to_frame"),
        (pd.DataFrame(), "DataFrame X of shape"),
        (sparse.csr_matrix((0, 3)), "without rows"),
        (iter([1]), "iterator"),
        (3, "type int"),
        ("data.npz", "load_dataset"),
        ([], "empty list"),
        ({"a": np.zeros(3).reshape(3, 1), "b": np.zeros((2, 1))}, "differ in length"),
        (Items([]), "empty"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_to_do(X, words):
    with pytest.raises(InvalidInput, match=words):
        as_rows(X)


def test_items_of_different_shapes_are_refused():
    rows = as_rows(Items([torch.zeros(3), torch.zeros(4)]))
    with pytest.raises(InvalidInput, match="row 1 of X has shape"):
        rows.take(slice(0, 2))


def test_a_missing_file_and_a_pickled_one_are_refused(tmp_path):
    with pytest.raises(DataMissing, match="not a file"):
        as_rows(tmp_path / "none.npy")
    np.save(tmp_path / "objects.npy", np.array([{}, {}]), allow_pickle=True)
    with pytest.raises(InvalidInput, match="array of numbers"):
        as_rows(tmp_path / "objects.npy")
