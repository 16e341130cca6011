"""The manifest.json of a run: what every one has, whoever wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from autoal.disk import loads
from autoal.errors import RunError, shown

__all__ = ["read_manifest"]

Record = dict[str, Any]


class Manifest(BaseModel):
    """What the manifest of every run has; those of later versions have more."""

    model_config = ConfigDict(strict=True)

    config: dict[str, Any]
    data: dict[str, Any]
    focus: str
    reference: str


def read_manifest(path: Path) -> Record:
    """The manifest of a run. Raises RunError, with the place, where it is none."""
    try:
        content: Record = loads(path.read_bytes())
        Manifest.model_validate(content)
        return content
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "all of it"
        said = f"{where} {'is missing' if first['type'] == 'missing' else 'is ' + shown(first['input'], 60)}"
    except (OSError, ValueError, RecursionError) as error:
        said = shown(str(error), 80)
    raise RunError(
        f"{path} is no manifest of a run ({said}); it was changed from outside: put the file of a backup in its place, "
        "or choose another folder with --out"
    )
