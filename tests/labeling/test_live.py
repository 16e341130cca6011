"""A session behind a real Label Studio, on this machine.

Run with `pytest -m label_studio -n 0`; it wants the extra `label-studio`. Label Studio itself is installed from the
package index into an environment below a temporary folder, which wants `uv` and takes minutes; or name one:

    uv venv --python 3.11 ~/ls && uv pip install --python ~/ls/bin/python label-studio
    AUTOAL_LABEL_STUDIO=~/ls/bin/label-studio pytest -m label_studio -n 0

Where neither is possible the tests are skipped.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoal import Session
from tests.labeling.studio import TOKEN, Annotator, Server, executable, until

pytestmark = [pytest.mark.label_studio, pytest.mark.timeout(3000)]

BATCH = 20
WORDS = {
    "oak": ["lobed leaf", "acorn in its cup", "brown furrowed bark", "acorn and twig"],
    "elm": ["uneven leaf base", "winged samara", "rough double teeth", "samara in spring"],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("label_studio_sdk")
    folder = tmp_path_factory.mktemp("label-studio")
    made = Server(executable(folder / "environment"), folder, folder)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def serve(server: Server, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts `autoal serve`; what it says goes into `said.txt`."""
    running: list[subprocess.Popen[bytes]] = []

    def start(run: Path, *options: str, key: str = TOKEN) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "autoal", "serve", str(run), "--label-studio", server.url, *options]
        assert key not in " ".join(command)
        with open(tmp_path / "said.txt", "ab") as said:
            running.append(subprocess.Popen(command, env={**os.environ, "LABEL_STUDIO_API_KEY": key}, stderr=said))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def session_of_texts(folder: Path, n: int = 120) -> tuple[Session, dict[str, str]]:
    """A session, and the truth of each id."""
    rng = np.random.default_rng(0)
    kinds = rng.choice(["oak", "elm"], n)
    ids = [f"note {i}" for i in range(n)]
    places = rng.choice(["river", "hill", "park", "road"], n)
    texts = [
        f"{rng.choice(WORDS[kind])} by the {place} {i}"
        for i, (kind, place) in enumerate(zip(kinds, places, strict=True))
    ]
    session = Session.create(folder, texts, ids=ids, classes=["oak", "elm"], candidates="fast", random_state=0)
    return session, dict(zip(ids, kinds.tolist(), strict=True))


def own(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [task for task in tasks if "autoal" in task["meta"]]


def test_two_rounds_with_either_side_killed_in_between(
    server: Server, serve: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    session, truth = session_of_texts(run)
    ann, (ben, ben_key) = Annotator.first(server.url), Annotator.signing_up(server.url, "ben@example.com")
    project = ann.ask("POST", "/api/projects", {"title": "notes on trees"})["id"]
    options = [
        "--project", str(project), "--batch-size", str(BATCH), "--interval", "0.5", "--on-conflict", "skip",
        "--refill", "1",
    ]  # fmt: skip
    serving = serve(run, *options)
    first = until(lambda: (tasks := own(ann.tasks(project))) and len(tasks) == BATCH and tasks)
    ann.ask("POST", f"/api/projects/{project}/import", [{"data": {"text": "somebody else's", "id": "note 1"}}])

    def truly(task: dict[str, Any]) -> str:
        return truth[task["data"]["id"]]

    def falsely(task: dict[str, Any]) -> str:
        return "elm" if truly(task) == "oak" else "oak"

    for task in first[:8]:
        ann.choose(task["id"], truly(task))
    until(lambda: session.status()["labeled"] >= 3)
    serving.send_signal(signal.SIGKILL)  # with answers that it has not seen, perhaps
    serving.wait()
    slip = ann.choose(first[8]["id"], falsely(first[8]))
    for task in first[9:12]:
        ann.choose(task["id"], truly(task))
    serve(run, *options, key=ben_key)  # from here on with a personal access token
    until(lambda: session.status()["labeled"] == 12)
    assert session.labeled[first[8]["data"]["id"]] == falsely(first[8])

    server.kill()
    until(lambda: b"trying again" in (tmp_path / "said.txt").read_bytes())
    server.start()
    ann.change(slip, truly(first[8]))
    ann.cancel(first[12]["id"])
    ann.choose(first[13]["id"], "oak")
    ben.choose(first[13]["id"], "elm")  # they differ: skipped
    ann.choose(first[14]["id"], truly(first[14]))
    ben.choose(first[14]["id"], truly(first[14]))
    taken_back = ann.choose(first[15]["id"], falsely(first[15]))
    until(lambda: first[15]["data"]["id"] in session.labeled)
    ann.delete(taken_back)
    until(lambda: first[15]["data"]["id"] not in session.labeled)
    for task in first[15:]:
        ben.choose(task["id"], truly(task))

    second = until(lambda: (tasks := own(ann.tasks(project))[BATCH:]) and len(tasks) == BATCH and tasks)
    for task in second:
        (guess,) = task["predictions"]
        assert guess["result"][0]["value"]["choices"][0] in ("oak", "elm") and 0 < guess["score"] <= 1
        ann.choose(task["id"], truly(task))
    until(lambda: session.status()["labeled"] == 2 * BATCH - 2)

    names = [task["data"]["id"] for task in own(ann.tasks(project))]
    assert len(set(names)) == len(names)  # no point has two tasks
    assert session.labeled == {name: truth[name] for name in session.labeled}
    assert session.skipped == {first[12]["data"]["id"]: "cancelled", first[13]["data"]["id"]: "disagreement"}
    assert sorted([*session.labeled, *session.skipped]) == sorted(task["data"]["id"] for task in [*first, *second])
    assert b"1 task of the project not of this session" in (tmp_path / "said.txt").read_bytes()
    for file in run.rglob("*"):
        if file.is_file():
            assert TOKEN.encode() not in file.read_bytes() and ben_key.encode() not in file.read_bytes()


def test_a_kill_while_tasks_are_added_adds_none_twice(
    server: Server, serve: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    session, _ = session_of_texts(run)
    options = ["--create", "killed while adding", "--batch-size", "30", "--interval", "0.5"]
    ann = Annotator.first(server.url)

    def projects() -> list[int]:
        found = ann.ask("GET", "/api/projects?page_size=100")["results"]
        return [project["id"] for project in found if project["title"] == "killed while adding"]

    for _ in range(3):
        serving = serve(run, *options)
        until(lambda: session.status()["pending"] == 30)  # in the journal, on the way to Label Studio
        serving.kill()
        serving.wait()
    serve(run, *options)
    until(lambda: b"30 open in Label Studio" in (tmp_path / "said.txt").read_bytes())
    (project,) = projects()
    rows = [task["data"]["index"] for task in ann.tasks(project)]
    assert len(rows) == len(set(rows)) == 30 and session.status()["pending"] == 30


def test_a_webhook_rings_and_ctrl_c_ends(
    server: Server, serve: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    session, truth = session_of_texts(run)
    serving = serve(run, "--create", "rings", "--batch-size", "4", "--interval", "600", "--webhook", "0")
    ann = Annotator.first(server.url)
    until(lambda: b"4 open in Label Studio" in (tmp_path / "said.txt").read_bytes())
    project = ann.ask("GET", "/api/projects")["results"][0]["id"]
    task = ann.tasks(project)[0]
    ann.choose(task["id"], truth[task["data"]["id"]])
    until(lambda: session.status()["labeled"] == 1, 300)  # long before the interval is over
    serving.send_signal(signal.SIGINT)
    assert serving.wait(300) == 0
    assert ann.ask("GET", f"/api/webhooks/?project={project}") == []
    assert b"Traceback" not in (tmp_path / "said.txt").read_bytes()
