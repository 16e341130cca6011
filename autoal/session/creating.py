"""How a session begins: everything is checked, then its folder is there as a whole."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autoal.data import Rows
from autoal.data.labels import check_order
from autoal.disk import digest
from autoal.encoders import check_encoder
from autoal.errors import InvalidInput
from autoal.installed import versions
from autoal.models import is_regressor_model
from autoal.rng import fresh_seed
from autoal.selectors import AutoAL
from autoal.selectors.checks import check_parameters
from autoal.session.answers import Answer
from autoal.session.describe import describe_encoder, describe_model
from autoal.session.folder import being_made
from autoal.session.ids import Ids
from autoal.session.inputs import store_inputs
from autoal.session.labels import LabelSpace, first_labels
from autoal.session.lines import now
from autoal.session.settling import settle
from autoal.session.state import BEGINNING, State
from autoal.settings import Mode, Task, integer
from autoal.strategies import resolve_candidates

__all__ = ["make_session"]


def make_session(
    folder: str | os.PathLike[str],
    X: Any,
    *,
    y: Any,
    labeled: Any,
    ids: Any,
    classes: Sequence[Any] | None,
    costs: Any,
    candidates: str | Sequence[Any],
    model: Any,
    task: Task,
    mode: Mode,
    search: Any,
    device: Any,
    random_state: Any,
    time_limit: float | None,
    strict: bool,
    encoder: Any = None,
) -> Rows:
    """Makes the folder of a session, arguments as in `Session.create`, and gives the rows of the pool."""
    seed = fresh_seed() if random_state is None else random_state
    seed = integer(seed, "random_state")  # no generator: the session is made again from it
    with being_made(Path(folder)) as made:
        rows, about = store_inputs(X, made.path)
        names = Ids(ids, len(rows))
        check_encoder(encoder)
        rows.use(encoder)
        if task == "auto" and is_regressor_model(model):
            task = "regression"
        check_order(X, y)
        task, known, labels = first_labels(y, labeled, len(rows), task)  # type: ignore[assignment]  # one of the two
        space = LabelSpace.of(task, classes)
        selector = AutoAL(
            candidates, task=task, mode=mode, search=search, device=device, random_state=seed,
            time_limit=time_limit, strict=strict, model=model,
        )  # fmt: skip
        check_parameters(selector)
        made.save(selector, "start")
        files: dict[str, bytes] = {}
        if names.given is not None:
            files["ids.json"] = json.dumps(names.of(range(len(rows)))).encode()
        if costs is not None:
            prices = io.BytesIO()
            np.save(prices, _prices(costs, len(rows)))
            files["costs.npy"] = prices.getvalue()
        for name, content in files.items():
            (made.path / name).write_bytes(content)
        made.write_manifest(
            {
                "task": task,
                "classes": None if space.classes is None else list(space.classes),
                "seed": seed,
                "candidates": [name for name, _ in resolve_candidates(candidates)],
                "mode": mode,
                "device": str(device),
                "data": about,
                "ids": names.given is not None,
                "costs": costs is not None,
                "files": {name: digest(content) for name, content in files.items()},
                "model": describe_model(model),
                "encoder": None if encoder is None else describe_encoder(encoder),
                "versions": versions(),
                "created": now(),
            }
        )
        answers = [Answer("", name, label) for name, label in zip(names.of(known.tolist()), labels, strict=True)]
        record, _ = settle(answers, State(), names, space, correct=False, hint="change y")
        if record is not None:
            made.append({**record, "source": BEGINNING, "time": now()})
    return rows


def _prices(costs: Any, n: int) -> np.ndarray:
    try:
        values = np.asarray(costs)
        if values.dtype.kind == "c":
            raise TypeError("complex numbers")
        values = values.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"costs cannot be read as numbers ({error}); wanted {n} positive prices") from error
    if values.shape != (n,) or not (np.isfinite(values) & (values > 0)).all():
        raise InvalidInput(f"got costs of shape {values.shape}; wanted ({n},), all above 0")
    return values
