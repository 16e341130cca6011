"""What the manifest of a session holds. One that lacks something is refused, with the name of what it lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr
from pydantic import ValidationError as Invalid

from autoal.errors import RunError, shown

__all__ = ["FORMATS", "check_manifest"]

FORMATS = (1, 2)
"""That this version reads."""


class Data(BaseModel):
    """The pool."""

    model_config = ConfigDict(extra="allow")
    kind: StrictStr
    rows: StrictInt = Field(ge=0)
    row_shape: list[StrictInt]
    fingerprint: StrictStr
    path: StrictStr | None = None


class Manifest(BaseModel):
    """What later versions add is passed over: a manifest holds what was, and is not read for anything else."""

    model_config = ConfigDict(extra="allow")
    task: Literal["classification", "regression"]
    classes: list[StrictBool | StrictInt | StrictStr] | None
    seed: StrictInt
    mode: StrictStr
    device: StrictStr
    data: Data
    ids: StrictBool
    costs: StrictBool
    model: dict[str, StrictStr] | None
    encoder: StrictStr | None = None
    versions: dict[str, Any]
    created: StrictStr


def check_manifest(content: Any, path: Path) -> None:
    """Raises RunError where `content`, of the file at `path`, is none of this version's manifests."""
    if content.get("format") not in FORMATS:
        raise RunError(
            f"{path.parent} has format {shown(content.get('format'), 40)}; this version reads "
            f"{' and '.join(map(str, FORMATS))}"
        )
    try:
        Manifest.model_validate(content)
    except Invalid as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        got = "is missing" if first["type"] == "missing" else f"is {shown(first['input'], 60)}: {first['msg']}"
        raise RunError(
            f"{path}: {where} {got}; the file was changed from outside: put the manifest.json of a backup in its place"
        ) from error
