"""How long a person waits at the page: until the first picture, and from a key to the next one while a model trains.

    AUTOAL_DATA=... python -m tests.benchmarks.label_page --starts 5 --out baselines/results/label_page.md

500 digits as PNG files, Chromium by Playwright. The clock of a start runs from the call of the command until the first
picture is on the screen; the browser is open already, as a person's is. Delays of keys are those of the browser: from
the key to the frame after the next picture has been drawn.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from autoal import Session
from autoal.session.folder import Folder
from tests.labeling.browser import TIMER, Command, browser, digits, headlines, now_shown

DIGITS = ("--classes", "0,1,2,3,4,5,6,7,8,9", "--seed", "0")


def start(chrome: Any, source: Path, options: tuple[str, ...]) -> tuple[float, float]:
    """Seconds from the command to the first picture, and the processor seconds of the command meanwhile."""
    page = chrome.new_page()
    before = time.perf_counter()
    command = Command(source, *options)
    page.goto(command.url)
    now_shown(page)
    seconds = time.perf_counter() - before
    page.close()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    command.kill()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime


def keys(chrome: Any, source: Path, options: tuple[str, ...], keys_of: dict[str, str], answers: int) -> dict[str, Any]:
    """Delays in milliseconds while batches are chosen and while none is, and what choosing took."""
    command = Command(source, *options)
    context = chrome.new_context()
    context.add_init_script(TIMER)
    page = context.new_page()
    page.goto(command.url)
    name = now_shown(page)
    busy: list[float] = []
    idle: list[float] = []
    waits: list[float] = []
    for _ in range(answers):
        time.sleep(0.6)  # a quick person
        training = command_is_choosing(page)
        page.keyboard.press(keys_of[name])
        began = time.perf_counter()
        name = now_shown(page, name)
        page.wait_for_function("() => window.delays.length")
        (delay,) = page.evaluate("window.delays.splice(0)")
        if delay > 1000:  # the end of a batch, and the next one was not there yet
            waits.append(time.perf_counter() - began)
        else:
            (busy if training else idle).append(delay)
    folder = source.parent / f"{source.stem}-session"
    command.interrupt()
    asks = [record for record in Folder(folder).read()[0] if record["event"] == "ask"]
    session = Session.open(folder)
    return {
        "busy": busy,
        "idle": idle,
        "waits": waits,
        "choosing": [record["seconds"] for record in asks[1:]],
        "labels": len(session.labeled),
    }


def command_is_choosing(page: Any) -> bool:
    return bool(page.evaluate("view !== null && view.choosing !== null"))


def line(name: str, values: list[float], unit: str) -> str:
    if not values:
        return f"| {name} | none | | |"
    ordered = sorted(values)
    ninth = ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))]
    return f"| {name} | {statistics.median(values):.3g} {unit} | {ninth:.3g} {unit} | {len(values)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--answers", type=int, default=70)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    rows = ["| what | median | nine in ten below | times |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as made, browser() as chrome:
        work = Path(made)
        load = os.getloadavg()[0]
        firsts = []
        for number in range(chosen.starts):
            source = work / f"scans{number}"
            truth = digits(source)
            firsts.append(start(chrome, source, DIGITS))
        again = [start(chrome, work / "scans0", DIGITS) for _ in range(chosen.starts)]
        rows.append(line("command to first picture, new session", [seconds for seconds, _ in firsts], "s"))
        rows.append(line("processor time of that", [used for _, used in firsts], "s"))
        rows.append(line("command to first picture, session there", [seconds for seconds, _ in again], "s"))
        for kind in ("pictures", "texts"):
            if kind == "pictures":
                source, options = work / "scans", DIGITS
                truth = digits(source)
                of = truth
            else:
                source = work / "news.csv"
                truth = headlines(source)
                classes = list(dict.fromkeys(truth.values()))
                options = ("--text", "text", "--classes", ",".join(classes), "--seed", "0")
                of = {name: str(classes.index(label) + 1) for name, label in truth.items()}
            found = keys(chrome, source, options, of, chosen.answers)
            rows.append(
                line(
                    f"key to next, 500 {kind}" if kind == "pictures" else "key to next, 300 texts", found["idle"], "ms"
                )
            )
            rows.append(line(f"the same while a model trains, {kind}", found["busy"], "ms"))
            rows.append(line(f"choosing a batch, {kind}", found["choosing"], "s"))
            rows.append(line(f"waits for a batch at 0.6 s an answer, {kind}", found["waits"], "s"))
        load = max(load, os.getloadavg()[0])
    text = "\n".join(
        [
            "# Waiting at the page\n",
            "`python -m tests.benchmarks.label_page`: 500 USPS digits and 300 news items, batches of 20, "
            f"{os.cpu_count()} cores, load average up to {load:.1f}, Python {sys.version.split()[0]}, "
            "Chromium.\n",
            *rows,
            "",
        ]
    )
    print(text)
    if chosen.out:
        chosen.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
