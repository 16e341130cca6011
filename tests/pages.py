"""The code blocks of README and site, and how they run: each page in a folder of its own, top to bottom.

A block `python` runs in one namespace per page. In a block `bash` a line that begins with `autoal` runs in this
process, any other in a shell. A block whose fence has a `title="name"` is written to that file; a `toml` without one is
read as a config of a comparison. A comment before a block or on top of a page says what cannot be seen from it:
`<!-- not run: why -->` (or `no-test`); `<!-- page not run: why -->` and `<!-- slow -->` for the whole page.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
INSTALLS = re.compile(r"(pip|uv pip|uv venv|uv build|uv sync|git clone)\b")
"""Lines that change the environment: docs/releasing.md walks them, with a wheel in an empty one."""
_BLOCK = re.compile(
    r"(?:<!-- (?:not run|no-test): (?P<why>[^>]+?) -->\s*)?"
    r"^[ ]*```(?P<lang>\w+)(?P<head>[^\n]*)\n(?P<code>.*?)^[ ]*```",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    title: str | None
    """File that it is the content of."""
    not_run: str | None
    """Why not."""


def pages() -> list[Path]:
    """Every page with code of its own, README first."""
    written = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md"]
    return [path for path in [ROOT / "README.md", *written] if path.is_file() and blocks(path)]


def is_slow(path: Path) -> bool:
    return "<!-- slow -->" in path.read_text(encoding="utf-8")


def blocks(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    whole = re.search(r"<!-- page not run: ([^>]+?) -->", text)
    found = []
    for match in _BLOCK.finditer(text):
        title = re.search(r'title="([^"]+)"', match["head"])
        lines = match["code"].splitlines()
        indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        code = "\n".join(line[indent:] for line in lines) + "\n"
        found.append(Block(match["lang"], code, title[1] if title else None, match["why"] or (whole and whole[1])))
    return found


def run_page(path: Path, folder: Path) -> dict[str, Any]:
    """Runs what can be run, in `folder`, which is the working directory. Gives the names the Python blocks left.

    Raises AssertionError, with the command, where one fails; whatever a Python block raises.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, block in enumerate(blocks(path), 1):
        if block.not_run is not None:
            continue
        if block.title is not None:
            (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.title).write_text(block.code, encoding="utf-8")
        elif block.language == "toml":
            from autoal.experiment.config import parse_config

            parse_config({"name": path.stem, **tomllib.loads(block.code)})
        elif block.language == "python":
            exec(compile(block.code, f"{path.name}, block {number}", "exec"), names)
        elif block.language == "bash":
            for line in re.sub(r"\\\n\s*", "", block.code).splitlines():
                _run_line(line.strip(), folder)
    return names


def _run_line(line: str, folder: Path) -> None:
    if not line or line.startswith("#") or INSTALLS.match(line):
        return
    words = shlex.split(line, comments=True)
    if words[:2] == ["uv", "run"]:
        words = words[2:]
    if words[0] == "autoal":
        from autoal.cli import main  # in this process: to start one takes longer than most commands

        code = main(words[1:])
        assert code == 0, f"{line!r} ended with {code}"
        return
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", line], cwd=folder, env={**os.environ, "PATH": path}, check=False)
    assert done.returncode == 0, f"{line!r} ended with {done.returncode}"
