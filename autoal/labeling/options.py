"""What a labelling was begun with, so that the same command goes on with it, and what the page adds: classes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from autoal.disk import write_atomic
from autoal.errors import InvalidInput, RunError, shown

__all__ = ["BATCH_SIZE", "Notes", "Options", "digest_of"]

FILE = "label.json"
BATCH_SIZE = 20
"""Half of it is the time that the next batch has: ten answers, which take a person longer than most trainings."""
FLAGS = {"id_column": "--id"}


@dataclass(frozen=True)
class Options:
    """What the command line fixes when it makes a session; None where it was not said."""

    text: str | None = None
    classes: str | None = None
    candidates: str | None = None
    id_column: str | None = None
    target: str | None = None
    task: str | None = None
    seed: int | None = None
    audit: float | None = None
    show: str | None = None
    """Folder of pictures to look at, named by the ids."""

    def given(self) -> dict[str, Any]:
        """Those that were said, by the flag that says them."""
        return {
            FLAGS.get(part.name, f"--{part.name}"): getattr(self, part.name)
            for part in fields(self)
            if getattr(self, part.name) is not None
        }


@dataclass
class Notes:
    """The file `label.json` in the folder of a session: written as a whole, read at each start."""

    path: Path
    source: str | None = None
    """Name of the file or folder that the session was made from; None where it was not made here."""
    digest: str | None = None
    """Of the source, where it is a file."""
    show: str | None = None
    """Folder of the pictures to look at, where they are not the pool itself."""
    model: str | None = None
    batch_size: int = BATCH_SIZE
    options: dict[str, Any] = field(default_factory=dict)
    added: list[Any] = field(default_factory=list)
    """Classes that were named on the command line or in the page, in the order of the page."""

    @classmethod
    def read(cls, folder: Path) -> Notes:
        """Those of the session in `folder`, or new ones. Raises RunError where the file is not ours."""
        path = folder / FILE
        if not path.is_file():
            return cls(path)
        try:
            return cls(path, **json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise RunError(
                f"{path} cannot be read ({error}); remove it: labels are in the journal, and only the order of "
                "classes and the size of batches are lost"
            ) from error

    def write(self) -> None:
        content = {name: value for name, value in asdict(self).items() if name != "path"}
        write_atomic(self.path, json.dumps(content, indent=2) + "\n")

    def check(self, options: Options, source: Path, model: str | None) -> None:
        """Raises InvalidInput where the command says something else than the one that made the session."""
        if self.source is not None and source.name != self.source and source != self.path.parent:
            raise InvalidInput(
                f"{self.path.parent} was made from {self.source!r}, and not from {source.name!r}; name another folder "
                "with --session"
            )
        moved = {name: value for name, value in options.given().items() if self.options.get(name) != value}
        if moved:
            name, value = next(iter(moved.items()))
            was = f"was made with {name} {self.options[name]}" if name in self.options else f"was made without {name}"
            raise InvalidInput(
                f"got {name} {shown(value)}, but {self.path.parent} {was}; leave it out to go on, or name another "
                "folder with --session"
            )
        if self.model is not None and model is None:
            raise InvalidInput(f"{self.path.parent} was made with --model {self.model}; give it again")


def digest_of(path: Path) -> str | None:
    """Of a file's bytes, to notice that it has changed; None for a folder."""
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
