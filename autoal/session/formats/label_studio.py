"""Label Studio's JSON: tasks with annotations, of which some may be cancelled, and some of other people's tasks.

Predictions and drafts are no answers, and are not looked at. Format: https://labelstud.io/guide/task_format.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autoal.errors import SHOWN, InvalidInput, shown
from autoal.session.answers import Answer
from autoal.session.formats.files import Rows
from autoal.session.formats.values import RESULTS, Problems, annotator_of, objects, one_label, row_number

__all__ = ["is_tasks", "task_answers"]


def is_tasks(rows: Rows) -> bool:
    """Whether these are tasks."""
    return any(isinstance(row.get("data"), dict) for _, row in rows)


def task_answers(
    rows: Rows, *, id: str | None = None, label: str | None = None, cancelled: str = "cancelled"
) -> list[Answer]:
    """The answers of tasks, in their order, one for each annotation that holds a label; tasks without are passed over.

    The point is that of the field `id` of the task's data, else of its row number `index`; `id=` names another field.
    The label is the one choice (or number, rating, text) of an annotation, of those marked as ground truth where a task
    has any; `label=` names the control (`from_name`) where there are several. Where a task has only cancelled
    annotations, the point is skipped with the reason `cancelled`. A task without the field is somebody else's.

    Raises InvalidInput, naming each task, for several labels in one annotation; and where no task is ours, or no
    annotation has the control, naming the fields and controls there are.
    """
    tasks = [(f"{where}: ", task, _data(task)) for where, task in rows]
    fields = (id,) if id is not None else ("id", "index")
    ours = [any(data.get(field) is not None for field in fields) for _, _, data in tasks]
    if tasks and not any(ours):
        there = list(dict.fromkeys(name for _, _, data in tasks for name in data))
        wanted = "tasks that Query.to_label_studio has written" if id is None else "one of them as id="
        raise InvalidInput(f"{tasks[0][0]}got no {fields[0]} in its data, only {shown(there)}; wanted {wanted}")
    answers: list[Answer] = []
    controls: dict[str, None] = {}
    problems = Problems()
    for (where, task, data), is_ours in zip(tasks, ours, strict=True):
        try:
            answers += _of_task(task, data, where, fields, is_ours, label, cancelled, controls)
        except InvalidInput as error:
            problems.add(error)
    if label is not None and controls and label not in controls:
        raise InvalidInput(
            f"no annotation has a control {shown(label)}, only {', '.join(map(shown, controls))}; say which of them "
            "holds the label with label="
        )
    problems.tell()
    return answers


def _data(task: Mapping[str, Any]) -> Mapping[str, Any]:
    data = task.get("data")
    return data if isinstance(data, dict) else {}


def _of_task(
    task: Mapping[str, Any],
    data: Mapping[str, Any],
    where: str,
    fields: Sequence[str],
    is_ours: bool,
    control: str | None,
    cancelled: str,
    controls: dict[str, None],
) -> Iterable[Answer]:
    annotations = objects(task.get("annotations", task.get("completions")), f"{where}annotations")
    if not is_ours:
        return [Answer(where, None, foreign=True)] if annotations else []
    field = next(field for field in fields if data.get(field) is not None)
    is_row = field == "index" and len(fields) > 1
    name = row_number(data[field], where) if is_row else data[field]
    place = f"{where}{shown(name, 60)}: "
    given = [made for made in annotations if not made.get("was_cancelled", made.get("skipped", False))]
    given = [made for made in given if made.get("ground_truth")] or given
    made: list[Answer] = []
    for annotation in given:
        found = _annotated(annotation, place, control, controls)
        if found is not None:
            who = annotator_of(annotation.get("completed_by"), place)
            final = bool(annotation.get("ground_truth"))
            made.append(Answer(where, name, found, is_row=is_row, annotator=who, foreign=True, final=final))
    if annotations and not given:
        made.append(Answer(where, name, skip=cancelled, is_row=is_row, foreign=True))
    return made


def _annotated(annotation: Mapping[str, Any], where: str, control: str | None, controls: dict[str, None]) -> Any:
    """The label in one annotation; None where it is empty."""
    results = [
        result
        for result in objects(annotation.get("result"), f"{where}result")
        if isinstance(result.get("value"), dict)
    ]
    held = [result for result in results if any(kind in result["value"] for kind in RESULTS)]
    controls.update(dict.fromkeys(str(result.get("from_name")) for result in held))
    wanted = [result for result in held if control in (None, result.get("from_name"))]
    if len(wanted) > 1:
        names = ", ".join(dict.fromkeys(str(result.get("from_name")) for result in wanted))[:SHOWN]
        raise InvalidInput(f"{where}got {len(wanted)} results ({names}); say which control holds the label with label=")
    return one_label(wanted[0]["value"], where) if wanted else None
