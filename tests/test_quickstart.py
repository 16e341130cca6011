"""The first command a stranger gives."""

from __future__ import annotations

import json
import sys
import webbrowser
from pathlib import Path

import pytest

from autoal import cli


@pytest.mark.slow
def test_it_answers_in_words_and_leaves_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["quickstart", "--out", str(tmp_path / "run"), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "the accuracy that random labels reach with" in out and "was reached with" in out
    assert "Next, on data of your own" in out
    manifest = json.loads((tmp_path / "run/manifest.json").read_text("utf-8"))
    assert len(manifest["config"]["seeds"]) == 10
    assert (tmp_path / "run/report.html").is_file()


@pytest.mark.parametrize(("terminal", "display", "ci", "opened"), [(True, True, False, 1), (True, False, False, 0),
    (False, True, False, 0), (True, True, True, 0)])  # fmt: skip
def test_the_page_is_opened_where_somebody_looks(
    terminal: bool, display: bool, ci: bool, opened: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls: list[str] = []
    monkeypatch.setattr(webbrowser, "open", urls.append)
    monkeypatch.setattr(cli, "_compare", lambda *given, **named: None)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    for variable, there in (("DISPLAY", display), ("CI", ci)):
        monkeypatch.setenv(variable, "1") if there else monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert cli.main(["quickstart", "--out", str(tmp_path / "run")]) == 0
    assert len(urls) == opened and all(url.startswith("file:") for url in urls)
    urls.clear()
    assert cli.main(["quickstart", "--out", str(tmp_path / "run"), "--no-browser"]) == 0
    assert not urls
