"""A real Label Studio for tests: installed in an environment of its own, started on this machine, labeled in through
its API as an annotator's browser would."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TOKEN = "0123456789abcdef0123456789abcdef01234567"
"""The legacy token that the first user gets."""
PASSWORD = "only-for-the-test-1"
START_S = 600.0
"""On a machine with other work the first start, which makes the database, takes minutes."""


def executable(folder: Path) -> Path:
    """`label-studio`, from the variable AUTOAL_LABEL_STUDIO, else installed into an environment below `folder`; skips
    the test where it cannot be."""
    given = os.environ.get("AUTOAL_LABEL_STUDIO")
    if given:
        return Path(given)
    if shutil.which("uv") is None:
        pytest.skip("no uv to install Label Studio with; name an installed one in AUTOAL_LABEL_STUDIO")
    try:
        subprocess.run(["uv", "venv", "-q", "--python", "3.11", str(folder)], check=True, capture_output=True)
        python = str(folder / "bin" / "python")
        subprocess.run(["uv", "pip", "install", "-q", "--python", python, "label-studio"], check=True, timeout=900)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"Label Studio cannot be installed here: {error}")
    return folder / "bin" / "label-studio"


class Server:
    """One Label Studio with its data in a folder; may be killed and started again."""

    def __init__(self, program: Path, folder: Path, files_root: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._program, self._folder, self._root = program, folder, files_root
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        import httpx

        command = [
            str(self._program), "start", "--no-browser", "--data-dir", str(self._folder / "data"), "--internal-host",
            "127.0.0.1", "-p", str(self.port), "--username", "first@example.com", "--password", PASSWORD,
            "--user-token", TOKEN, "--enable-legacy-api-token",
        ]  # fmt: skip
        environment = {
            **{name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LABEL_STUDIO_API_KEY")},
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(self._root),
            "SSRF_PROTECTION_ENABLED": "false",  # a webhook to this machine
            "COLLECT_ANALYTICS": "false",
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        with open(self._folder / "log.txt", "ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

        def answers() -> bool:
            assert self._process is not None and self._process.poll() is None, (self._folder / "log.txt").read_text()
            try:
                return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
            except httpx.HTTPError:
                return False

        until(answers, START_S)

    def kill(self) -> None:
        """With -9: no time to tidy up."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Annotator:
    """Somebody with an account, who labels."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        import httpx

        self._web = httpx.Client(base_url=url, headers=headers, timeout=60)

    @classmethod
    def first(cls, url: str) -> Annotator:
        return cls(url, {"Authorization": f"Token {TOKEN}"})

    @classmethod
    def signing_up(cls, url: str, email: str) -> tuple[Annotator, str]:
        """A new account, and its personal access token."""
        import httpx

        with httpx.Client(base_url=url, timeout=60) as browser:
            form = browser.get("/user/signup/")
            csrf = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form.text)
            assert csrf is not None
            fields = {"email": email, "password": PASSWORD, "csrfmiddlewaretoken": csrf.group(1)}
            assert browser.post("/user/signup/", data=fields, headers={"Referer": url}).status_code == 302
            sent = {"X-CSRFToken": browser.cookies["csrftoken"], "Referer": url}
            key = browser.post("/api/token/", headers=sent).raise_for_status().json()["token"]
        access = httpx.post(f"{url}/api/token/refresh/", json={"refresh": key}, timeout=60).json()["access"]
        return cls(url, {"Authorization": f"Bearer {access}"}), key

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._web.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def tasks(self, project: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", f"/api/tasks?project={project}&fields=all&page_size=1000")[
            "tasks"
        ]
        return sorted(found, key=lambda task: int(task["id"]))

    def choose(self, task: int, label: str) -> int:
        """The number of the annotation."""
        return int(self.ask("POST", f"/api/tasks/{task}/annotations/", {"result": chosen(label)})["id"])

    def cancel(self, task: int) -> None:
        self.ask("POST", f"/api/tasks/{task}/annotations/", {"result": [], "was_cancelled": True})

    def change(self, annotation: int, label: str) -> None:
        self.ask("PATCH", f"/api/annotations/{annotation}/", {"result": chosen(label)})

    def delete(self, annotation: int) -> None:
        self.ask("DELETE", f"/api/annotations/{annotation}/")


def chosen(label: str) -> list[dict[str, Any]]:
    return [{"from_name": "label", "to_name": "item", "type": "choices", "value": {"choices": [label]}}]


def until(holds: Callable[[], Any], limit_s: float = 600.0) -> Any:
    """What `holds` gives, once that is true. The limit is for machines with other work."""
    deadline = time.monotonic() + limit_s
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not within {limit_s:.0f} s"
        time.sleep(0.2)
    return found
