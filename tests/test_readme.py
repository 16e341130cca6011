"""The README is short and names the two commands; the tables of candidates and selectors are those of the code."""

import sys
from pathlib import Path

import pytest

from autoal.strategies import CANDIDATES
from baselines import SELECTORS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = {table: ROOT / f"docs/reference/{table}.md" for table in ("candidates", "selectors")}
"""Where each table stands."""
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
    before, rest = PAGES[table].read_text("utf-8").split(begin)
    made, after = rest.split(end)
    return before, made.strip(), after


@pytest.mark.parametrize("table", TABLES)
def test_the_tables_are_those_of_the_code(table):
    assert section(table)[1] == TABLES[table](), "run: python -m tests.test_readme --write"


def test_the_first_page_is_short():
    assert len(README.read_text("utf-8").splitlines()) <= 150


@pytest.mark.parametrize("command", ["uv run autoal quickstart", "uv run pytest"])
def test_the_two_commands_are_named(command):
    assert f"pip install uv && {command}" in README.read_text("utf-8")


if __name__ == "__main__" and "--write" in sys.argv:
    for name, made in TABLES.items():
        before, _, after = section(name)
        PAGES[name].write_text(f"{before}{MARKS[name][0]}\n{made()}\n{MARKS[name][1]}{after}", "utf-8")
