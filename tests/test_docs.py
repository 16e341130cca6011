"""Every code block of README and site runs, from top to bottom of its page."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.pages import ROOT, blocks, is_slow, pages, run_page

LANGUAGES = {"python", "bash", "toml", "text", "console"}
"""The last two are to be read: what is printed, and sessions of machines that are not here."""
SITE = {"docs", "configs", *(path.name for path in ROOT.glob("*.md")), "CITATION.cff", "LICENSE"}
RESULTS = ("baselines", "results")
"""What docs/_build/hooks.py puts on the site."""


def case(path: Path):
    name = path.relative_to(ROOT).as_posix()
    return pytest.param(path, id=name, marks=[pytest.mark.slow, pytest.mark.timeout(1200)] if is_slow(path) else [])


@pytest.mark.filterwarnings("default::autoal.errors.AutoALWarning")  # pages may show what a user is told
@pytest.mark.parametrize("path", [case(path) for path in pages()])
def test_the_code_of_a_page_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "dist").mkdir()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    run_page(path, tmp_path)


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in pages()])
def test_a_block_that_does_not_run_says_why(path: Path) -> None:
    for block in blocks(path):
        assert block.language in LANGUAGES, f"{path.name}: a block of {block.language}, which nothing runs"
        assert block.not_run is None or len(block.not_run.split()) >= 2


def test_links_to_files_of_the_repository_hold() -> None:
    """Also those that the site does not see: of README, and into baselines/results."""
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "baselines/results").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if "://" in target or target.startswith("mailto:") or target.endswith("gallery.md"):
                continue
            found = (page.parent / target).resolve()
            assert found.exists(), f"{page.relative_to(ROOT)} links to {target}"
            on_site = found.relative_to(ROOT).parts[0] in SITE or found.relative_to(ROOT).parts[:2] == RESULTS
            assert on_site, f"{page.relative_to(ROOT)} links to {target}, which the site does not have"
