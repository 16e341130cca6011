"""The README's examples run, and its tables are those of the code."""

import re
import sys
from pathlib import Path

import pytest

from autoal.strategies import CANDIDATES
from baselines import SELECTORS

README = Path(__file__).parents[1] / "README.md"
MARKS = {
    table: (f"<!-- {table}: made by tests/test_readme.py --write -->", f"<!-- /{table} -->")
    for table in ("candidates", "selectors")
}


def candidates_table() -> str:
    """Markdown, one row a candidate."""
    lines = ["| name | family | tasks | needs | cost | source |", "|---|---|---|---|---|---|"]
    for name, strategy in CANDIDATES.items():
        needs = ", ".join(f"`{field}`" for field in sorted(strategy().needs)) or "nothing"
        tasks = ", ".join(sorted(strategy.tasks))
        lines.append(f"| `{name}` | {strategy.family} | {tasks} | {needs} | {strategy.cost} | {strategy.source} |")
    return "\n".join(lines)


def selectors_table() -> str:
    """The same of the selectors that are no candidate alone."""
    lines = ["| name | cost | source |", "|---|---|---|"]
    for name, factory in SELECTORS.items():
        if name not in CANDIDATES:
            lines.append(f"| `{name}` | {factory.cost} | {factory.source} |")
    return "\n".join(lines)


TABLES = {"candidates": candidates_table, "selectors": selectors_table}


def section(table: str) -> tuple[str, str, str]:
    begin, end = MARKS[table]
    before, rest = README.read_text().split(begin)
    made, after = rest.split(end)
    return before, made.strip(), after


@pytest.mark.parametrize("table", TABLES)
def test_the_tables_are_those_of_the_code(table):
    assert section(table)[1] == TABLES[table](), "run: python -m tests.test_readme --write"


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
    for name, made in TABLES.items():
        before, _, after = section(name)
        README.write_text(f"{before}{MARKS[name][0]}\n{made()}\n{MARKS[name][1]}{after}")
