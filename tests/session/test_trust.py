"""A session takes away, makes and believes only what is its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from autoal import AutoAL
from autoal.experiment.store import RunStore
from autoal.session.folder import MARK, being_made
from tests.session.killed import told
from tests.session.problems import begun

# --- what is taken away ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "neighbour"),
    [
        ("data", ".data.backup.new"),
        ("data", ".data.0123abcd.new"),  # named as ours are, but nothing of ours in it
        ("*", ".data.0123abcd.new"),
        ("[a-z]?", ".ab.0123abcd.new"),
        ("data", ".data.0123abcd.89abcdef.new"),
        ("a.b", ".axb.0123abcd.new"),
    ],
)
def test_create_leaves_every_neighbour_alone(tmp_path: Path, name: str, neighbour: str) -> None:
    (tmp_path / neighbour).mkdir()
    (tmp_path / neighbour / "thesis.txt").write_text("years of work")
    before = sorted(os.listdir(tmp_path / neighbour))
    begun(tmp_path / name)
    assert sorted(os.listdir(tmp_path / neighbour)) == before
    assert not (tmp_path / name / MARK).exists()


def test_create_clears_only_what_a_killed_create_of_its_own_name_left(tmp_path: Path) -> None:
    for name in ("data", "data.0123abcd", "d"):
        with pytest.raises(KeyboardInterrupt), being_made(tmp_path / name) as made:
            (made.path / "X.npy").write_text("")
            shutil.copytree(made.path, tmp_path / f".{name}.01234567.new")  # what a kill at this moment leaves
            raise KeyboardInterrupt
    begun(tmp_path / "new" / "data")  # in another folder: none of these
    assert (tmp_path / ".data.01234567.new").exists()
    begun(tmp_path / "data")
    left = {name for name in os.listdir(tmp_path) if name.startswith(".")}
    assert left == {".data.0123abcd.01234567.new", ".d.01234567.new"}


def test_create_follows_no_link_to_what_is_left_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / ".data.0123abcd.new").symlink_to(tmp_path / "far")
    begun(tmp_path / "data")
    assert os.listdir(tmp_path / "far") == []


def test_folders_of_the_users_among_checkpoints_stay(tmp_path: Path) -> None:
    session = told(tmp_path / "s")
    for name in ("round-0000-good", "mine", ".mine.0123abcd", "startled"):
        (session.folder / "checkpoints" / name).mkdir()
    (session.folder / "checkpoints" / ".round-0007.0123abcd").mkdir()  # what a kill leaves of one of ours
    for _ in range(3):
        session.ask(3)
    kept = {"round-0000-good", "mine", ".mine.0123abcd", "startled", "round-0001", "round-0002"}
    assert set(os.listdir(session.folder / "checkpoints")) == kept


def test_a_run_takes_away_only_files_of_its_own_names(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    one, other = store.cell("a--[b]--0"), store.cell("a--[b]--0.state.9--0")
    for path in ("a--[b]--0.state.1.json", "a--[b]--0.state.9--0.state.1.json", "a--[b]--0.state.mine.json"):
        (one.folder / path).write_text("{}")
    one.clear_states()
    assert sorted(os.listdir(other.folder)) == ["a--[b]--0.state.9--0.state.1.json", "a--[b]--0.state.mine.json"]
    (tmp_path / "failures.shard-notes.jsonl").write_text("")
    (tmp_path / "failures.shard-1-of-2.jsonl").write_text("")
    assert [path.name for path in store.shard_failures()] == ["failures.shard-1-of-2.jsonl"]


def test_saving_a_selector_leaves_weights_of_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "search_net.safetensors").write_bytes(b"mine")
    AutoAL("fast").save(tmp_path)
    assert (tmp_path / "search_net.safetensors").read_bytes() == b"mine"
