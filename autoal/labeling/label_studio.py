"""One project of a Label Studio, through the tool's own SDK: the only file that imports it."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from autoal.errors import AutoALError, DataMissing, InvalidInput, RunError, shown

__all__ = ["Project", "Studio", "Unreachable", "server_url"]

PAGE = 200
"""Tasks in one answer of the tool."""
CHUNK = 100
"""Tasks in one request to add some."""
MOMENT = "%Y-%m-%dT%H:%M:%S.%fZ"
"""How the tool writes a time in a filter; texts in this form sort as the times do."""
TIMEOUT_S = 60.0
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses of a server that is starting, or has too much to do."""
ONCE = {"max_retries": 0}
"""The SDK would send again what it has no answer to, and add it twice."""
SHORTEST_TITLE, LONGEST_TITLE = 3, 50
KEY_HELP = (
    "take a Personal Access Token from the page Account & Settings of Label Studio (or, where its organization allows "
    "them, a Legacy Token), and put it into LABEL_STUDIO_API_KEY or --api-key-file"
)

Task = dict[str, Any]


class Unreachable(RunError):
    """Label Studio does not answer, or asks to come again: the same call may work later."""


@dataclass(frozen=True)
class Project:
    """What is known of a project before anything is added to it."""

    id: int
    title: str
    tasks: int
    config: str
    """The labeling configuration, XML."""
    controls: Mapping[str, Mapping[str, Any]]
    """Name of a control -> {"type", "to_name", "inputs", "labels"}, as Label Studio reads its configuration."""


class Studio:
    """A connection. Every call raises Unreachable where it may be made again, InvalidInput or DataMissing where what
    was asked for is wrong or not there, RunError for any other answer. No message holds the key."""

    def __init__(self, url: str, key: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """`url` as in the address line of a browser, `key` a personal access token or a legacy token.

        Raises InvalidInput for a URL or a key that cannot be one, and where the SDK is not installed.
        """
        self.url = server_url(url)
        self._key = _checked_key(key)
        self._timeout_s = timeout_s
        self._client: Any = None

    # --- projects ---------------------------------------------------------------------------------------------

    def project(self, number: int) -> Project:
        with self._asking(f"project {number}"):
            found = self._sdk.projects.get(id=number)
            return Project(
                number, str(found.title or ""), int(found.task_number or 0), str(found.label_config or ""),
                {str(name): dict(about) for name, about in (found.parsed_label_config or {}).items()},
            )  # fmt: skip

    def find(self, title: str, description: str) -> int | None:
        """The number of the latest project of this title and description; None where there is none."""
        with self._asking("the projects"):
            found = [
                int(project.id)
                for project in self._sdk.projects.list(page_size=PAGE)
                if project.title == title.strip() and project.description == description
            ]
            return max(found, default=None)

    def create(self, title: str, description: str) -> int:
        """The number of a new project, still without a configuration."""
        title = title.strip()
        if not SHORTEST_TITLE <= len(title) <= LONGEST_TITLE:
            raise InvalidInput(f"got the title {title!r}; wanted {SHORTEST_TITLE} to {LONGEST_TITLE} characters")
        with self._asking("a new project"):
            return int(self._sdk.projects.create(title=title, description=description, request_options=ONCE).id)

    def configure(self, number: int, config: str) -> None:
        with self._asking("the labeling configuration"):
            self._sdk.projects.update(id=number, label_config=config)

    def serve_files(self, number: int, folder: Path) -> None:
        """Lets the project show the files of `folder`, which Label Studio itself must be able to read."""
        with self._asking(f"the local files in {folder}"):
            there = self._sdk.import_storage.local.list(project=number)
            if not there:  # whoever added one knows where the tool sees the pictures
                self._sdk.import_storage.local.create(
                    project=number, path=str(folder), title="autoal", use_blob_urls=True
                )

    def serves(self, address: str) -> bool:
        """Whether the file at an address of a task, as `/data/local-files/?d=...`, is shown to whoever labels."""
        with self._asking(f"the file {address}"):
            answer = self._sdk._client_wrapper.httpx_client.request(address.lstrip("/"), method="GET")  # no other way
            return bool(answer.status_code == 200)

    # --- tasks ------------------------------------------------------------------------------------------------

    def tasks(self, number: int, since: str | None = None) -> list[Task]:
        """Every task of the project (of those changed after `since`, if given), by number, each with the keys id, meta,
        data, annotations, drafts and updated_at (text)."""
        items = []
        if since is not None:
            items.append(
                {"filter": "filter:tasks:updated_at", "operator": "greater", "type": "Datetime", "value": since}
            )
        query = {"filters": {"conjunction": "and", "items": items}, "ordering": ["tasks:id"]}
        with self._asking(f"the tasks of project {number}"):
            found = self._sdk.tasks.list(project=number, fields="all", page_size=PAGE, query=json.dumps(query))
            return [_plain_task(task) for task in found]

    def add(self, number: int, tasks: Sequence[Task]) -> None:
        """Adds tasks. Where this raises Unreachable some of them, or all, may be there nevertheless."""
        for start in range(0, len(tasks), CHUNK):
            with self._asking(f"{len(tasks)} tasks"):
                self._sdk.projects.import_tasks(
                    id=number, request=list(tasks[start : start + CHUNK]), request_options=ONCE
                )

    def remove(self, task: int) -> None:
        with self._asking(f"task {task}"):
            self._sdk.tasks.delete(id=str(task))

    # --- webhooks ---------------------------------------------------------------------------------------------

    def hook(self, number: int, url: str, headers: Mapping[str, str]) -> int:
        """Has the project call `url` whenever an annotation changes; the number of the webhook. One of that URL, as an
        earlier process left it, is replaced."""
        with self._asking(f"the webhook {url}"):
            for old in self._sdk.webhooks.list(project=str(number)):
                if old.url == url and old.id is not None:
                    self._sdk.webhooks.delete(id=old.id)
            made = self._sdk.webhooks.create(
                url=url, project=number, headers=dict(headers), send_payload=False, send_for_all_actions=False,
                actions=["ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED"],
            )  # fmt: skip
            return int(made.id)

    def unhook(self, webhook: int) -> None:
        with self._asking(f"webhook {webhook}"):
            self._sdk.webhooks.delete(id=webhook)

    # --- inside -----------------------------------------------------------------------------------------------

    @property
    def _sdk(self) -> Any:
        """The SDK's client, made with the first request: of a personal access token it asks the server at once."""
        if self._client is None:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of how the SDK is written
                    from label_studio_sdk import LabelStudio
            except ImportError as error:
                raise InvalidInput(
                    "Label Studio is reached through its SDK, which is missing; pip install 'autoal[label-studio]'"
                ) from error
            self._client = LabelStudio(base_url=self.url, api_key=self._key, timeout=self._timeout_s)
        return self._client

    @contextlib.contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Errors of the SDK and of the network as ours."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # pydantic's, of fields that the SDK types wrongly
                self._sdk  # noqa: B018 - before the SDK's own errors are imported
                from httpx import HTTPError, InvalidURL
                from label_studio_sdk.core.api_error import ApiError
                from pydantic import ValidationError

                yield
        except AutoALError:
            raise
        except InvalidURL as error:
            raise InvalidInput(f"got the address {self.url!r} of Label Studio ({error}); check it") from error
        except HTTPError as error:
            raise Unreachable(
                f"{self.url} does not answer ({error or type(error).__name__}); check that it runs there"
            ) from error
        except ApiError as error:
            raise self._refused(what, error.status_code, error.body) from None  # its text holds what was sent
        except (ValidationError, json.JSONDecodeError) as error:
            raise RunError(
                f"{self.url} answered about {what} with something that its SDK cannot read ({shown(str(error))}); "
                "check that it is a Label Studio, and its version"
            ) from error

    def _refused(self, what: str, status: int | None, body: Any) -> AutoALError:
        said = self._said(body)
        if status in AGAIN:
            return Unreachable(f"{self.url} cannot answer about {what} now (status {status}: {said})")
        if status == 401:
            return InvalidInput(f"{self.url} does not take the API key ({said}); {KEY_HELP}")
        if status == 403:
            return InvalidInput(f"{self.url} does not allow {what} ({said}); use the key of a user who may do that")
        if status == 404:
            return DataMissing(
                f"{self.url} has no {what}, or it is not the address of a Label Studio ({said}); check --label-studio "
                "and --project"
            )
        if status is not None and status < 300:
            return InvalidInput(f"{self.url} answers, but not as a Label Studio does; check the address")
        return RunError(f"{self.url} refused {what} (status {status}: {said})")

    def _said(self, body: Any) -> str:
        """What the server gave as its reason, without the key."""
        if isinstance(body, Mapping):
            text = str(body.get("validation_errors") or body.get("detail") or dict(body))
        else:
            text = str(body or "").strip()
            text = "a page, and no data" if text[:500].lstrip().lower().startswith(("<!doctype", "<html")) else text
        return (text.replace(self._key, "<the key>")[:500]) or "no reason given"


def server_url(url: str) -> str:
    """The address of the server, without a slash at its end. Raises InvalidInput for what is none."""
    try:
        parts = urlsplit(url.strip())
        port_is_number = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_number = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_number:
        raise InvalidInput(f"got {shown(url)} as the address of Label Studio; wanted one as http://localhost:8080")
    if parts.username or parts.password:
        raise InvalidInput("the address of Label Studio holds a user or a password, which others can see; " + KEY_HELP)
    path, mark, rest = parts.path.partition("/projects/")
    if mark:  # copied from a browser
        number = rest.split("/")[0]
        raise InvalidInput(
            f"got {shown(url)}, a page of Label Studio; wanted --label-studio {parts.scheme}://{parts.netloc}{path} "
            f"--project {number if number.isdecimal() else 'N'}"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _checked_key(key: str) -> str:
    text = key.strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidInput(f"the API key is empty or holds characters that no key has; {KEY_HELP}")
    return text


def _plain_task(task: Any) -> Task:
    """A task of the SDK as the tool's JSON export has it, as far as answers need it."""
    moment = task.updated_at
    return {
        "id": task.id,
        "meta": _mapping(task.meta),
        "data": _mapping(task.data),
        "annotations": [_mapping(made) for made in _list(task.annotations)],
        "drafts": _list(task.drafts),
        "updated_at": moment.astimezone(UTC).strftime(MOMENT) if isinstance(moment, datetime) else "",
    }


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    return dict(value.dict()) if hasattr(value, "dict") else {}
