"""What `autoal serve` keeps beside the journal: which annotations were taken already. Losing it loses nothing: then the
answers are taken again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from autoal.disk import dumps, write_atomic
from autoal.errors import RunError

__all__ = ["FILE", "Notes", "session_name"]

FILE = "label-studio.json"


def session_name(folder: Path) -> str:
    """A name for the session in `folder`, the same wherever the folder lies."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    known = [manifest["created"], manifest["seed"], manifest["data"]["rows"], manifest["data"]["fingerprint"]]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]


class Notes:
    """Of one session and one project."""

    def __init__(self, folder: Path, url: str, project: int) -> None:
        """Read from `label-studio.json` in `folder`. Raises RunError where that cannot be read."""
        self._path, self._place = folder / FILE, f"{url}/projects/{project}"
        self.session = session_name(folder)
        self._all = self._read()
        mine = self._all.get(self._place, {})
        self.adding = bool(mine.get("adding", False))
        """Whether a process was adding tasks when it ended."""
        self.taken: dict[int, tuple[str, Any, list[str]]] = {
            int(row): (str(digest), said, list(people)) for row, (digest, said, people) in mine.get("taken", {}).items()
        }
        """row -> digest of the annotations that were taken last; what they came to: ["label", ...], ["skip", ...]; and
        who said so."""

    def write(self, *, adding: bool | None = None) -> None:
        """Puts them on the disk."""
        self.adding = self.adding if adding is None else adding
        taken = {str(row): list(known) for row, known in self.taken.items()}
        self._all[self._place] = {"adding": self.adding, "taken": taken}
        write_atomic(self._path, dumps(self._all) + "\n")

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise RunError(f"{self._path} cannot be read ({error}); remove it: the answers are taken again") from error
        return found if isinstance(found, dict) else {}
