"""A person at the page: Chromium, driven by Playwright, and the command that serves it as a process to be killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

__all__ = ["Command", "browser", "chromium", "digits", "headlines", "now_shown"]

TIMER = """
window.delays = []; let pressed = 0;
document.addEventListener("keydown", () => { pressed = performance.now(); }, true);
document.addEventListener("DOMContentLoaded", () => {
  new MutationObserver(() => requestAnimationFrame(() => {
    if (pressed) window.delays.push(performance.now() - pressed);
    pressed = 0;
  })).observe(document.getElementById("item"), { attributes: true, attributeFilter: ["data-row"] });
});
"""
"""Milliseconds from each key to the frame after the next point has been drawn, its picture decoded."""


def chromium() -> str | None:
    """The path of a browser; None where there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Skips the test where there is none."""
    api = pytest.importorskip("playwright.sync_api")
    path = chromium()
    if path is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])  # root of a container
        yield opened
        opened.close()


class Command:
    """`autoal label`, begun when this is made; `url` is what it printed."""

    def __init__(self, source: Path, *options: str) -> None:
        command = [sys.executable, "-m", "autoal", "label", str(source), "--no-browser", "--port", "0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), "the command has ended"

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait()

    def interrupt(self) -> int:
        """Ctrl-C; gives the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


def now_shown(page: Any, before: str | None = None) -> str:
    """The name of the point on the screen, once it is another one than `before`."""
    page.wait_for_function(
        "(before) => !document.getElementById('desk').hidden && document.getElementById('item').dataset.name"
        " && document.getElementById('item').dataset.name !== before && !document.querySelector('[aria-busy]')",
        arg=before,
        timeout=300_000,
    )
    return str(page.get_attribute("#item", "data-name"))


def real(name: str) -> Any:
    """A real data set. Skips the test where there is none."""
    folder = os.environ.get("AUTOAL_DATA")
    if not folder or not (Path(folder) / name).is_file():
        pytest.skip(f"AUTOAL_DATA names no folder with {name}")
    return np.load(Path(folder) / name, allow_pickle=False)


def digits(folder: Path, n: int = 500) -> dict[str, str]:
    """n handwritten digits as PNG files in `folder`; name -> truth."""
    data = real("images/usps.npz")
    chosen = np.random.default_rng(0).permutation(len(data["y"]))[:n]
    folder.mkdir()
    truth = {}
    for number, row in enumerate(chosen.tolist()):
        name = f"scan-{number:04d}.png"
        Image.fromarray(data["X"][row]).save(folder / name)
        truth[name] = str(data["classes"][data["y"][row]])
    return truth


def headlines(file: Path, n: int = 300) -> dict[str, str]:
    """n news items as a CSV file with columns id, text and length; id -> truth."""
    import pandas as pd

    data = real("text/ag_news_part.npz")
    chosen = np.random.default_rng(0).permutation(len(data["y"]))[:n].tolist()
    offsets = data["offsets"]
    texts = [bytes(data["utf8"][offsets[row] : offsets[row + 1]]).decode("utf-8") for row in chosen]
    names = [f"news{number}" for number in range(n)]
    frame = {"id": names, "text": texts, "length": [len(text) for text in texts]}
    pd.DataFrame(frame).to_csv(file, index=False)
    return dict(zip(names, (str(data["classes"][data["y"][row]]) for row in chosen), strict=True))
