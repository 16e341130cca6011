"""What is built and installed: small, without results, and one name in the environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import autoal
from autoal.errors import RunError
from autoal.experiment import plugins
from tests.pages import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_one_version_everywhere() -> None:
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    assert cited is not None
    assert PROJECT["version"] == autoal.__version__ == cited[1]
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_every_extra_is_explained() -> None:
    page = (ROOT / "docs/install.md").read_text("utf-8")
    assert all(f"| `{extra}` |" in page for extra in PROJECT["optional-dependencies"])


def test_a_stranger_named_baselines_is_not_taken_for_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "baselines.py").write_text("SELECTORS = {}\n")
    monkeypatch.syspath_prepend(tmp_path)
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "baselines"}
    try:
        with pytest.raises(RunError, match="hides the rivals"):
            plugins._bundled()
    finally:
        sys.modules.pop("baselines", None)
        sys.modules.update(kept)


@pytest.mark.slow
def test_the_wheel_is_small_and_finds_its_rivals(tmp_path: Path) -> None:
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("no uv here, which builds the wheel")
    done = subprocess.run([uv, "build", "-q", "--wheel", "--out-dir", str(tmp_path / "dist"), str(ROOT)], check=False)
    if done.returncode:
        pytest.skip("the wheel could not be built: uv has no hatchling, and cannot get it")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert wheel.stat().st_size < 1_000_000
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    assert {name.split("/")[0] for name in names} == {"autoal", f"autoal-{PROJECT['version']}.dist-info"}
    assert "autoal/py.typed" in names and "autoal/report/page.html.j2" in names
    assert not [name for name in names if name.endswith((".md", ".csv", ".png", ".jsonl")) or "/results/" in name]
    code = (
        "import autoal; from autoal.experiment.plugins import selector_table; table = selector_table(); "
        "print(autoal.__file__, table['refine'].__module__, len(table))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    where, module, _ = ran.stdout.split()
    assert where.startswith(str(tmp_path)) and module == "autoal._baselines.refine"
