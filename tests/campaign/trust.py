"""`python -m tests.campaign.trust kills --count 200 --seed 0`: what is done to folders and files, and what comes of it.

Every part gives counts, and the faults among them: an answer that was lost, a change that was believed, an exception that
is none of ours. Victims are forks, so that one import of torch serves them all.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch

import numpy as np
import pandas as pd
from PIL import Image
from scipy import sparse

from autoal import Session
from autoal.cli import main as autoal
from autoal.data.archive import read_archive
from autoal.data.sources import Pictures, read_rows
from autoal.errors import AutoALError, AutoALWarning
from autoal.experiment.config import read_config
from autoal.experiment.lines import read_run
from autoal.experiment.store import CellStore
from autoal.session.inputs import load_inputs, store_inputs
from tests.campaign.counted import Outcome
from tests.campaign.stops import stops
from tests.commands import CONFIG, STUDY, small_disk
from tests.session.forged import head_at
from tests.session.problems import NAMES, again, begun, named

__all__ = ["PARTS", "Outcome"]


# --- kills ----------------------------------------------------------------------------------------------------

ROUNDS = 12


def _work(folder: Path, told: int) -> None:
    """Asks and answers until so many batches are done; every answer that was taken is said on `told`."""
    session = again(folder)
    if session.skipped:  # it died between a skip and taking that back
        session.undo(1)
    while session.n_rounds < ROUNDS or session.pending:
        pending = session.pending
        if not pending:
            session.ask(3)
            os.write(told, b"?\n")
        elif len(session.labeled) % 7 == 6:
            session.skip(pending[0], "blur")
            session.undo(1)
            session.tell(pending[0], named(pending[:1])[0])
            os.write(told, f"{pending[0]}\n".encode())
        else:
            session.tell(pending[0], named(pending[:1])[0])
            os.write(told, f"{pending[0]}\n".encode())


def _sequence(folder: Path) -> list[Any]:
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return [(line["event"], line["ids"], line.get("labels") if line["event"] != "ask" else None) for line in lines]


def _answers(sequence: list[Any]) -> list[Any]:
    """Without what a kill may repeat: a skip that was taken back."""
    return [line for line in sequence if line[0] == "ask" or (line[0] == "tell" and line[2])]


def kills(count: int, seed: int, place: Path) -> Outcome:
    """A session script is killed at random moments, again and again, until it is done; then the next."""
    found, rng, run = Outcome.empty(), np.random.default_rng([seed, 1]), 0
    whole = begun(place / "whole").folder
    read, write = os.pipe()
    _work(whole, write)
    reference = _answers(_sequence(whole))
    while found.counts["kills"] < count:
        folder = begun(place / f"run-{run}").folder
        run += 1
        acknowledged: set[str] = set()
        tries = 0
        while True:
            tries += 1
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(read)
                with contextlib.suppress(BaseException):
                    warnings.simplefilter("ignore")
                    _work(folder, write)
                    os._exit(0)
                os._exit(9)
            os.close(write)
            # Later and later: on a busy machine no batch would ever be chosen before its process is killed.
            limit = time.monotonic() + float(rng.uniform(0.0, 1.2)) * (1 + tries / 20)
            while time.monotonic() < limit and os.waitpid(child, os.WNOHANG) == (0, 0):
                time.sleep(0.002)
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(child, signal.SIGKILL)
                _, status = os.waitpid(child, 0)
                found.counts["kills"] += os.WIFSIGNALED(status)
                if os.WIFEXITED(status) and os.WEXITSTATUS(status):
                    found.faults.append(f"run {run}: the script failed")
            with os.fdopen(read) as said:
                acknowledged |= {line.strip() for line in said if not line.startswith("?")}
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                opened = again(folder)
            found.counts["torn lines, said"] += any("middle of a line" in str(w.message) for w in told)
            lost = acknowledged - set(opened.labeled)
            found.faults.extend([f"run {run}: {name} was taken and is gone" for name in sorted(lost)])
            if opened.n_rounds == ROUNDS and not opened.pending:
                break
        asked = [name for event, ids, _ in _sequence(folder) if event == "ask" for name in ids]
        if len(set(asked)) < len(asked):
            found.faults.append(f"run {run}: a point was asked for twice")
        if _answers(_sequence(folder)) != reference:
            found.faults.append(f"run {run}: other batches than those of a script that lived")
        found.counts["sessions brought to their end"] += 1
        found.counts["answers taken, none lost" if not lost else "answers taken"] += len(acknowledged)
        shutil.rmtree(folder)
    return found


def _killed_command(found: Outcome, arguments: list[str], rng: np.random.Generator, longest: float, what: str) -> None:
    """Runs a command until it ends by itself, killed at random moments before."""
    while True:
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in (1, 2):
                os.dup2(nowhere, stream)
            os._exit(autoal(arguments))
        limit = time.monotonic() + float(rng.uniform(0.0, longest))
        status = None
        while time.monotonic() < limit and status is None:
            done, state = os.waitpid(child, os.WNOHANG)
            status = state if done else None
            time.sleep(0.002)
        if status is None:
            try:
                os.killpg(child, signal.SIGKILL)
            except ProcessLookupError:  # it has no group of its own yet
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            found.counts[f"kills of {what}"] += 1
            longest *= 1.15  # so that it comes to an end
            continue
        if os.waitstatus_to_exitcode(status):
            found.faults.append(f"{what} ends with {os.waitstatus_to_exitcode(status)} after kills")
        return


def runs(count: int, seed: int, place: Path) -> Outcome:
    """`autoal compare` and `autoal study`, killed in turn."""
    found, rng = Outcome.empty(), np.random.default_rng([seed, 2])
    (place / "c.toml").write_text(CONFIG.format(seeds=2, rounds=4))
    (place / "s.toml").write_text(STUDY.format(seeds=2, rounds=2, trials=3))
    whole = {}
    for what, name in (("compare", "c.toml"), ("study", "s.toml")):
        began = time.monotonic()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            autoal([what, str(place / name), "--out", str(place / what), "--workers", "1", "--quiet"])
        whole[what] = time.monotonic() - began
    number = 0
    while found.counts["kills of compare"] + found.counts["kills of study"] < count:
        what, name = (("compare", "c.toml"), ("study", "s.toml"))[number % 2]
        folder = place / f"{what}-{number}"
        number += 1
        arguments = [what, str(place / name), "--out", str(folder), "--workers", "1", "--quiet"]
        _killed_command(found, arguments, rng, whole[what] / 3, what)
        if what == "compare":
            same = (folder / "journal.jsonl").read_bytes() == (place / what / "journal.jsonl").read_bytes()
        else:
            same = _trials(folder) == _trials(place / what)
        found.counts[f"{what}: ends, equal to one that lived"] += same
        if not same:
            found.faults.append(f"{what} {number}: another end than without kills")
        shutil.rmtree(folder)
    return found


def _trials(folder: Path) -> list[Any]:
    """What was tried, and what it was worth."""
    table = pd.read_csv(folder / "trials.csv")
    table = table[table["state"].isin(["complete", "pruned"])]
    return sorted(map(tuple, table[["gain", "components"]].round(9).to_numpy().tolist()))


# --- changes that must show -----------------------------------------------------------------------------------


def _session_of_many_lines(place: Path) -> Path:
    session = begun(place / "s")
    read, write = os.pipe()
    session.tell(NAMES[:6], named(NAMES[:6]))
    for _ in range(4):
        batch = session.ask(3)
        for name in batch.ids[:2]:
            session.tell(name, named([name])[0], annotator="ann")
        session.skip(batch.ids[2], "blur")
    session.relabel("p01", None)
    session.undo()
    os.close(read), os.close(write)
    return session.folder


def _look(folder: Path) -> tuple[str, Any]:
    """What opening a session comes to: refused, said, or nothing but its state."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            session = Session.open(folder)
            state = list(session.labeled.items()), session.pending, session.skipped, session.votes, session.n_rounds
        except AutoALError:
            return "refused", None
        except Exception as error:
            return f"{type(error).__name__}: {error}", None
    return ("said" if any(issubclass(w.category, AutoALWarning) for w in told) else "silent"), state


def cuts(count: int, seed: int, place: Path) -> Outcome:
    """The journal cut at every byte of its last ten lines (every so many where `count` is less): with the head of the
    end, as a tool or a hand does it, and with the head of that moment, as a kill does it."""
    found, folder = Outcome.empty(), _session_of_many_lines(place)
    journal, head = folder / "journal.jsonl", folder / "journal.head"
    whole, last = journal.read_bytes(), head.read_bytes()
    lines = whole.splitlines(keepends=True)
    first = len(b"".join(lines[:-10]))
    places = np.unique(np.linspace(first, len(whole) - 1, min(count, len(whole) - first)).astype(int)).tolist()
    heads: dict[int, bytes] = {}
    for at in range(len(lines) - 11, len(lines) + 1):
        head_at(folder, max(at, 0))
        heads[at] = head.read_bytes()
    for cut in places:
        journal.write_bytes(whole[:cut])
        head.write_bytes(last)
        word, _ = _look(folder)
        found.counts[f"cut from outside: {word}"] += 1
        if word != "refused":
            found.faults.append(f"cut at byte {cut}: {word}")
        there = whole[:cut].count(b"\n")
        journal.write_bytes(whole[:cut])
        head.write_bytes(heads[there])
        word, state = _look(folder)
        clean = whole[:cut].endswith(b"\n")
        found.counts[f"cut by a kill: {'between two lines, goes on' if clean and word == 'silent' else word}"] += 1
        if word != ("silent" if clean else "said") or state is None:
            found.faults.append(f"kill at byte {cut}: {word}")
        (folder / "journal.jsonl.torn").unlink(missing_ok=True)
    return found


def flips(count: int, seed: int, place: Path) -> Outcome:
    """Single bits of a session's files, of a run's cells and of its journal."""
    found, rng = Outcome.empty(), np.random.default_rng([seed, 3])
    folder = _session_of_many_lines(place)
    (place / "c.toml").write_text(CONFIG.format(seeds=2, rounds=4))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        autoal(["compare", str(place / "c.toml"), "--out", str(place / "run"), "--quiet"])
    cell = place / "run" / "cells" / "iris--margin--0.jsonl"
    targets: list[tuple[Path, Callable[[], Any], float]] = [
        (folder / "journal.jsonl", lambda: _look(folder), 0.5),
        (folder / "journal.head", lambda: _look(folder), 0.05),
        (folder / "manifest.json", lambda: _look(folder), 0.1),
        (folder / "ids.json", lambda: _look(folder), 0.05),
        (cell, lambda: _refused(lambda: CellStore(cell.parent, "iris--margin--0", plain=False).look()), 0.2),
        (place / "run" / "journal.jsonl", lambda: _refused(lambda: read_run(place / "run")), 0.1),
    ]
    for path, look, share in targets:
        whole = path.read_bytes()
        for _ in range(round(share * count)):
            at = int(rng.integers(len(whole)))
            bit = 1 << int(rng.integers(8))
            path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
            word, _ = look()
            cut_off = path == cell and at == len(whole) - 1  # its last newline: that round is computed again, the same
            of = "a cell" if path == cell else path.name if path.parent == folder else "the journal of a run"
            found.counts[f"{of}: {'computed again' if cut_off else word}"] += 1
            if word != "refused" and not cut_off:
                found.faults.append(f"{path.name}, bit {bit} of byte {at}: {word}")
        path.write_bytes(whole)
    return found


def _refused(call: Callable[[], Any]) -> tuple[str, Any]:
    try:
        return "silent", call()
    except AutoALError:
        return "refused", None
    except Exception as error:
        return f"{type(error).__name__}: {error}", None


# --- files of others ------------------------------------------------------------------------------------------


def _files(place: Path) -> Iterator[tuple[Path, Callable[[Path], Any], bool]]:
    """A good file of each kind, what reads it, and whether a change of its content can be known."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), np.arange(60) % 3
    frame = pd.DataFrame(X, columns=list("abcd")).assign(word=["é", "oak"] * 30)
    np.save(place / "a.npy", X)
    yield place / "a.npy", lambda path: np.array(read_rows(path)), False
    np.savez(place / "a.npz", X=X.astype("f4"), y=y)
    yield place / "a.npz", lambda path: _plain(read_archive(path, "a")), True
    np.savez_compressed(place / "b.npz", X=X.astype("f4"), y=y)
    yield place / "b.npz", lambda path: _plain(read_archive(path, "b")), True
    frame.to_csv(place / "a.csv", index=False)
    yield place / "a.csv", read_rows, False
    frame.to_parquet(place / "a.parquet")
    yield place / "a.parquet", read_rows, False
    (place / "pictures").mkdir()
    Image.fromarray((X[:40] * 40).astype("u1")).save(place / "pictures" / "a.png")
    yield place / "pictures" / "a.png", lambda path: Pictures(path.parent).pixels(), False
    for name, rows in (("array", X), ("sparse", sparse.csr_matrix(X)), ("frame", frame)):
        (place / name).mkdir()
        about = store_inputs(rows, place / name)[1]
        (path,) = (place / name).glob("X.*")
        yield path, lambda path, about=about: load_inputs(about, path.parent).fingerprint(), True
    (place / "a.toml").write_text(STUDY.format(seeds=1, rounds=1, trials=1))
    yield place / "a.toml", lambda path: read_config(path).identity(), False
    session = begun(place / "told")
    answers = [{"id": name, "label": label} for name, label in zip(NAMES[:9], named(NAMES[:9]), strict=True)]
    (place / "a.jsonl").write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    (place / "a.json").write_text(json.dumps(answers))
    pd.DataFrame(answers).to_csv(place / "answers.csv", index=False)
    for name in ("a.jsonl", "a.json", "answers.csv"):
        yield place / name, lambda path: session.tell_file(path, correct=True), False


def _plain(data: Any) -> Any:
    return np.asarray(data.X).tolist(), np.asarray(data.y).tolist()


def _damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut, flipped, with a hole, with something put in, or with a stretch of noise."""
    at = int(rng.integers(len(content)))
    more = rng.integers(0, 256, int(rng.integers(1, 40)), dtype=np.uint8).tobytes()
    return (
        content[:at],
        content[:at] + bytes([content[at] ^ (1 << int(rng.integers(8)))]) + content[at + 1 :],
        content[:at] + content[at + len(more) :],
        content[:at] + more + content[at:],
        content[:at] + more + content[at + len(more) :],
        content[:at] + b"9" * len(more) + content[at + len(more) :],
    )[int(rng.integers(6))]


def files(count: int, seed: int, place: Path) -> Outcome:
    """Data files of every kind, damaged: refused in our words, or read."""
    found, rng = Outcome.empty(), np.random.default_rng([seed, 4])
    kinds = list(_files(place))
    for number in range(count):
        path, read, knows = kinds[number % len(kinds)]
        content = path.read_bytes()
        damaged = _damaged(content, rng)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            good = read(path)
            path.write_bytes(damaged)
            word, what = _refused(lambda: read(path))  # noqa: B023 - called at once
        path.write_bytes(content)
        kind = path.parent.name + "/" + path.name if path.name.startswith("X.") else path.name
        if word == "silent":
            same = damaged == content or (knows and _same(good, what))
            word = "read, the same" if same else "read"
            if knows and not same:
                found.faults.append(f"{kind}, case {number}: other values, and nothing said")
        elif word != "refused":
            found.faults.append(f"{kind}, case {number}: {word[:200]}")
            word = "foreign exception"
        found.counts[word] += 1
    return found


def _same(one: Any, other: Any) -> bool:
    return bool(one == other)


# --- disks, writers, time -------------------------------------------------------------------------------------


def disks(count: int, seed: int, place: Path) -> Outcome:
    """A session on a disk that fills up at a random moment: what was taken stays, and it goes on once there is room."""
    found, rng = Outcome.empty(), np.random.default_rng([seed, 5])
    with small_disk(place / "disk", "2m") as disk:
        for number in range(count):
            session = begun(disk / f"s{number}")
            taken: dict[str, str] = {}
            at = os.statvfs(disk)
            with open(disk / "filler", "wb") as filler:
                room = int(rng.integers(0, 40_000))
                with contextlib.suppress(OSError):
                    os.posix_fallocate(filler.fileno(), 0, max(at.f_bavail * at.f_frsize - room, 1))
            for name in NAMES[:30]:
                try:
                    if len(taken) % 6 == 5:
                        session.ask(2)
                    session.tell(name, named([name])[0], correct=True)
                    taken[name] = named([name])[0]
                except (OSError, AutoALError) as error:
                    found.counts[f"refused: {getattr(error, 'strerror', None) or type(error).__name__}"] += 1
                except Exception as error:
                    found.faults.append(f"case {number}: {type(error).__name__}: {error}")
            word, _ = _look(session.folder)
            (disk / "filler").unlink()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                opened = again(session.folder)
            if not taken.items() <= opened.labeled.items():
                found.faults.append(f"case {number}: an answer that was taken is gone")
            opened.tell("p59", "oak")
            found.counts["answers taken, none lost"] += len(taken)
            found.counts["disks filled"] += 1
            if _look(session.folder)[0] not in ("silent", "said"):
                found.faults.append(f"case {number}: {word}, and refused afterwards")
            shutil.rmtree(session.folder)
    return found


def writers(count: int, seed: int, place: Path) -> Outcome:
    """Four processes that answer and ask in one session at the same time, `count` answers in all."""
    found = Outcome.empty()
    folder = begun(place / "s").folder
    begun_at, children = time.monotonic(), []
    for who in range(4):
        child = os.fork()
        if child == 0:
            code = 9
            with contextlib.suppress(BaseException):
                session = again(folder)
                mine = NAMES[who * 15 : who * 15 + 15]
                for turn in range(count // 4):
                    name = mine[turn % 15]
                    session.relabel(name, ("oak", "elm", "ash")[(turn // 15) % 3])
                    if turn % 10 == 9:
                        session.relabel(name, None)
                        with contextlib.suppress(AutoALError):  # none may be left
                            session.ask(1)
                code = 0
            os._exit(code)
        children.append(child)
    ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    found.faults.extend([f"writer {who} failed" for who, code in enumerate(ends) if code])
    session = again(folder)
    found.counts["lines in the journal"] = len((folder / "journal.jsonl").read_bytes().splitlines())
    found.counts["batches"] = session.n_rounds
    found.counts["seconds"] = round(time.monotonic() - begun_at)
    return found


def asks(count: int, seed: int, place: Path) -> Outcome:
    """So many batches in one process: its memory and its open files."""
    found = Outcome.empty()
    session = begun(place / "s")
    session.tell(NAMES[:12], named(NAMES[:12]))
    sizes, handles = [], []
    for _ in range(count):
        batch = session.ask(2)
        session.tell(batch, named(batch.ids))
        for name in batch.ids:
            session.relabel(name, None)
        sizes.append(_resident())
        handles.append(len(os.listdir("/proc/self/fd")))
    early, late = sizes[count // 4], sizes[-1]
    found.counts["batches"] = count
    found.counts["MiB after a quarter"], found.counts["MiB at the end"] = early >> 20, late >> 20
    found.counts["open files after a quarter"], found.counts["open files at the end"] = handles[count // 4], handles[-1]
    if handles[-1] > handles[count // 4]:
        found.faults.append(f"{handles[-1] - handles[count // 4]} files were not closed")
    if late - early > 48 << 20:
        found.faults.append(f"memory grew by {(late - early) >> 20} MiB")
    return found


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


PARTS: dict[str, tuple[Callable[[int, int, Path], Outcome], int]] = {
    "kills": (kills, 200),
    "runs": (runs, 200),
    "cuts": (cuts, 1_000_000),
    "flips": (flips, 2000),
    "files": (files, 3000),
    "disks": (disks, 50),
    "writers": (writers, 600),
    "asks": (asks, 300),
    "stops": (stops, 230),
}
"""And how often by default."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign.trust", description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"of {', '.join(PARTS)}; all unless given")
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    faults = 0
    for part in chosen.parts:
        work, usual = PARTS[part]
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as place:
            found = work(chosen.count or usual, chosen.seed, Path(place))
        print(f"{part} (seed {chosen.seed}): {dict(sorted(found.counts.items()))} in {time.monotonic() - began:.0f} s")
        for fault in found.faults[:20]:
            print(f"  FAULT {fault}")
        print(f"  {len(found.faults)} faults", flush=True)
        faults += len(found.faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
