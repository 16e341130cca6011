"""The site: one command, no warning; every strategy has its picture."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from autoal.strategies import CANDIDATES
from tests.pages import ROOT

GALLERY = ROOT / "docs/pictures/gallery"


def test_every_strategy_has_a_small_picture() -> None:
    missing = [name for name in (*CANDIDATES, "autoal") if not (GALLERY / f"{name}.svg").is_file()]
    assert not missing, f"run: python docs/_build/gallery.py {' '.join(missing)}"
    sizes = [path.stat().st_size for path in GALLERY.iterdir()]
    assert max(sizes) < 20_000 and len(sizes) == len(CANDIDATES) + 1


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocstrings", reason="the extra `docs` is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    site = tmp_path / "site"
    assert (site / "results/validation.html").is_file() and (site / "gallery.html").is_file()
    for page in site.rglob("*.html"):  # offline: nothing is loaded from elsewhere
        loaded = re.findall(r'(?:src|<link[^>]+href)="(https?://[^"]+)"', page.read_text("utf-8"))
        assert not loaded, f"{page.name} loads {loaded}"
    text = (site / "gallery.html").read_text("utf-8")
    assert all(f'id="{name}"' in text for name in CANDIDATES)
