"""A person's path through the page, in a real browser, with what goes wrong on a day of labelling.

Run with `pytest -m browser -n 0`; Chromium has to be there (`apt-get install chromium`).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from autoal import Session
from autoal.labeling.command import _folder_of
from autoal.labeling.opening import open_session
from autoal.labeling.options import Options
from autoal.session.folder import Folder
from tests.labeling.browser import TIMER, Command, browser, digits, headlines, now_shown
from tests.labeling.problems import HOSTILE, picture_folder

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

LABELS = 60
FOREIGN = (4, 25, 46)
"""Answers that are "none of these"."""
WRONG = (7, 33)
"""Answers that are wrong at first, and taken back."""
RELOADED, KILLED = (15,), (12, 38)
"""Before these answers the page is loaded again; the command is killed, of which 12 is while a batch is chosen."""


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with browser() as opened:
        yield opened


@pytest.fixture
def commands() -> Iterator[Callable[..., Command]]:
    made: list[Command] = []

    def begun(*arguments: Any) -> Command:
        made.append(Command(*arguments))
        return made[-1]

    yield begun
    for command in made:
        command.kill()


def quiet(page: Any) -> list[str]:
    """What goes wrong in the page, from here on."""
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    return said


@pytest.mark.parametrize("kind", ["pictures", "texts"])
def test_nothing_is_lost_nothing_comes_twice_and_the_next_batch_is_the_same(
    tmp_path: Path, chrome: Any, commands: Callable[..., Command], kind: str
) -> None:
    if kind == "pictures":
        source, classes = tmp_path / "scans", "0,1,2,3,4,5,6,7,8,9"
        truth = digits(source)
        said = Options(classes=classes, seed=5, audit=0.2)
    else:
        source, classes = tmp_path / "news.csv", "World,Sports,Business,Sci/Tech"
        truth = headlines(source)
        classes = ",".join(dict.fromkeys(truth.values()))
        said = Options(classes=classes, seed=5, audit=0.2, text="text")
    options = [part for name, value in said.given().items() for part in (name, str(value))]
    keys = {name: name if kind == "pictures" else str(n) for n, name in enumerate(classes.split(","), start=1)}

    command = commands(source, *options)
    context = chrome.new_context()
    context.add_init_script(TIMER)
    page = context.new_page()
    page.goto(command.url)
    session_folder = _folder_of(source, None)
    shown: list[str] = []
    delays: list[float] = []
    name = now_shown(page)
    for step in range(LABELS + len(FOREIGN)):
        if step in RELOADED:
            delays += page.evaluate("window.delays")
            page.reload()
            assert now_shown(page) == name
        if step in KILLED:
            delays += page.evaluate("window.delays")
            command.kill()
            page.keyboard.press(keys[truth[name]])
            page.locator("#error", has_text="does not answer").wait_for()
            command = commands(source, *options)
            page.goto(command.url)
            assert now_shown(page) == name
        shown.append(name)
        if step in WRONG:
            wrong = next(key for label, key in keys.items() if label != truth[name])
            page.keyboard.press(wrong)
            other = now_shown(page, name)
            page.keyboard.press("u")
            assert now_shown(page, other) == name
        page.keyboard.press("o" if step in FOREIGN else keys[truth[name]])
        name = now_shown(page, name)
    delays += page.evaluate("window.delays")
    session = Session.open(session_folder)
    batches = [record["ids"] for record in Folder(session_folder).read()[0] if record["event"] == "ask"]
    assert command.interrupt() == 0

    assert len(set(shown)) == len(shown)
    asked = [point for batch in batches for point in batch]
    assert len(set(asked)) == len(asked) and asked[: len(shown) + 1] == [*shown, name]
    foreign = {shown[step] for step in FOREIGN}
    assert session.labeled == {point: _as_class(truth[point], session) for point in shown if point not in foreign}
    assert len(session.labeled) == LABELS and session.skipped == dict.fromkeys(foreign, "ood")

    assert len(batches) == 4 and batches == uninterrupted(tmp_path, source, said, truth)
    assert statistics.median(delays) < 100, "milliseconds from a key to the next point"
    page_of_report = session.report(estimate=kind == "texts").read_text()
    assert "The audit, with the labels of the last round" in page_of_report
    assert kind == "pictures" or "Cross-validated accuracy" in page_of_report


def _as_class(name: str, session: Session) -> Any:
    return next(label for label in session.classes or [] if str(label) == name)


def uninterrupted(tmp_path: Path, source: Path, said: Options, truth: dict[str, str]) -> list[list[str]]:
    """The batches of a program that gives the same answers and waits for each batch."""
    session, _, _ = open_session(source, tmp_path / "whole", said, batch_size=20, model=None)
    session.ask_ahead(20)
    for step in range(LABELS + len(FOREIGN)):
        name = session.pending[0]
        if step in WRONG:
            session.tell(name, next(label for label in session.classes or [] if str(label) != truth[name]))
            session.ask_ahead(20)
            assert session.undo() == [name]
            session.ask_ahead(20)
        if step in FOREIGN:
            session.skip(name)
        else:
            session.tell(name, _as_class(truth[name], session))
        session.ask_ahead(20)
    return [record["ids"] for record in Folder(session.folder).read()[0] if record["event"] == "ask"]


def test_hostile_names_classes_and_texts_are_text(
    tmp_path: Path, chrome: Any, commands: Callable[..., Command]
) -> None:
    texts = [HOSTILE, "<b>bold</b>", "javascript:window.hurt=1", "{{7*7}} ${7*7}", "plain words", "\u202eturned"] * 2
    frame = pd.DataFrame({"id": [f"{HOSTILE}{n}" for n in range(12)], "text": texts, HOSTILE: texts})
    frame.to_csv(tmp_path / "x.csv", index=False)
    page = chrome.new_page()
    wrong = quiet(page)
    command = commands(tmp_path / "x.csv", "--text", "text", "--batch-size", "12")
    page.goto(command.url)
    name = now_shown(page)
    page.fill("#new", HOSTILE)
    page.keyboard.press("Enter")
    page.wait_for_selector("#classes button")
    page.keyboard.press("Escape")
    assert page.text_content("#classes button .label") == HOSTILE
    by_id = dict(zip(frame["id"], frame["text"], strict=True))
    for _ in range(11):
        assert page.text_content("#item") == by_id[name] and page.text_content("#name") == name
        page.keyboard.press("1")
        name = now_shown(page, name)
    rows = commands(tmp_path / "x.csv", "--session", str(tmp_path / "rows-session"))
    page.goto(rows.url)
    now_shown(page)
    assert HOSTILE in [cell.text_content() for cell in page.query_selector_all("#item th")]
    folder = picture_folder(tmp_path / "p", 6)
    nasty = folder / 'a" onerror="window.hurt=1" <img src=x onerror=window.hurt=1>&amp;.png'
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(nasty)
    pictures = commands(folder)
    page.goto(pictures.url)
    seen = {now_shown(page)}
    for _ in range(6):
        page.keyboard.press("s")
        page.wait_for_function(
            "(n) => document.getElementById('counts').textContent.includes(n)", arg=f"{len(seen)} skipped"
        )
        seen |= {now_shown(page)} if len(seen) < 7 else set()
    assert nasty.name in seen
    assert page.evaluate("window.hurt") is None and not wrong
    assert page.query_selector("#main script, #main b, #main [onerror]") is None


def test_by_keyboard_alone(tmp_path: Path, chrome: Any, commands: Callable[..., Command]) -> None:
    page = chrome.new_page()
    wrong = quiet(page)
    page.goto(commands(picture_folder(tmp_path / "p", 12), "--batch-size", "4").url)
    name = now_shown(page)
    for kind in ("left", "right"):
        page.keyboard.press("n")
        page.keyboard.type(f"{kind} soup")  # letters that are keys elsewhere
        page.keyboard.press("Enter")
        page.wait_for_function(
            "(n) => document.querySelectorAll('#classes button').length === n", arg=("left", "right").index(kind) + 1
        )
        page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.is_visible("#help") and "left soup" in page.text_content("#keys")
    page.keyboard.press("1")  # is no answer while help is open
    page.keyboard.press("Escape")
    assert not page.is_visible("#help") and now_shown(page) == name
    assert "Show" in page.text_content("#guess")
    page.keyboard.press("g")
    assert "chosen without a model" in page.text_content("#guess")
    page.keyboard.press("g")
    page.keyboard.down("1")
    for _ in range(5):
        page.keyboard.down("1")  # held down: the repeats are no answers
    page.keyboard.up("1")
    second = now_shown(page, name)
    assert "1 labeled" in page.text_content("#counts") and "left soup" in page.text_content("#status")
    reached = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert {"item", "guess", "none", "skip", "undo", "new", "help-open"} <= reached
    assert any("right soup" in one for one in reached)
    page.focus("#classes button:last-child")
    page.keyboard.press("Enter")
    assert now_shown(page, second) != name
    page.keyboard.press("u")
    assert now_shown(page) == second or now_shown(page, now_shown(page)) == second
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input')].filter((e) => !(e.textContent.trim() || e.ariaLabel ||"
        " e.labels?.length)).map((e) => e.id)"
    )
    assert unnamed == [] and page.get_attribute("#item img", "alt") and not wrong


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize(
    "classes", ["a,b", "0,1,2,3,4,5,6,7,8,9", ",".join(f"a rather long name {n}" for n in range(14))]
)
def test_it_fits_a_phone_and_fingers(
    tmp_path: Path, chrome: Any, commands: Callable[..., Command], width: int, classes: str
) -> None:
    page = chrome.new_context(viewport={"width": width, "height": 844}, has_touch=width < 500).new_page()
    page.goto(commands(picture_folder(tmp_path / "p", 8), "--classes", classes).url)
    name = now_shown(page)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    small = page.evaluate(
        "[...document.querySelectorAll('button')].map((e) => e.getBoundingClientRect())"
        ".filter((r) => r.height && (r.height < 44 || r.width < 44 || r.right > innerWidth)).length"
    )
    assert small == 0
    (page.tap if width < 500 else page.click)("#classes button:first-child")
    assert now_shown(page, name) != name


def test_without_the_token_the_page_is_empty_and_says_what_to_do(
    tmp_path: Path, chrome: Any, commands: Callable[..., Command]
) -> None:
    command = commands(picture_folder(tmp_path / "p", 8))
    page = chrome.new_page()
    page.goto(command.url.partition("#")[0])
    page.locator("#error", has_text="token").wait_for()
    page.goto(command.url)
    now_shown(page)
    assert "token" not in page.url and page.text_content("#error") == ""
    other = chrome.new_page()  # a page of somebody else cannot read it, not even with the token
    other.goto("about:blank")
    got = other.evaluate(
        "(url) => fetch(url.replace('/#token=', '/api/view'), {headers: {'X-Autoal-Token': url.split('=')[1]}})"
        ".then((r) => r.status, (e) => 'refused')",
        command.url.replace("/#token=", "/#token="),
    )
    assert got == "refused"
