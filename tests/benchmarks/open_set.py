"""Open sets: foreign points bought, and accuracy, by the share of foreign points, how far they are, and the model.

    AUTOAL_DATA=... python -m tests.benchmarks.open_set configs/open-set.toml --out runs/open-set [--workers 2]

goes on from what is there: the run is one of `autoal compare`, which `python -m tests.benchmarks.open_set_table` reads.

Sets named `mixed/...` are made first, in the folder of the run: all rows of one data set and, as one class more, rows
of another, scaled to its size. Those are what is far; near are classes of the data set itself, drawn by the seed. Which
sets methods may be developed on (`configs/open-set-dev.toml`), and on which claims are made, is in the configs.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from autoal.data import load_dataset
from autoal.disk import write_atomic
from autoal.experiment.config import read_config
from autoal.experiment.plugins import make_selector
from autoal.experiment.progress import Standing
from autoal.experiment.runner import run
from autoal.experiment.shards import Shard
from autoal.rng import numpy_rng

MIXED = {
    "usps_signs": ("images/usps", "images/sign_digits"),
    "trec6_sst2": ("text/trec6", "text/sst2"),
    "mnist_omniglot": ("images/mnist", "images/omniglot_a"),
    "ag_news_sms": ("text/ag_news_part", "text/sms_spam"),
}
"""name -> whose classes are known, and whose rows are foreign to all of them."""
OWN, OTHER, SIDE = 6000, 3000, 14
"""Rows of either, at most, and the side of the pictures in pixels."""
FOREIGN = "foreign"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.open_set", description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--shard", help="i/n: only every n-th cell; as many as there are seeds gives one seed each")
    options = parser.parse_args(arguments)
    config = read_config(options.config)
    os.environ["AUTOAL_DATA"] = str(with_mixed(options.out / "data").resolve())
    with Progress() as bar:
        task = bar.add_task("cells")

        def advance(done: Standing) -> None:
            bar.update(task, completed=done.rounds_done, total=done.rounds)

        shard = None if options.shard is None else Shard.parse(options.shard)
        result = run(
            config, make_selector, options.out / config.name, workers=options.workers, shard=shard, progress=advance
        )
    if result.failures:
        print(result.failure_message(), file=sys.stderr)
    return 1 if result.failures else 0


def with_mixed(folder: Path) -> Path:
    """A folder like `$AUTOAL_DATA`, with the mixed sets beside what is there."""
    source = Path(os.environ["AUTOAL_DATA"])
    (folder / "mixed").mkdir(parents=True, exist_ok=True)
    for kind in ("classification", "images", "text"):
        if not (folder / kind).exists():
            (folder / kind).symlink_to((source / kind).resolve())
    for name, (own, other) in MIXED.items():
        path = folder / "mixed" / f"{name}.npz"
        if not path.exists():
            made = io.BytesIO()
            np.savez_compressed(made, **(texts if own.startswith("text") else pictures)(source, own, other, name))
            write_atomic(path, made.getvalue())
    return folder


def drawn(y_own: NDArray[Any], n_other: int, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the two sets that are kept."""
    rng = numpy_rng(0, "mixed", name)
    return (np.sort(rng.permutation(len(y_own))[:OWN]), np.sort(rng.permutation(n_other)[:OTHER]))


def pictures(source: Path, own: str, other: str, name: str) -> dict[str, NDArray[Any]]:
    """Grey, as one row of pixels each."""
    ours, theirs = load_dataset(source / f"{own}.npz"), load_dataset(source / f"{other}.npz")
    kept, more = drawn(ours.y, len(theirs.y), name)
    X = np.concatenate([small(ours.X[kept]), small(theirs.X[more])])
    y = np.concatenate([ours.y[kept], np.full(len(more), len(ours.classes))])
    return {"X": X, "y": y, "classes": np.array([*map(str, ours.classes), FOREIGN])}


def small(X: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, SIDE^2) of pictures (n, h, w) or (n, h, w, 3), bilinear; light on dark, as handwriting is here."""
    from PIL import Image

    grey = X if X.ndim == 3 else X.mean(axis=3).astype(np.uint8)
    if grey.mean() > 127:
        grey = 255 - grey
    made = [np.asarray(Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for one in grey]
    return np.stack(made).reshape(len(X), -1).astype(np.float32)


def texts(source: Path, own: str, other: str, name: str) -> dict[str, NDArray[Any]]:
    """As they are."""
    (ours, y, classes), (theirs, other_y, _) = (stored_texts(source / f"{one}.npz") for one in (own, other))
    kept, more = drawn(y, len(other_y), name)
    both = [*(ours[i] for i in kept), *(theirs[i] for i in more)]
    return {
        "utf8": np.frombuffer(b"".join(both), dtype=np.uint8),
        "offsets": np.cumsum([0, *map(len, both)]),
        "y": np.concatenate([y[kept], np.full(len(more), len(classes))]),
        "classes": np.array([*map(str, classes), FOREIGN]),
    }


def stored_texts(path: Path) -> tuple[list[bytes], NDArray[np.int64], NDArray[Any]]:
    with np.load(path, allow_pickle=False) as stored:
        raw = stored["utf8"].tobytes()
        return [raw[a:b] for a, b in pairwise(stored["offsets"])], stored["y"].astype(np.int64), stored["classes"]


if __name__ == "__main__":
    raise SystemExit(main())
