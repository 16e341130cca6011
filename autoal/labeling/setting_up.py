"""The project in Label Studio before the first task: found or made, with a labeling configuration, and its pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoal.errors import InvalidInput, RunError
from autoal.labeling.label_studio import Studio, Unreachable
from autoal.labeling.serve_notes import session_name
from autoal.labeling.serving import Say, ServeOptions, nothing_to_show
from autoal.labeling.studio_tasks import Control, control_of
from autoal.session import Session
from autoal.tasks import Show, label_config, looks_of, show_of, show_pool
from autoal.tasks.showing import is_picture

__all__ = ["find_or_create", "prepare"]

SAMPLE = 200
"""Points that are looked at for how all of them look."""


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
        _serve_pictures(studio, number, folder, options)
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


def _serve_pictures(studio: Studio, number: int, folder: Path, options: ServeOptions) -> None:
    """Lets the project serve the pictures in `folder`."""
    root = folder.parent if options.files_root is None else Path(options.files_root).expanduser().absolute()
    try:
        studio.serve_files(number, folder)
    except Unreachable:
        raise
    except RunError as error:
        raise RunError(
            f"{error}. The pictures stay where they are, and Label Studio serves them: start it with "
            f"LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={root}, or name "
            "another folder above them with --files-root. Where it runs elsewhere, as in Docker, add their folder "
            "there under Settings, Cloud Storage, as Local files"
        ) from error
