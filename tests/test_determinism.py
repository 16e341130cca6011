"""The same picks, in the same order: with any number of threads, in fresh processes, in every container."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

THREADS = (1, 2, 4)
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_threads_hash_seeds_and_containers_change_no_pick(tmp_path: Path) -> None:
    found = []
    for number, threads in enumerate(THREADS):
        count = dict.fromkeys(VARIABLES, str(threads))
        environment = {**os.environ, **count, "PYTHONHASHSEED": str(7 + number), "PYTHONPATH": str(Path.cwd())}
        command = [sys.executable, "-m", "tests.picks", str(tmp_path), str(threads)]
        made = subprocess.run(command, env=environment, cwd=Path(__file__).parents[1], capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        found.append(json.loads(made.stdout))
    for other in found[1:]:
        assert {name: picks for name, picks in other.items() if picks != found[0][name]} == {}
    for model in ("none", "logistic", "forest"):
        for kind in ("tensor", ".npy", "memmap", "sparse"):
            assert found[0][f"{model}, {kind}"] == found[0][f"{model}, array"], (model, kind)
