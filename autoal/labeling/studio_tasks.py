"""What the tasks of a project amount to for one session: which are its own, what was answered, what is there twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autoal.errors import InvalidInput, shown
from autoal.selectors import Query
from autoal.tasks import looks_of, tasks_of

__all__ = ["Control", "Found", "annotations_of", "control_of", "digest_of", "found_in", "session_tasks"]

MARK = "autoal"
"""The key of a task's meta under which its session and row stand."""
SETTABLE = {"Choices": "choices", "Number": "number"}
"""Kinds of controls that a prediction can be made for -> the type of its result."""

SAYING = ("id", "completed_by", "was_cancelled", "ground_truth", "result")
"""What of an annotation tells whether it says something else by now."""

Task = dict[str, Any]


@dataclass(frozen=True)
class Control:
    """Where the label is in a project's labeling configuration."""

    name: str
    kind: str
    """As Label Studio calls it: Choices, Number, ..."""
    target: str
    """Name of the thing it is a label of."""
    field: str | None
    """The field of a task's data that this thing shows; None where it shows none, or several."""
    labels: tuple[str, ...]
    """What can be chosen; empty where anything can be written."""


@dataclass
class Found:
    """The tasks of one session, and how many others there are."""

    rows: dict[int, list[Task]] = field(default_factory=dict)
    """row -> its tasks, by number."""
    foreign: int = 0

    @property
    def doubles(self) -> list[Task]:
        """Tasks of rows that have another one, and that nobody has begun: those that can go."""
        found = []
        for tasks in self.rows.values():
            begun = [task for task in tasks if task["annotations"] or task["drafts"]]
            kept = begun or tasks[:1]
            found += [task for task in tasks if task not in kept]
        return found


def session_tasks(
    query: Query,
    session: str,
    batch: int,
    show: Any,
    guesses: Mapping[Any, Any] | None,
    *,
    control: Control,
    files_root: Any = None,
) -> list[Task]:
    """One task for each pick, as `autoal.tasks.tasks_of` makes them, with the session and the row in their meta, and
    with the field and the names that the project's configuration has.

    Raises InvalidInput where the configuration shows a field that the points lack.
    """
    regression = query.task == "regression"
    predictions = guesses if control.kind in SETTABLE else None
    tasks = tasks_of(
        query, show, predictions, files_root=files_root, regression=regression, model_version=f"autoal batch {batch}"
    )
    looks = list(looks_of(show)) if len(show) else []
    for task, row in zip(tasks, query.indices.tolist(), strict=True):
        task["meta"][MARK] = {"session": session, "row": row, "batch": batch}
        data = task["data"]
        if control.field is not None and control.field not in data:
            if len(looks) != 1:
                raise InvalidInput(
                    f"the labeling configuration of the project shows the field {control.field!r}, and the points have "
                    f"{shown(looks)}; change it under Settings, Labeling Interface"
                )
            data[control.field] = data[looks[0]]
        task["predictions"] = [_meant_for(control, made) for made in task.get("predictions", [])]
        if control.labels:  # the tool refuses a prediction that its configuration lacks
            task["predictions"] = [made for made in task["predictions"] if _choice(made) in control.labels]
    return tasks


def control_of(controls: Mapping[str, Mapping[str, Any]], name: str | None, *, regression: bool) -> Control:
    """The control that holds the label: the one called `name`, or the only one there is.

    Raises InvalidInput where there is no such control, or more than one.
    """
    if name is not None and name not in controls:
        raise InvalidInput(f"the project has no control {name!r}; wanted --label with one of {', '.join(controls)}")
    if name is None and len(controls) != 1:
        raise InvalidInput(
            f"the labeling configuration of the project has {len(controls)} controls ({', '.join(controls)}); say "
            "which holds the label with --label"
        )
    name = name if name is not None else next(iter(controls))
    about = controls[name]
    kind = str(about.get("type"))
    if (kind == "Choices" and regression) or (kind == "Number" and not regression):
        wanted = "a number" if regression else "a class"
        raise InvalidInput(f"the control {name!r} of the project is {kind}, and a label of this session is {wanted}")
    shows = [str(part["value"]) for part in about.get("inputs") or [] if part.get("value")]
    targets = [str(target) for target in about.get("to_name") or []]
    return Control(
        name, kind, targets[0] if targets else "", shows[0] if len(shows) == 1 else None,
        tuple(map(str, about.get("labels") or ())),
    )  # fmt: skip


def found_in(tasks: Iterable[Task], session: str, n_rows: int) -> Found:
    """The session's tasks among all of a project."""
    found = Found()
    for task in sorted(tasks, key=lambda task: int(task["id"])):
        mark = task["meta"].get(MARK)
        row = mark.get("row") if isinstance(mark, dict) and mark.get("session") == session else None
        if isinstance(row, int) and 0 <= row < n_rows:
            found.rows.setdefault(row, []).append(task)
        else:
            found.foreign += 1
    return found


def annotations_of(tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Every annotation of one row, whichever of its tasks it was made in, by number."""
    return sorted((made for task in tasks for made in task["annotations"]), key=lambda made: int(made["id"]))


def digest_of(annotations: Sequence[Mapping[str, Any]]) -> str:
    """Another text whenever an annotation was added, changed or deleted; empty where there is none."""
    if not annotations:
        return ""
    parts = [[made.get(key) for key in SAYING] for made in annotations]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _meant_for(control: Control, prediction: Mapping[str, Any]) -> dict[str, Any]:
    results = [{**result, "from_name": control.name, "to_name": control.target} for result in prediction["result"]]
    return {**prediction, "result": results}


def _choice(prediction: Mapping[str, Any]) -> Any:
    return prediction["result"][0]["value"].get("choices", [None])[0]
