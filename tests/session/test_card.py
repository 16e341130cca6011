"""What a notebook shows of a session and of a batch: words as words, in the colours of the page."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from autoal import Query, Session
from tests.session.problems import NAMES, X, begun, named, truth

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a&amp;b</td></table>",
    "$x$ {{7*7}}",
    "x" * 5000,
]


class Read(HTMLParser):
    """The tags, attributes and text of a page, and whether each tag is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.styles: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.styles += [value or "" for name, value in attrs if name == "style"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Read:
    found = Read(page)
    assert set(found.tags) <= {"div", "table", "tr", "th", "td"} and found.attributes <= {"style", "scope"}
    assert found.open == [] and len(page) < 12_000
    styles = ";".join(found.styles)
    assert set(re.findall(r"(?:^|;)color:([^;]*)", styles)) == {"inherit"}  # the page's own colours
    assert set(re.findall(r"background:([^;]*)", styles)) == {"transparent"} and "url(" not in styles
    return found


def test_a_session_says_how_it_stands(tmp_path: Path) -> None:
    session = begun(tmp_path / "leaves")
    assert "leaves" in read(session._repr_html_()).text
    batch = session.ask(3)
    found = read(session._repr_html_()).text
    assert "pending3" in found and "no labels" in found
    session.tell(batch, named(batch.ids))
    session.ask(2)
    found = read(session._repr_html_()).text
    assert "labeled3" in found and "rounds2" in found and "oak 1" in found


def test_the_audit_is_said_in_both(tmp_path: Path) -> None:
    session = begun(tmp_path / "s", search={"audit": 0.3, "episodes": 2})
    session.tell(NAMES[:12], truth[:12])
    for _ in range(2):
        batch = session.ask(6)
        session.tell(batch, named(batch.ids))
    says = batch.diagnostics["audit"]["says"]
    assert says in read(session._repr_html_()).text and says in read(batch._repr_html_()).text


def test_a_batch_says_what_was_asked(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    session.tell(NAMES[:12], truth[:12])
    batch = session.ask(11)
    found = read(batch._repr_html_()).text
    assert "11 points to label" in found and "and 3 more" in found and all(name in found for name in batch.ids[:8])
    empty = Query(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.full(3, np.nan))
    assert "0 points to label" in read(empty._repr_html_()).text
    assert "11 points" in read(session.pending_query()._repr_html_()).text


@pytest.mark.parametrize("words", HOSTILE)
def test_names_of_others_are_shown_as_text(tmp_path: Path, words: str) -> None:
    ids = [f"{words}{row}" for row in range(60)]
    session = Session.create(tmp_path / "s", X, ids=ids, random_state=0, candidates="fast")
    session.tell(ids[0], words)
    found = read(session._repr_html_()).text
    assert words[:40] in found
    found = read(session.ask(3)._repr_html_()).text
    assert words[:300] in found
    said = {"cold_start": words, "audit": {"says": words}}
    votes = {words: np.ones(2, dtype=bool)}
    query = Query(np.arange(2), np.asarray([words, "b"], dtype=object), np.zeros(2), {words: 1.0}, votes, said)
    assert read(query._repr_html_()).text.count(words[:300]) >= 5


def test_a_folder_with_a_hostile_name(tmp_path: Path) -> None:
    session = begun(tmp_path / "<b onclick=x>&")
    assert "<b onclick=x>&" in read(session._repr_html_()).text


def test_half_a_surrogate_pair_is_no_reason_for_no_page() -> None:
    query = Query(np.arange(1), np.asarray(["a\udc80b"], dtype=object), np.zeros(1))
    read(query._repr_html_()).text.encode("utf-8")
