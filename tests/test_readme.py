"""The README's examples run, and its table of candidates is the one in the code."""

import re
import sys
from pathlib import Path

import pytest

from autoal.strategies import CANDIDATES

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- candidates: made by tests/test_readme.py --write -->", "<!-- /candidates -->"


def candidates_table() -> str:
    """Markdown, one row a candidate."""
    lines = ["| name | family | tasks | needs | cost | source |", "|---|---|---|---|---|---|"]
    for name, strategy in CANDIDATES.items():
        needs = ", ".join(f"`{field}`" for field in sorted(strategy().needs)) or "nothing"
        tasks = ", ".join(sorted(strategy.tasks))
        lines.append(f"| `{name}` | {strategy.family} | {tasks} | {needs} | {strategy.cost} | {strategy.source} |")
    return "\n".join(lines)


def section() -> tuple[str, str, str]:
    text = README.read_text()
    before, rest = text.split(BEGIN)
    table, after = rest.split(END)
    return before, table.strip(), after


def test_the_table_of_candidates_is_that_of_the_code():
    assert section()[1] == candidates_table(), "run: python -m tests.test_readme --write"


def test_the_python_examples_run_in_one_session(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) >= 3
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert len(names["picked"]) == 10 and (tmp_path / "batch.csv").is_file()
    assert "margin" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["uv run autoal quickstart", "uv run pytest"])
def test_the_two_commands_are_named(command):
    assert f"pip install uv && {command}" in README.read_text()


if __name__ == "__main__" and "--write" in sys.argv:
    before, _, after = section()
    README.write_text(f"{before}{BEGIN}\n{candidates_table()}\n{END}{after}")
