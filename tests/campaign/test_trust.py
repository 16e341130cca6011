"""What is done to folders and files: a little each time, the whole campaign with `-m slow`; its counts are in
docs/trust.md."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.campaign.trust import PARTS

ROOT = Path(__file__).parents[2]
FEW = {"kills": 4, "runs": 3, "cuts": 40, "flips": 100, "files": 150, "disks": 2, "writers": 40, "asks": 8}
FORKING = {"kills", "runs", "writers", "stops"}
"""Parts whose victims are forks: a fork of a process in which torch has started its threads waits for them for ever."""


def _faults(part: str, count: int, place: Path, seed: int = 0) -> list[str]:
    if part in FORKING:
        arguments = [sys.executable, "-m", "tests.campaign.trust", part, "--count", str(count), "--seed", str(seed)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(place)}
        done = subprocess.run(arguments, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        return [done.stdout + done.stderr] if done.returncode else []
    try:
        return PARTS[part][0](count, seed, place).faults
    except PermissionError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("part", FEW)
def test_a_little_of_the_campaign(part: str, tmp_path: Path) -> None:
    assert not _faults(part, FEW[part], tmp_path, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", PARTS)
def test_the_whole_campaign(part: str, tmp_path: Path) -> None:
    assert not _faults(part, PARTS[part][1], tmp_path)
