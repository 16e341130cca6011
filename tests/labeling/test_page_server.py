"""The server is for this machine alone, and the process that chooses lives no longer than it."""

from __future__ import annotations

import builtins
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression

from autoal import Session
from autoal.errors import InvalidInput, RunError
from autoal.labeling import show
from autoal.labeling.chooser import InProcess
from autoal.labeling.page_server import Server
from tests.labeling.problems import picture_session, waited
from tests.session.problems import NAMES, X, named


def fetched(url: str, path: str, **headers: str) -> Any:
    address, token = url.split("#token=")
    request = urllib.request.Request(address + path, headers={"X-Autoal-Token": token, **headers})
    return json.loads(urllib.request.urlopen(request, timeout=20).read())


def test_it_is_bound_to_this_machine_alone() -> None:
    server = Server(0)
    try:
        assert server._socket.getsockname()[0] == "127.0.0.1"
        others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
        for address in others:
            with socket.socket() as probe, pytest.raises(OSError):
                probe.settimeout(2)
                probe.connect((address, server.port))
    finally:
        server.stop()


def test_each_start_has_a_token_of_its_own_behind_the_number_sign() -> None:
    servers = [Server(0), Server(0)]
    tokens = [server.url.partition("/#token=")[2] for server in servers]
    assert len(set(tokens)) == 2 and all(len(token) >= 43 for token in tokens)
    for server in servers:
        server.stop()


def test_a_port_that_is_taken() -> None:
    first = Server(0)
    with pytest.raises(RunError, match="--port"):
        Server(first.port)
    first.stop()


def test_without_the_extra_it_is_named(monkeypatch: Any) -> None:
    importing = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "uvicorn":
            raise ImportError("No module named 'uvicorn'")
        return importing(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RunError, match=r"autoal\[label\]"):
        Server(0)


def test_a_notebook_shows_the_page_and_a_program_has_its_address(tmp_path: Path) -> None:
    session = picture_session(tmp_path, classes=["left", "right"])
    page = show(session, batch_size=3, port=0)
    try:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/#token=[\w-]{43}", page.url) and str(page) == page.url
        assert f'src="{page.url}"' in page._repr_html_() and "<script" not in page._repr_html_()
        view = fetched(page.url, "api/view")
        assert [item["name"] for item in view["items"]] == session.pending and len(session.pending) == 3
        with pytest.raises(urllib.error.HTTPError):
            fetched(page.url, "api/view", Origin="http://evil.example")
    finally:
        page.close()
    with pytest.raises(InvalidInput):
        show(session, batch_size=0, port=0)


def test_a_model_of_this_process_trains_in_it(tmp_path: Path) -> None:
    session = Session.create(
        tmp_path / "s", X, ids=NAMES, model=LogisticRegression(), candidates=["margin"], random_state=0
    )
    page = show(session, batch_size=4, port=0)
    try:
        for name in session.pending:
            session.tell(name, named([name])[0])
        desk = page._server.place.desk
        assert desk is not None
        desk.retry()
        waited(lambda: session.n_rounds == 2)
        waited(lambda: fetched(page.url, "api/view")["items"][0]["guess"] is not None)
    finally:
        page.close()


def test_the_process_that_chooses_gives_the_batch_that_this_one_would(tmp_path: Path) -> None:
    here, there = (Session.create(tmp_path / n, X, ids=NAMES, random_state=1, candidates="fast") for n in "ab")
    for session in (here, there):
        for name in session.ask_ahead(6).ids[:4]:
            session.tell(name, named([name])[0])
    warnings: list[str] = []
    chooser = InProcess(there.folder, 6, None, warnings.append)
    try:
        chooser.check()
        waited(lambda: there.n_rounds == 2 or chooser.standing.failed)
        assert chooser.standing.failed is None and there.pending[-6:] == here.ask_ahead(6).ids.tolist()
        waited(lambda: chooser.standing.usual is not None)
        assert chooser._process is not None
        os.kill(chooser._process.pid, signal.SIGKILL)
        waited(lambda: chooser.standing.failed)
        assert "-9" in str(chooser.standing.failed)
        chooser.check()  # and another one begins
        waited(lambda: chooser.standing.failed is None)
    finally:
        chooser.close()


def test_it_ends_when_the_page_is_killed(tmp_path: Path) -> None:
    session = Session.create(tmp_path / "s", X, ids=NAMES, random_state=1)
    code = (
        "import sys, time; from pathlib import Path; from autoal.labeling.chooser import InProcess\n"
        f"c = InProcess(Path({str(session.folder)!r}), 4, None, print); c.check(); print(c._process.pid, flush=True)\n"
        "time.sleep(600)"
    )
    page = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert page.stdout is not None
    child = int(page.stdout.readline())
    waited(lambda: Session.open(session.folder).n_rounds == 1)
    page.kill()
    page.wait()
    waited(lambda: not _alive(child))


def _alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_what_cannot_be_chosen_is_said(tmp_path: Path) -> None:
    session = Session.create(tmp_path / "s", X, ids=NAMES, model=LogisticRegression(), random_state=1)
    for name in session.ask(6).ids:
        session.tell(name, named([name])[0])
    chooser = InProcess(session.folder, 4, None, print)
    try:
        chooser.check()
        waited(lambda: chooser.standing.failed)
        assert "created with the model" in str(chooser.standing.failed)
    finally:
        chooser.close()
