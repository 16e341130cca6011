"""The folder of a session.

```text
manifest.json       what was fixed at the beginning: task, classes, seed, fingerprint of the pool, versions
journal.jsonl       one line for each batch asked for and each set of answers, in order; only ever added to
journal.head        how many lines that are, and the hash of the last: see autoal.journal
journal.jsonl.torn  what was cut off its end after a kill, if ever
checkpoints/<name>  what the search remembers, as AutoAL.save writes it: at the start, and the latest two;
                    earlier batches are in the journal alone
X.npy, X.npz        the pool, unless it was given as a path; ids.json, costs.npy where they were given
```

A line counts once its newline is on the disk; it is written before the call that makes it returns.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoal.disk import clear_leftovers, cut_torn, digest, dumps, loads, locked, sync_folder, write_atomic
from autoal.errors import AutoALError, AutoALWarning, ConfigError, DataMissing, InvalidInput, RunError, shown
from autoal.journal import Journal, owner_of

if TYPE_CHECKING:  # torch takes seconds to import; whether a folder is a session should not
    from numpy.typing import NDArray

    from autoal.selectors import AutoAL
    from autoal.session.ids import Ids

__all__ = ["Folder", "being_made", "is_session"]

Record = dict[str, Any]
WAIT_S = 10.0
"""How long a call waits for another process that writes into the same session."""
FORMAT = 2
"""1 is that of version 0.1.0, whose journals have no hashes: they are read, and go on with them."""
REMEDY = "choose a folder that can be written to"
BACKUP = "put the file of a backup in its place, or see what can be saved: autoal doctor {folder}"
MARK = ".making"
"""In a folder that is being made: whose it will be. Nothing without it is cleared away."""
CHECKPOINT = re.compile(r"start|round-\d{4,}|\.(start|round-\d{4,})\.[0-9a-f]{8}")
"""Names of checkpoints, and of those that a kill left half written."""


def is_session(folder: str | os.PathLike[str]) -> bool:
    """Whether `folder` holds a session."""
    try:
        manifest = loads((Path(folder) / "manifest.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and manifest.get("kind") == "session"


class Folder:
    """The files of one session."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.journal = self.path / "journal.jsonl"
        self.remedy = BACKUP.format(folder=self.path)
        self._lines: Journal | None = None
        self._opened: bytes | None = None
        """The manifest when it was first read: it never changes, so another one is another session."""

    def manifest(self) -> Record:
        """What `write_manifest` wrote. Raises DataMissing where there is no session, RunError where it is of another
        version."""
        path = self.path / "manifest.json"
        try:
            content = path.read_bytes()
            manifest: Record = loads(content)
        except (FileNotFoundError, NotADirectoryError):
            manifest = {}
        except (ValueError, RecursionError, OSError) as error:
            raise RunError(
                f"{path} cannot be read ({shown(str(error))}); if it is that of a session, put the manifest.json of a "
                "backup in its place"
            ) from error
        if not isinstance(manifest, dict) or manifest.get("kind") != "session":
            raise DataMissing(f"{self.path} holds no session; make one with Session.create, or `autoal query --pool`")
        from autoal.session.manifest import check_manifest

        check_manifest(manifest, path)
        if self._opened is None:
            self._opened = content
        return manifest

    def ids(self, manifest: Record) -> Ids:
        """The ids of the rows. Raises RunError where they are not those of then."""
        from autoal.session.ids import Ids

        rows = int(manifest["data"]["rows"])
        if not manifest["ids"]:
            return Ids(None, rows)
        path = self.path / "ids.json"
        try:
            content = path.read_bytes()
            self.check_file("ids.json", content, manifest)
            return Ids(loads(content), rows)
        except (OSError, ValueError, RecursionError, InvalidInput) as error:
            raise RunError(
                f"{path} cannot be read ({shown(str(error))}): put the file of a backup in its place"
            ) from error

    def check_file(self, name: str, content: bytes, manifest: Record) -> None:
        """Raises RunError where the file `name` is not what it was when the session was made."""
        written = manifest.get("files", {}).get(name)
        if written is not None and written != digest(content):
            raise RunError(
                f"{self.path / name} is not as it was written; it was changed from outside: put the file of a backup "
                "in its place"
            )

    def costs(self, manifest: Record) -> NDArray[Any] | None:
        """The price of each row, where there are any. Raises RunError where they are not those of then."""
        if not manifest["costs"]:
            return None
        from autoal.data.reading import read_array

        path = self.path / "costs.npy"
        try:
            content = path.read_bytes()
            self.check_file("costs.npy", content, manifest)
            return read_array(content, path)
        except (OSError, InvalidInput) as error:
            raise RunError(
                f"{path} cannot be read ({shown(str(error))}): put the file of a backup in its place"
            ) from error

    def check(self) -> None:
        """Raises RunError where this is no longer the session that was opened: moved, taken away, another one."""
        if self._opened is None:  # it is being made
            return
        try:
            same = (self.path / "manifest.json").read_bytes() == self._opened
        except OSError:
            same = False
        if not same:
            raise RunError(
                f"{self.path} is no longer the session that was opened: it was moved, taken away or replaced; nothing "
                "was written: put it back and do the same again, or open it with Session.open where it is now"
            )

    def write_manifest(self, manifest: Record) -> None:
        content = {"format": FORMAT, "kind": "session", "id": secrets.token_hex(16), **json.loads(dumps(manifest))}
        write_atomic(self.path / "manifest.json", json.dumps(content, indent=2) + "\n")
        self.lines.begin()

    # --- the journal ------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self, wait_s: float | None = None) -> Iterator[None]:
        """Raises RunError where another process is at work in this session for longer than `wait_s` (WAIT_S), or where
        the folder is no longer that of the session that was opened."""
        self.check()  # first, for a lock is a file: in a folder of somebody else's it would be one too many
        message = f"another process is writing to {self.path}; wait until it is done, then do the same again"
        wait_s = WAIT_S if wait_s is None else wait_s
        with locked(self.path / ".lock", wait_s, message, remedy=REMEDY, in_turn=True):
            self.check()
            yield

    @property
    def lines(self) -> Journal:
        """The journal as a file of lines, which know whose they are."""
        if self._lines is None:
            content = self._opened or (self.path / "manifest.json").read_bytes()
            owner = owner_of("session", content.decode())  # a manifest that was changed is another session's
            head, early = self.path / "journal.head", loads(content)["format"] == 1
            self._lines = Journal(self.journal, owner, self.remedy, head=head, plain=early)
        return self._lines

    def mark(self) -> Any:
        """Something that is another once the journal was written to or replaced."""
        return self.lines.mark()

    def read(self) -> tuple[list[Record], int]:
        """The whole lines, and their bytes. Raises RunError where a line is not as it was written, where lines that
        were there are gone, and where this is no longer the session that was opened."""
        self.check()
        found = self.lines.read()
        if not found.records and self._had_lines():
            state = "is empty" if self.journal.exists() else "is gone"
            raise RunError(f"{self.journal} {state}, though there was one; without it no label is known: {self.remedy}")
        return found.records, found.good

    def say_plain(self) -> None:
        """Says where an earlier version wrote the whole journal, and nothing would show what is changed in it."""
        found = self.lines.read()
        if found.records and not found.sealed:
            warnings.warn(
                f"{self.journal} was written by a version that put no hashes into it: whether its {found.plain} lines "
                "are as they were written cannot be seen; from the next answer on it can",
                AutoALWarning,
                stacklevel=3,
            )

    def _had_lines(self) -> bool:
        """Whether there is a sign of a journal that is not there: `create` makes one (it did not in version 0.1.0),
        and no model has chosen a batch without labels in it."""
        if not self.journal.exists() and self._opened is not None and "id" in loads(self._opened):
            return True
        return any(path.name.startswith("round-") for path in (self.path / "checkpoints").glob("*"))

    def mend(self, good: int) -> None:
        """Cuts off what follows the last whole line, and says so. The caller holds the lock."""
        aside = cut_torn(self.journal, good)
        if aside is not None:
            warnings.warn(
                f"{self.journal} ended in the middle of a line, as a process that is killed leaves it; that line was "
                f"dropped: the call that was writing it had not returned; what there was of it is in {aside.name}",
                AutoALWarning,
                stacklevel=2,
            )
        self.lines.settle()
        clear_leftovers(self.path)

    def append(self, record: Record) -> None:
        """One line more, on the disk when this returns. The caller holds the lock."""
        self.check()  # a batch takes a while to choose
        self.lines.append(record)

    # --- what the search remembers ----------------------------------------------------------------------------

    def save(self, selector: AutoAL, name: str, entries: int = 0) -> str:
        """A checkpoint, whole or absent, and the digest of what is in it. One of that name, left by a call that was
        killed, is replaced. Of the selector's history it holds the first `entries`: the others are in the journal, and
        a checkpoint does not grow with it."""
        from autoal.selectors.saving import save_selector

        target = self.path / "checkpoints" / name
        made = target.with_name(f".{name}.{secrets.token_hex(4)}")
        self.check()
        made.mkdir()
        save_selector(selector, made, entries)
        _sync(made)
        if target.exists():
            shutil.rmtree(target)
        os.rename(made, target)
        sync_folder(target.parent)
        return _digest(target)

    def load(self, name: str, model: Any, written: str | None = None) -> AutoAL:
        """What `save` kept under that name, where it is what was `written`. Where there is no such checkpoint any more,
        as with a journal that was put back, that of the beginning, which is said."""
        from autoal.selectors import AutoAL

        if not CHECKPOINT.fullmatch(str(name)):
            raise RunError(
                f"{self.journal} names a checkpoint {shown(name)}, which is none of this session's; the file was "
                f"changed from outside: {self.remedy}"
            )
        folder = self.path / "checkpoints" / name
        if not folder.exists() and name != "start":
            if not (folder.parent / "start").is_dir():
                raise RunError(
                    f"{folder} is gone, and so is the one that the session began with: put the folder `checkpoints` of "
                    "a backup in its place; without one begin a session anew, and tell it the labels.csv of this one's "
                    "report"
                )
            warnings.warn(
                f"{folder} is gone, as where an earlier journal was put back: what the search had learned is lost, and "
                "it chooses as if the search had just begun, from all labels that there are",
                AutoALWarning,
                stacklevel=2,
            )
            return self.load("start", model)
        try:
            if written is not None and _digest(folder) != written:
                raise RunError("it is not as it was written")
            return AutoAL.load(folder, model=model)
        except ConfigError:  # whole, and of a version with other settings
            raise
        except (AutoALError, OSError) as error:
            remedy = "put that of a backup in its place"
            if name != "start":
                remedy += ", or remove it: then the search begins anew, and no label is lost"
            raise RunError(f"{folder} cannot be read ({error}); it was changed from outside: {remedy}") from error

    def forget(self, *kept: str) -> None:
        """Removes every checkpoint but these, and nothing else that may lie beside them."""
        for path in (self.path / "checkpoints").iterdir():
            if path.name not in kept and CHECKPOINT.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def being_made(path: Path) -> Iterator[Folder]:
    """A folder beside `path` that takes its name once all is written: a session is there as a whole, or not at all.

    Raises RunError where `path` exists and is not an empty folder, or nothing can be written beside it.
    """
    path = Path(os.path.abspath(path))
    if is_session(path):
        raise RunError(
            f"{path} holds a session already; go on with Session.open({str(path)!r}), or choose another folder"
        )
    try:
        taken = path.exists() and (not path.is_dir() or any(path.iterdir()))
    except OSError as error:  # a name too long, or a folder that may not be looked into
        raise RunError(f"{shown(str(path))} cannot be looked into ({error.strerror}); {REMEDY}") from error
    if taken:
        raise RunError(f"{path} exists and is no session; choose another folder, or an empty one")
    with contextlib.suppress(OSError):
        _clear_abandoned(path)
    made = Folder(path.with_name(f".{path.name}.{secrets.token_hex(4)}.new"))
    with contextlib.ExitStack() as last:
        last.callback(shutil.rmtree, made.path, ignore_errors=True)  # where an interrupt comes before, or in the midst
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.path.mkdir()
            (made.path / MARK).write_text(_mark(path), encoding="utf-8")
        except (OSError, ValueError) as error:  # ValueError: a NUL, or half of a surrogate pair, in the name
            said = getattr(error, "strerror", None) or error
            raise RunError(f"nothing can be written into {shown(str(path.parent))} ({said}); {REMEDY}") from error
        with made.lock():  # whoever is killed in here leaves the folder to the next one to clear
            try:
                (made.path / "checkpoints").mkdir()
                yield made
                _sync(made.path)
                os.rename(made.path, path)
                sync_folder(path.parent)
                with contextlib.suppress(OSError):  # the session is there
                    (path / MARK).unlink()
            except OSError as error:
                if error.filename2 is None and not isinstance(error, FileExistsError):
                    raise
                raise RunError(
                    f"{path} was made by another process meanwhile; open it, or choose another folder"
                ) from error
            finally:
                shutil.rmtree(made.path, ignore_errors=True)


def _mark(path: Path) -> str:
    return f"autoal is making the session {path.name!r}\n"


def _clear_abandoned(path: Path) -> None:
    """Removes what a killed `create` of this very name left: by name and by mark, and nothing that only looks so."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.new")
    for old in path.parent.iterdir():
        if not ours.fullmatch(old.name) or old.is_symlink() or not _marked(old, path):
            continue
        with contextlib.suppress(RunError), Folder(old).lock(wait_s=0.0):
            if _marked(old, path):  # still, now that nobody else is at it
                shutil.rmtree(old, ignore_errors=True)


def _marked(old: Path, path: Path) -> bool:
    try:
        return (old / MARK).read_text(encoding="utf-8") == _mark(path)
    except (OSError, ValueError):
        return False


def _digest(folder: Path) -> str:
    """Of the files in a checkpoint."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return digest(b"".join(f"{path.name}\n".encode() + digest(path.read_bytes()).encode() for path in files))


def _sync(folder: Path) -> None:
    """Puts all of a folder on the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        elif path.is_dir():
            sync_folder(path)
    sync_folder(folder)
