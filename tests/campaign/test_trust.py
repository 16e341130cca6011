"""What is done to folders and files: a little each time, the whole campaign with `-m slow`; its counts are in
docs/trust.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaign.trust import PARTS

FEW = {"kills": 4, "runs": 3, "cuts": 40, "flips": 100, "files": 150, "disks": 2, "writers": 40, "asks": 8}


def _faults(part: str, count: int, place: Path, seed: int = 0) -> list[str]:
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
