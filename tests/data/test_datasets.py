"""Data sets by name, from a folder of archives, from a cache and from the user's own files."""

import io
import json
import os

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from autoal.data import Pool, as_rows, check_finite, dataset_names, load_dataset
from autoal.errors import DataMissing, InvalidInput, UnknownName


def joined(pieces):
    offsets = np.cumsum([0, *(len(piece) for piece in pieces)])
    return np.frombuffer(b"".join(pieces), dtype=np.uint8), offsets


def jpeg(color):
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder with one set of each kind."""
    root = tmp_path / "data"
    for name in ("classification", "images", "text", "other"):
        (root / name).mkdir(parents=True)
    meta = {"meta": json.dumps({"name": "x"}), "classes": np.array(["no", "yes"])}
    table = np.array([[1, 0], [np.nan, 1], [3, 2], [5, np.nan]], dtype=np.float32)
    np.savez(root / "classification" / "table.npz", X=table, y=np.array([0, 1, 1, 0], np.uint8), **meta)
    np.savez(
        root / "classification" / "coded.npz",
        X=table,
        y=np.array([0, 1, 1, 0], np.uint8),
        categorical=np.array([False, True]),
        split=np.array([0, 0, 1, 2], np.uint8),
        group=np.arange(4),
        **meta,
    )
    np.savez(root / "other" / "table.npz", X=table, y=np.array([0.5, 1, 2, 3]))
    grey = np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8)
    np.savez(root / "images" / "grey.npz", X=grey, y=np.array([0, 1, 0, 1], np.uint8), **meta)
    pixels, offsets = joined([jpeg("red"), jpeg("blue"), jpeg("red")])
    np.savez(root / "images" / "color.npz", jpeg=pixels, offsets=offsets, y=np.array([0, 1, 0], np.uint8), **meta)
    texts = [b"good film", b"bad film", b"very good", "tr\u00e8s bad".encode(), b"good good", b"bad"]
    utf8, offsets = joined(texts)
    np.savez(root / "text" / "reviews.npz", utf8=utf8, offsets=offsets, y=np.array([1, 0, 1, 0, 1, 0]), **meta)
    monkeypatch.setenv("AUTOAL_DATA", str(root))
    monkeypatch.setenv("AUTOAL_CACHE", str(tmp_path / "cache"))
    return root


def test_bundled_sets_need_no_file():
    for name, shape, classes in (("digits", (1797, 64), 10), ("iris", (150, 4), 3), ("wine", (178, 13), 3)):
        data = load_dataset(name)
        assert data.X.shape == shape and len(data.classes) == classes and len(data) == shape[0]
        assert data.y.dtype == np.int64 and data.test_index is None
    assert load_dataset("breast_cancer").classes.tolist() == ["malignant", "benign"]


def test_names_list_the_table_and_the_folder(folder):
    names = dataset_names()
    assert {"digits", "torchvision/cifar10", "classification/table", "text/reviews"} <= set(names)


def test_gaps_in_numbers_are_filled_with_the_median(folder):
    data = load_dataset("classification/table")
    np.testing.assert_array_equal(data.X, [[1, 0], [3, 1], [3, 2], [5, 1]])
    assert data.y.tolist() == [0, 1, 1, 0] and data.classes.tolist() == ["no", "yes"]
    assert "2 missing" in data.notes[0]


def test_coded_columns_become_one_hot_and_the_split_is_kept(folder):
    data = load_dataset("coded")
    np.testing.assert_array_equal(data.X, [[1, 1, 0, 0], [3, 0, 1, 0], [3, 0, 0, 1], [5, 0, 0, 0]])
    assert data.test_index.tolist() == [2, 3] and data.group.tolist() == [0, 1, 2, 3]


def test_a_bare_name_must_be_unambiguous(folder):
    with pytest.raises(InvalidInput, match="classification/table, other/table"):
        load_dataset("table")
    with pytest.raises(UnknownName, match="did you mean 'grey'"):
        load_dataset("grei")


def test_a_target_with_fractions_has_no_classes(folder):
    data = load_dataset("other/table")
    assert data.classes is None and data.y.tolist() == [0.5, 1, 2, 3]


def test_grey_images_stay_integers(folder):
    data = load_dataset("grey")
    assert data.X.dtype == np.uint8 and tuple(as_rows(data.X).row_shape) == (1, 8, 8)


def test_jpeg_images_are_decoded_once_and_then_mapped_from_the_cache(folder):
    data = load_dataset("color")
    assert data.X.shape == (3, 8, 8, 3) and data.X.dtype == np.uint8
    assert data.X[0, 4, 4, 0] > 200 and data.X[1, 4, 4, 2] > 200
    stored = list((folder.parent / "cache" / "arrays").iterdir())
    assert [path.suffix for path in stored] == [".npy"]
    changed = stored[0].stat().st_mtime_ns
    np.testing.assert_array_equal(load_dataset("color").X, data.X)
    assert stored[0].stat().st_mtime_ns == changed
    rows = as_rows(data.X)
    check_finite(rows)
    assert tuple(rows.row_shape) == (3, 8, 8)


def test_text_becomes_features_that_separate_the_words(folder):
    data = load_dataset("reviews")
    assert data.X.dtype == np.float32 and data.X.shape[0] == 6 and data.X.shape[1] <= 256
    assert "without labels" in data.notes[0]
    np.testing.assert_array_equal(load_dataset("reviews").X, data.X)


def test_vision_sets_are_not_fetched_unasked(folder):
    for name in ("torchvision/cifar10", "torchvision/svhn", "torchvision/mnist", "torchvision/eurosat"):
        with pytest.raises(DataMissing, match="download=True"):
            load_dataset(name)


def idx(array):
    """The file format of MNIST."""
    head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return head + array.tobytes()


def test_vision_sets_on_disk_are_read_with_their_split(folder):
    raw = folder.parent / "cache" / "torchvision" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, n in (("train", 5), ("t10k", 3)):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(np.full((n, 28, 28), n, dtype=np.uint8)))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(n, dtype=np.uint8)))
    data = load_dataset("torchvision/mnist")
    assert data.X.shape == (8, 28, 28) and data.test_index.tolist() == [5, 6, 7]
    assert data.y.tolist() == [0, 1, 2, 3, 4, 0, 1, 2] and len(data.classes) == 10


def test_a_csv_file_with_a_label_column(tmp_path):
    frame = pd.DataFrame({"a": [1.0, 2, 3], "color": ["red", "blue", None], "target": ["x", None, "y"]})
    frame.to_csv(tmp_path / "mine.csv", index=False)
    data = load_dataset(tmp_path / "mine.csv")
    assert data.classes.tolist() == ["x", "y"] and data.y.tolist() == [0, -1, 1]
    pool = Pool.build(data.X, data.y)
    assert pool.unlabeled.tolist() == [1]
    assert pool.rows.native(slice(0, 3))["a"].tolist() == [1, 2, 3]
    assert pool.rows.take(slice(0, 3)).isfinite().all()
    by_color = load_dataset(str(tmp_path / "mine.csv"), label="color")
    assert by_color.classes.tolist() == ["blue", "red"] and by_color.y.tolist() == [1, 0, -1]
    with pytest.raises(InvalidInput, match=r"'a', 'color', 'target'.*label="):
        load_dataset(tmp_path / "mine.csv", label="colour")
    with pytest.raises(DataMissing, match="not a file"):
        load_dataset(tmp_path / "none.csv")


def test_whole_numbers_with_gaps_are_classes(tmp_path):
    (tmp_path / "gaps.csv").write_text("a,y\n1,3\n2,\n3,4\n")
    data = load_dataset(tmp_path / "gaps.csv")
    assert data.classes.tolist() == [3, 4] and data.y.tolist() == [0, -1, 1]


def test_a_csv_file_without_a_label_column_lists_the_columns(tmp_path):
    (tmp_path / "bare.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidInput, match=r"\['a', 'b'\]"):
        load_dataset(tmp_path / "bare.csv")


def test_an_npz_file_with_x_and_y(tmp_path):
    np.savez(tmp_path / "own.npz", X=np.eye(3, dtype=np.float32), y=np.array(["b", "a", "b"]))
    data = load_dataset(tmp_path / "own.npz")
    assert data.classes.tolist() == ["a", "b"] and data.y.tolist() == [1, 0, 1] and data.name == "own"
    np.savez(tmp_path / "short.npz", X=np.eye(3), y=np.array([0, 1]))
    with pytest.raises(InvalidInput, match="3 rows and 2 labels"):
        load_dataset(tmp_path / "short.npz")
    np.savez(tmp_path / "no_labels.npz", X=np.eye(3))
    with pytest.raises(InvalidInput, match="wanted X and y"):
        load_dataset(tmp_path / "no_labels.npz")
    np.savez(tmp_path / "objects.npz", X=np.array([{}], dtype=object), y=np.array([0]))
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_dataset(tmp_path / "objects.npz")


def test_a_folder_of_images_by_class(tmp_path):
    for name, color in (("cats", "red"), ("dogs", "blue")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("L" if number else "RGB", (20, 10), color if number == 0 else 128).save(
                tmp_path / "pets" / name / f"{number}.png"
            )
    data = load_dataset(tmp_path / "pets", size=16)
    assert data.X.shape == (4, 16, 16, 3) and data.y.tolist() == [0, 0, 1, 1]
    assert data.classes.tolist() == ["cats", "dogs"]
    (tmp_path / "pets" / "dogs" / "bad.png").write_bytes(b"no picture")
    with pytest.raises(InvalidInput, match=r"bad\.png"):
        load_dataset(tmp_path / "pets")
    (tmp_path / "pets" / "empty").mkdir()
    (tmp_path / "pets" / "dogs" / "bad.png").unlink()
    with pytest.raises(InvalidInput, match="holds no images"):
        load_dataset(tmp_path / "pets")
    with pytest.raises(InvalidInput, match="no subfolders"):
        load_dataset(tmp_path / "pets" / "empty")


@pytest.mark.skipif(not os.environ.get("AUTOAL_DATA"), reason="AUTOAL_DATA is not set")
def test_real_sets_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOAL_CACHE", str(tmp_path))
    known = dataset_names()
    for name in ("classification/letter", "classification/adult", "images/usps", "images/sign_digits", "text/trec6"):
        if name in known:
            data = load_dataset(name)
            rows = as_rows(data.X)
            assert len(rows) == len(data.y) and set(data.y) == set(range(len(data.classes)))
            check_finite(rows)
