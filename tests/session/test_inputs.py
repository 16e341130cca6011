"""The pool of a session: what is kept of it, and how it comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from autoal import Session
from autoal.errors import AutoALError, DataMissing, RunError
from autoal.session.inputs import load_inputs, store_inputs
from tests.session.problems import X, again, begun, model, truth

random = np.random.RandomState(0)
FRAME = pd.DataFrame(
    {
        "width": X[:, 0],
        "count": np.arange(60),
        "wet": [True, False] * 30,
        "soil": ["clay", "sand", None] * 20,
        "size": pd.Categorical(["small", "large"] * 30, categories=["small", "large", "huge"], ordered=True),
        "maybe": pd.array([1, 2] * 30, dtype="Int64"),
        "mixed": [1, "a"] * 30,
        "known": pd.array([True, None, False] * 20, dtype="boolean"),
    }
)


@pytest.mark.parametrize(
    ("pool", "kind"),
    [
        (X, "array"),
        (X.tolist(), "array"),
        (torch.from_numpy(X).float(), "array"),
        (random.randint(0, 255, (20, 8, 8, 3)).astype(np.uint8), "array"),
        (FRAME, "table"),
        (sparse.random(30, 7, density=0.3, random_state=0, format="csr"), "sparse"),
    ],
)
def test_what_is_stored_comes_back_bit_for_bit(tmp_path: Path, pool: Any, kind: str) -> None:
    rows, about = store_inputs(pool, tmp_path)
    back = load_inputs(about, tmp_path)
    assert about["kind"] == kind and about["fingerprint"] == back.fingerprint()
    everything = torch.arange(len(rows))
    assert torch.equal(rows.take(everything), back.take(everything))
    whole, again_whole = rows.native(everything), back.native(everything)
    if kind == "sparse":
        whole, again_whole = whole.toarray(), again_whole.toarray()
    if isinstance(whole, pd.DataFrame):
        pd.testing.assert_frame_equal(whole, again_whole)
    else:
        assert np.array_equal(whole, again_whole)


def test_a_frame_keeps_its_columns(tmp_path: Path) -> None:
    about = store_inputs(FRAME, tmp_path)[1]
    back: Any = load_inputs(about, tmp_path)
    frame = back.native(slice(None))
    assert list(frame.columns) == list(FRAME.columns)
    pd.testing.assert_frame_equal(frame, FRAME)


def test_a_file_is_kept_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("pool.npy", X)
    for name, pool in (("path", "pool.npy"), ("mapped", np.load("pool.npy", mmap_mode="r"))):
        session = Session.create(name, pool, candidates=["margin"], model=model(), random_state=0)
        assert not list(session.folder.glob("X.*"))
    part = Session.create("part", np.load("pool.npy", mmap_mode="r")[:40], random_state=0)
    assert (part.folder / "X.npy").is_file()

    monkeypatch.chdir("/")
    session = again(tmp_path / "path")
    session.tell(np.arange(12), truth[:12])
    batch = session.ask(3)
    (tmp_path / "pool.npy").rename(tmp_path / "moved.npy")
    lost = again(tmp_path / "path")
    lost.tell(batch, truth[batch])  # needs no pool
    with pytest.raises(DataMissing, match=r"pool\.npy any more"):
        lost.ask(3)
    assert len(again(tmp_path / "path", X=tmp_path / "moved.npy").ask(3)) == 3


def test_another_pool_is_refused(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    with pytest.raises(RunError, match="shape"):
        again(session.folder, X=X[:50])
    with pytest.raises(RunError, match="same rows"):
        again(session.folder, X=X[::-1].copy())
    again(session.folder, X=X)
    np.save(session.folder / "X.npy", X + 1)
    with pytest.raises(RunError, match="same rows"):
        again(session.folder).ask(3)


class Leaves(torch.utils.data.Dataset):  # type: ignore[type-arg]
    def __len__(self) -> int:
        return 60

    def __getitem__(self, row: int) -> Any:
        return torch.from_numpy(X[row]).float(), 0


def test_a_dataset_has_to_be_passed_again(tmp_path: Path) -> None:
    session = begun(tmp_path / "s", X=Leaves())
    session.tell("p00", "oak")
    with pytest.raises(DataMissing, match="pass it again"):
        again(session.folder).ask(3)
    assert len(again(session.folder, X=Leaves()).ask(3)) == 3


@pytest.mark.parametrize("pool", [np.zeros((0, 3)), "nowhere.npy", "pool.xlsx", 7])
def test_what_is_no_pool_leaves_no_folder(tmp_path: Path, pool: Any) -> None:
    with pytest.raises(AutoALError):
        Session.create(tmp_path / "s", pool)
    assert list(tmp_path.iterdir()) == []
