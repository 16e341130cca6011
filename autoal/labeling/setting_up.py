"""The project in Label Studio before the first task: found or made, with a labeling configuration, and its pictures."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoal.errors import AutoALError, InvalidInput, RunError
from autoal.labeling.label_studio import Studio, Unreachable
from autoal.labeling.serve_notes import Notes, session_name
from autoal.labeling.serving import Say, ServeOptions, Serving, alone, nothing_to_show
from autoal.labeling.studio_tasks import Control, control_of
from autoal.labeling.webhook import HEADER, Bell
from autoal.session import Session
from autoal.tasks import Show, label_config, looks_of, show_of, show_pool
from autoal.tasks.label_studio import local_address
from autoal.tasks.showing import is_picture

__all__ = ["find_or_create", "prepare", "serve_session"]

SAMPLE = 200
"""Points that are looked at for how all of them look."""


def serve_session(
    session: Session, url: str, key: str, *, project: int | None = None, create: str | None = None,
    classes: Sequence[Any] | None = None, label: str | None = None, options: ServeOptions | None = None,
    webhook: int | None = None, webhook_url: str | None = None, once: bool = False, say: Say = print,
) -> None:  # fmt: skip
    """Puts the Label Studio at `url` in front of a session, until all is done; what `autoal serve` does, for sessions
    with a model of their own, which have to be opened in Python.

    `key` is a personal access token or a legacy token, which is neither stored nor shown. The tasks go into the project
    of the number `project`, or into the session's own one of the title `create`. `classes` can be chosen in a project
    that has no labeling configuration yet, where the session does not know them; `label` names the control that holds
    the label, where the project has several. `webhook` is a port of 127.0.0.1 on which Label Studio rings when
    something was annotated (0: any free one), `webhook_url` its address as Label Studio sees it. `say` is given one
    line at a time.

    Raises InvalidInput and DataMissing for what is wrong or not there, RunError where another process serves this
    session and where Label Studio does not answer at the start. Later it is waited for.
    """
    if (project is None) == (create is None):
        raise InvalidInput("wanted one of project, a number, and create, a title: where the tasks go")
    options, studio = options or ServeOptions(), Studio(url, key)
    with alone(session), contextlib.ExitStack() as closing:
        number = project if project is not None else find_or_create(studio, str(create), session, say)
        control = prepare(studio, number, session, options, classes, label, say)
        notes = Notes(session.folder, studio.url, number)
        bell = _bell(studio, number, webhook, webhook_url, closing, say)
        say(f"serving {session.folder} in {studio.url}/projects/{number}/data; Ctrl-C stops, and a new start goes on")
        Serving(session, studio, number, control, options, notes, say, bell).run(once=once)


def find_or_create(studio: Studio, title: str, session: Session, say: Say) -> int:
    """The number of the session's own project of that title, made now unless an earlier start has made it."""
    mark = f"autoal session {session_name(session.folder)}"
    number = studio.find(title, mark)
    if number is None:
        number = studio.create(title, mark)
        say(f"project {number} made: {title}")
    return number


def prepare(
    studio: Studio, number: int, session: Session, options: ServeOptions, classes: Sequence[Any] | None,
    label: str | None, say: Say,
) -> Control:  # fmt: skip
    """The control that holds the label, of a project that can show the points of the session.

    A project without a labeling configuration gets one. Raises InvalidInput where classes are not known, where points
    have nothing to look at, and where the configuration does not fit; RunError where Label Studio cannot read pictures.
    """
    show, folder = _shown(session, options)
    project = studio.project(number)
    known = list(session.classes or sorted(set(session.labeled.values()), key=str))
    if not project.controls:
        if len(known) < 2 and classes is None and session.task == "classification":
            raise InvalidInput(
                "the project has no labeling configuration yet, and the session does not know its classes; name them: "
                "--classes oak,elm"
            )
        named = known if classes is None else list(classes)
        missing = sorted({str(name) for name in known} - {str(name) for name in named})
        if missing:
            raise InvalidInput(f"--classes leaves out {', '.join(missing)}, which the session has; name all")
        studio.configure(number, label_config(named, looks_of(show), regression=session.task == "regression"))
        project = studio.project(number)
        say(f"the labeling configuration of the project was written: {', '.join(map(str, named)) or 'a number'}")
    control = control_of(project.controls, label, regression=session.task == "regression")
    lacking = [str(name) for name in known if control.labels and str(name) not in control.labels]
    if lacking:
        say(f"the project offers no {', '.join(lacking)}, which the session has; see Settings, Labeling Interface")
    if folder is not None:
        _serve_pictures(studio, number, show, folder, options)
    return control


def _shown(session: Session, options: ServeOptions) -> tuple[Show, Path | None]:
    """What points show, of as many as tell of all, and the folder of their pictures where these lie on this machine."""
    about = session.history()[0]["data"]
    if options.show is not None:
        show = show_of(session.ids, options.show)
        local = [Path(value) for fields in show.fields for value in fields.values() if _is_local(value)]
        return show, Path(os.path.commonpath([path.parent for path in local])) if local else None
    sample = range(0, len(session), max(1, len(session) // SAMPLE))
    found = show_pool(about, lambda: session.rows, sample)
    if found is None:
        raise nothing_to_show()
    return found, Path(about["path"]) if found.root is not None else None


def _is_local(value: Any) -> bool:
    return isinstance(value, str) and is_picture(value) and os.path.isabs(value) and os.path.isfile(value)


def _serve_pictures(studio: Studio, number: int, show: Show, folder: Path, options: ServeOptions) -> None:
    """Lets the project serve the pictures in `folder`, and looks whether it does."""
    root = folder.parent if options.files_root is None else Path(options.files_root).expanduser().absolute()
    how = (
        f"the pictures stay in {folder}, and Label Studio serves them: start it with "
        f"LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={root}, or name the "
        "folder that it was started with, if that is another one above them, with --files-root. Where it runs "
        "elsewhere, as in Docker, add the folder as it is called there under Settings, Cloud Storage, as Local files"
    )
    address = next(
        local_address(value, root) for fields in show.fields for value in fields.values() if _is_local(value)
    )
    try:
        studio.serve_files(number, folder)
        served = studio.serves(address)
    except Unreachable:
        raise
    except RunError as error:
        raise RunError(f"{error}; {how}") from error
    if not served:
        raise RunError(f"{studio.url} does not show {address}; {how}")


def _bell(
    studio: Studio, number: int, port: int | None, address: str | None, closing: contextlib.ExitStack, say: Say
) -> Bell | None:
    """The bell, once Label Studio knows of it; None where it will not ring."""
    if port is None:
        return None
    bell = Bell(port)
    closing.callback(bell.close)
    try:
        hook = studio.hook(number, address or bell.url, {HEADER: bell.token})
    except InvalidInput as error:
        say(
            f"no webhook: {error}. One to this machine needs Label Studio started with SSRF_PROTECTION_ENABLED=false; "
            "looking every few seconds instead"
        )
        return None

    def leave() -> None:
        with contextlib.suppress(AutoALError):  # it may be gone; the next start replaces what is left
            studio.unhook(hook)

    closing.callback(leave)
    say(f"Label Studio rings at {address or bell.url}")
    return bell
