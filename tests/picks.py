"""Picks for one pool in many containers, printed as JSON; run as a process of its own, with threads and a hash seed."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from autoal import AutoAL

ROWS, COLUMNS, LABELED = 600, 24, 40


def containers(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(ROWS, COLUMNS)) * (rng.random((ROWS, COLUMNS)) < 0.7)).astype(np.float32)
    np.save(folder / "X.npy", X)
    return {
        "array": X,
        "tensor": torch.from_numpy(X.copy()),
        ".npy": str(folder / "X.npy"),
        "memmap": np.load(folder / "X.npy", mmap_mode="r"),
        "sparse": sparse.csr_matrix(X),
        "frame": pd.DataFrame(X, columns=[f"c{column}" for column in range(COLUMNS)]),
    }


def main(folder: Path, threads: int) -> None:
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")
    made = containers(folder)
    y = np.full(ROWS, -1)
    y[:LABELED] = (np.asarray(made["array"])[:LABELED, :3].sum(1) > 0) + 0
    models = {
        "none": lambda: None,
        "logistic": lambda: LogisticRegression(),
        "forest": lambda: RandomForestClassifier(30, random_state=0, n_jobs=threads),
    }
    found = {
        f"{model}, {kind}": AutoAL("fast", model=make(), random_state=5).fit_query(X, y, batch_size=12).indices.tolist()
        for model, make in models.items()
        for kind, X in made.items()
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
