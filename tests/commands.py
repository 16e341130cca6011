"""What the commands work on, each command once, and disks that are small: for tests of the command line as a whole."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from autoal.cli import main
from autoal.cryo import synthetic_micrograph
from tests.session.problems import X, truth

__all__ = [
    "COMMANDS",
    "CONFIG",
    "LASTS",
    "NAMES",
    "PLACES",
    "SHORT",
    "STUDY",
    "is_sound",
    "journals",
    "make_home",
    "small_disk",
]

CONFIG = """
name = "small"
datasets = ["iris"]
selectors = ["margin", "random"]
seeds = {seeds}
rounds = {rounds}
batch_size = 3
device = "cpu"
"""
STUDY = """
name = "tuned"
datasets = ["iris"]
selectors = ["kcenter_pca", "random"]
seeds = {seeds}
rounds = {rounds}
batch_size = 3
device = "cpu"
[study]
trials = {trials}
target = "kcenter_pca"
base = "random"
[study.space]
components = {{ low = 1, high = 3 }}
"""
NAMES = [f"é{row:02d}" for row in range(60)]
PLACES = {"oak": "Ahorn", "elm": "Ülme", "ash": "Esche"}
CRYO = ["--marks", "marks.csv", "--diameter", "24", "--steps", "3", "--seed", "1", "--device", "cpu"]


def make_home(home: Path) -> None:
    """A pool, a session with answers, a run, configs, a micrograph."""
    labels = [PLACES[label] for label in truth.tolist()]
    pd.DataFrame(X, columns=list("abcd")).assign(id=NAMES).to_csv(home / "pool.csv", index=False)
    pd.DataFrame({"id": NAMES[20:24], "label": labels[20:24]}).to_csv(home / "answers.csv", index=False)
    pd.DataFrame({"id": NAMES[:18], "label": labels[:18]}).to_csv(home / "first.csv", index=False)
    (home / "c.toml").write_text(CONFIG.format(seeds=1, rounds=1))
    (home / "study.toml").write_text(STUDY.format(seeds=1, rounds=1, trials=1))
    pool = ["--pool", str(home / "pool.csv"), "--id", "id", "--candidates", "margin", "--seed", "1"]
    out = ["--out", str(home / "batch.json"), "--quiet"]
    assert main(["query", str(home / "s"), "--batch-size", "3", *pool, *out, "--labels", str(home / "first.csv")]) == 0
    pd.DataFrame({"id": NAMES[30:32], "label": labels[30:32]}).to_csv(home / "told.csv", index=False)
    assert main(["tell", str(home / "s"), str(home / "told.csv")]) == 0
    assert main(["compare", str(home / "c.toml"), "--out", str(home / "run"), "--quiet"]) == 0
    (home / "batch.json").unlink()
    (home / "m").mkdir()
    made = synthetic_micrograph("blob", 0, snr=2.0, side=96, particles=6)
    np.save(home / "m" / "grid.npy", made.pixels)
    pd.DataFrame({"row": made.centres[:, 0], "column": made.centres[:, 1]}).to_csv(home / "marks.csv", index=False)


COMMANDS: dict[str, list[str]] = {
    "quickstart": ["quickstart", "--out", "new", "--workers", "1", "--quiet"],
    "compare": ["compare", "c.toml", "--out", "new", "--quiet"],
    "merge": ["merge", "new", "run"],
    "report": ["report", "run"],
    "report of a session": ["report", "s"],
    "outlook": ["outlook", "s"],
    "outlook of a run": ["outlook", "run"],
    "query": ["query", "s", "--batch-size", "3", "--out", "batch.csv", "--quiet"],
    "query to the output": ["query", "s", "--batch-size", "3", "--quiet"],
    "query anew": ["query", "new", "--pool", "pool.csv", "--id", "id", "--batch-size", "3", "--seed", "1", "--quiet"],
    "tell": ["tell", "s", "answers.csv"],
    "undo": ["undo", "s"],
    "predict": ["predict", "s", "--out", "predictions.csv"],
    "suspects": ["suspects", "s"],
    "study": ["study", "study.toml", "--out", "new", "--quiet"],
    "strategies": ["strategies", "--all"],
    "doctor": ["doctor"],
    "doctor of a session": ["doctor", "s"],
    "doctor of a run": ["doctor", "run"],
    "cryo pick": ["cryo", "pick", "m", *CRYO, "--out", "new"],
    "cryo windows": ["cryo", "windows", "m", *CRYO, "--out", "new"],
    "label": ["label", "pool.csv", "--session", "new", "--no-browser"],
    "serve": ["serve", "s", "--label-studio", "http://127.0.0.1:9", "--project", "1"],
}
LASTS = ("quickstart", "label", "serve")
"""They serve until they are interrupted, or take a minute."""
SHORT = [name for name in COMMANDS if name not in LASTS]


def journals(here: Path) -> dict[Path, bytes]:
    """What must not be lost."""
    return {path: path.read_bytes() for path in here.rglob("*") if path.name in ("journal.jsonl", "manifest.json")}


def is_sound(here: Path) -> bool:
    """Whether all folders of ours are as they should be."""
    folders = [path.parent for path in here.rglob("manifest.json") if not path.parent.name.startswith(".")]
    return all(main(["doctor", str(folder)]) == 0 for folder in folders)


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A file system of that size. Raises PermissionError where none can be mounted."""
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], capture_output=True).returncode:
        raise PermissionError("no file system can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)
