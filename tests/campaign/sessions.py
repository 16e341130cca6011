"""Random lives of sessions: right calls and odd ones in turn, and what must hold after each."""

from __future__ import annotations

import collections
import json
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from autoal import Session
from autoal.selectors import Query
from autoal.session.state import Told
from tests.campaign.files import answer_file
from tests.campaign.outcome import Fault, Wrong, called, plain_json, short
from tests.campaign.queries import CHEAP, QUICK, check_exports, made, odd_option, odd_setting
from tests.campaign.rows import lengths_of, odd_rows, scene
from tests.campaign.values import container, contents, odd, scalar, text

__all__ = ["run_session"]

NAMES = ("elm", "oak", "ash")
OPTIONS = ("X", "X", "y", "y", "ids", "ids", "classes", "classes", "costs", "labeled", "candidates", "model", "task",
           "mode", "search", "device", "random_state", "time_limit", "strict", "encoder")  # fmt: skip
HARMLESS = frozenset({"y", "ids", "classes", "costs", "labeled", "candidates", "mode", "random_state", "strict"})
"""What may be odd in `create`, and yet the session must be able to ask."""
OUT_OF_OUR_HANDS = ("gives outputs of shape", "pass encoder=", "the training loss is inf", "means of the pool is NaN",
                    "no candidate is left")  # fmt: skip
"""What a session may say when it cannot ask: the model does not fit, or was told targets of 1e308."""
Counts = collections.Counter[str]


def run_session(seed: int, number: int) -> tuple[Counts, list[Fault]]:
    """What became of the calls of session `number`, up to the first fault, and that fault."""
    with tempfile.TemporaryDirectory() as folder:
        play = _Play(random.Random(f"{seed}:session:{number}"), Path(folder))
        play.begin()
        for _ in range(play.rng.choice([6, 12, 20, 30])):
            if play.fault is None:
                play.step()
        if play.fault is None:
            return play.counts, []
        (kind, said), given = play.fault, f"{play.words}; {play.doing}"
        where = f"session, seed {seed}, case {number}, call {play.counts.total()}"
        return play.counts, [Fault(kind, said, where, given)]


class _Play:
    """One session, and what is known of it."""

    def __init__(self, rng: random.Random, folder: Path) -> None:
        self.rng, self.home = rng, folder
        self.folder, self.other = folder / "home" / "session", folder / "elsewhere"
        self.folder.parent.mkdir()
        self.other.mkdir()
        self.counts: Counts = collections.Counter()
        self.fault: tuple[str, str] | None = None
        self.doing = self.words = ""
        self.able = True
        """Whether it must be able to ask."""
        self.session: Any = None

    # --- the beginning ----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Creates it, with odd arguments perhaps, and where those are refused without."""
        rng, n = self.rng, self.rng.choice([12, 16, 24])
        self.task = "regression" if rng.random() < 0.15 else "classification"
        self.scene = scene(rng, n, rng.choice([2, 3]), self.task, wild=False)
        right = self._right(n)
        changed: dict[str, Any] = {}
        for _ in range(rng.choice([0, 0, 1, 1, 2])):
            name = rng.choice(OPTIONS)
            if name == "X":
                changed[name] = made(odd_rows, rng, self.scene.X, self.other)
            elif name in ("y", "ids", "classes", "costs", "labeled"):
                changed[name] = made(odd_option, rng, name, self.scene, n, self.other)
            else:
                changed[name] = made(odd_setting, rng, name)
        if changed and not self._create(right, changed):
            if self.fault is not None:
                self._smaller(right, changed)
            changed = {}
        if self.session is None and self.fault is None:
            if not self._create(right, {}) and self.fault is None:
                self.fault = "refused a right call: create", self.doing
        words = ", ".join(f"{key}={short(value)}" for key, value in changed.items())
        self.words = f"{self.scene.name}, created with {words or 'nothing odd'}"
        self.able = changed.keys() <= HARMLESS and self.session is not None and self.session.task == self.task

    def _right(self, n: int) -> dict[str, Any]:
        rng, truth = self.rng, self.scene.truth
        chosen: dict[str, Any] = {
            "X": self.scene.X, "model": self.scene.model, "candidates": rng.sample(CHEAP[:5], 2), "search": QUICK,
            "mode": rng.choice(["uniform", "uniform", "bilevel"]), "random_state": 0, "device": "cpu",
            "task": self.task, "encoder": lengths_of if self.scene.name.startswith("ragged") else None,
        }  # fmt: skip
        if self.task == "regression":
            chosen["candidates"] = ["kcenter", "random"]
            self.labels: list[Any] = truth.tolist()
            return chosen
        kind = rng.randrange(3)
        self.labels = [[NAMES[c] for c in truth], truth.tolist(), [bool(c % 2) for c in truth]][kind]
        if rng.random() < 0.3 and kind < 2:
            chosen["classes"] = [list(NAMES), [0, 1, 2]][kind]
        if rng.random() < 0.4:
            chosen["y"] = [label if row % 3 == 0 else None for row, label in enumerate(self.labels)]
        if rng.random() < 0.4:
            chosen["ids"] = [[f"p{row:02d}" for row in range(n)], list(range(100, 100 + n))][rng.randrange(2)]
        return chosen

    def _create(self, right: dict[str, Any], changed: dict[str, Any]) -> bool:
        arguments = {**right, **changed}
        words = ", ".join(f"{key}={short(value)}" for key, value in changed.items())
        self.doing = f"create({words or 'nothing odd'})"
        self.X, self.model, self.encoder = arguments["X"], arguments["model"], arguments.get("encoder")

        def go() -> Any:
            session = Session.create(self.folder, **arguments)
            if not self.folder.is_dir() or len(session) < 1:
                raise Wrong("created nothing: no folder, or no rows")
            return session

        self.session, refused, self.fault = called(go)
        self._count(refused)
        left = sorted(path.name for path in self.folder.parent.iterdir())
        if self.fault is None and left != ([] if refused else ["session"]):
            self.fault = "left behind by create", str(left)
        if self.fault is None and refused is None:
            self.stored = self.session._manifest["data"]["kind"] != "outside"
            self._watch("create", None)
        return self.session is not None and self.fault is None

    def _smaller(self, right: dict[str, Any], changed: dict[str, Any]) -> None:
        """The same fault with one odd argument alone, if it is."""
        first, doing = self.fault, self.doing
        for name, value in changed.items():
            for place in self.folder.parent.iterdir():
                shutil.rmtree(place)
            self._create(right, {name: value})
            if first is not None and self.fault is not None and self.fault[0] == first[0]:
                return
        self.fault, self.doing = first, doing

    # --- a call -----------------------------------------------------------------------------------------------

    def step(self) -> None:
        """One call, and what must hold after it."""
        kinds = [self.ask] * 4 + [self.answer] * 4 + [self.tell] * 5 + [self.tell_file] * 9 + [self.skip] * 3
        kinds += [self.relabel] * 3 + [self.look] * 2 + [self.reopen]
        if self.rng.random() < 0.015:
            kinds = [self.report]
        journal, before = self._journal(), _picture(self.session)
        method = self.rng.choice(kinds)
        go, self.doing = made(method)
        answer, refused, self.fault = called(go)
        self._count(refused)
        if self.fault is not None:
            return
        if refused is not None:
            if self._journal() != journal:
                self.fault = f"journal changed by a refused {method.__name__}", str(refused)[:200]
            elif _picture(self.session) != before:
                self.fault = f"state changed by a refused {method.__name__}", str(refused)[:200]
            elif self.able and method == self.answer:
                self.fault = "refused a right call: tell", str(refused)[:300]
            return
        self._watch(method.__name__, answer)
        told = method.__name__ in ("answer", "tell", "tell_file", "skip", "relabel")
        if self.fault is None and told and self._journal() != journal and self.able:
            self._still_asks(method.__name__)

    def _count(self, refused: Any) -> None:
        self.counts["fault" if self.fault else "answered" if refused is None else "refused"] += 1

    def _journal(self) -> bytes:
        path = self.folder / "journal.jsonl"
        return path.read_bytes() if path.exists() else b""

    def _watch(self, name: str, answer: Any) -> None:
        """After an accepted call: whole files, and another process would see the same."""

        def go() -> None:
            if isinstance(answer, Told) and min(answer) < 0:
                raise Wrong(f"counts below zero: {answer}")
            for line in self._journal().decode().split("\n")[:-1]:
                json.loads(line, parse_constant=_no_json)
            odd_names = [
                path.name
                for path in self.folder.rglob(".*")
                if path.name not in (".lock", ".lock.turn", ".choosing", ".choosing.turn")
            ]
            odd_names += [path.name for path in self.folder.rglob("*") if path.suffix in (".partial", ".tmp")]
            if odd_names:
                raise Wrong(f"file left half-written: {odd_names}")
            again = self._open(self.folder)
            if _picture(again) != _picture(self.session):
                raise Wrong(f"another state when opened again after {name}: {_different(again, self.session)}")
            _check_sets(again)

        _, refused, self.fault = called(go)
        if self.fault is None and refused is not None:
            self.fault = f"cannot be opened again after {name}: {type(refused).__name__}", str(refused)

    def _open(self, folder: Path) -> Any:
        return Session.open(folder, None if self.stored else self.X, model=self.model, encoder=self.encoder)

    def _still_asks(self, name: str) -> None:
        copy = self.home / "copy"
        shutil.copytree(self.folder, copy)

        def go() -> Any:
            session = self._open(copy)
            if session.status()["left"]:
                _check_batch(session, *_before(session), session.ask(1), 1)

        _, refused, fault = called(go)
        shutil.rmtree(copy)
        if refused is not None and not fault and not any(words in str(refused) for words in OUT_OF_OUR_HANDS):
            fault = f"cannot ask after an accepted {name}: {type(refused).__name__}", str(refused)[:300]
        self.fault = fault

    # --- the calls; each gives what to do, and its words ------------------------------------------------------

    def ask(self) -> tuple[Callable[[], Any], str]:
        rng, session, n = self.rng, self.session, len(self.session)
        size = rng.choice([1, 2, 3, 1, 2, 3, odd_option(rng, "batch_size", self.scene, n, self.other)])
        more = {}
        if rng.random() < 0.3 and self.scene.name != "regression":
            name = rng.choice(["embeddings", "embeddings", "probs"])
            more[name] = odd_option(rng, name, self.scene, n, self.other)

        def go() -> Any:
            taken, count = _before(session)
            query = session.ask(size, **more)
            _check_batch(session, taken, count, query, int(size))
            check_exports(query, self.other)

        return go, f"ask({short(size)}, {short(more)})"

    def answer(self) -> tuple[Callable[[], Any], str]:
        """What an annotator does."""
        waiting = self.session.pending or [name for name in _ids(self.session) if name not in self.session.labeled]
        chosen = waiting[: self.rng.choice([1, 2, 3, 100])]
        rows = [self.session._ids.row(name) for name in chosen]
        labels = [self._alike(self.labels[row % len(self.labels)]) for row in rows]
        open_rows = [name not in self.session.labeled and name not in self.session.skipped for name in chosen]
        chosen = [name for name, wanted in zip(chosen, open_rows, strict=True) if wanted]
        labels = [label for label, wanted in zip(labels, open_rows, strict=True) if wanted]
        return (lambda: self._told(chosen, labels)), f"tell({short(chosen)}, {short(labels)})"

    def _alike(self, label: Any) -> Any:
        """Of the type of the labels so far, and one of the classes."""
        space = self.session._space
        known = space.classes or list(self.session.labeled.values())
        if known and (space.classes or type(known[0]) is not type(label)):
            fits = space.classes and any(type(label) is type(name) and label == name for name in known)
            return label if fits else known[0]
        return label

    def tell(self) -> tuple[Callable[[], Any], str]:
        rng = self.rng
        names = rng.sample(_ids(self.session), rng.choice([1, 2, 3]))
        count, first = len(names), next(iter(self.session.labeled.values()), None)
        fresh = [name for name in names if name not in self.session.labeled] or names
        near: list[Any] = [
            (fresh, [scalar(rng)] * len(fresh)), (fresh, [scalar(rng) for _ in fresh]), (names, odd(rng, count)),
            (fresh, [text(rng) for _ in fresh]), (fresh, [rng.choice([10**30, 2**63, -1, 5, 10**400])] * len(fresh)),
            (names[0], scalar(rng)), (scalar(rng), first), (odd(rng, count), [first] * count),
            (container(rng, names), container(rng, [first] * count)), (names * 2, [first] * (2 * count)),
            (names, [[first]] * count), (names[0], [first]), (names, first), (names, contents(rng, count)),
            (Query(np.arange(1), np.asarray(names[:1]), np.zeros(1)), [first]), ([names], [[first] * count]),
            ([str(name) for name in names], [first] * count), ([float("nan"), *names[1:]], [first] * count),
            ([name + 0.0 if isinstance(name, int) else f" {name} " for name in names], [first] * count),
        ]  # fmt: skip
        ids, labels = rng.choice(near)
        correct = rng.choice([True, True, False])
        return (lambda: self._told(ids, labels, correct)), f"tell({short(ids)}, {short(labels)}, correct={correct})"

    def _told(self, ids: Any, labels: Any, correct: bool = False) -> Told:
        told = self.session.tell(ids, labels, correct=correct)
        if isinstance(ids, list) and isinstance(labels, list) and all(isinstance(c, str | int) for c in labels):
            kept = [self.session._state().labels.get(self.session._ids.row(name)) for name in ids]
            if self.session.task == "regression":  # which keeps floats
                labels = [*map(float, labels)]
            if kept != labels or [isinstance(c, bool) for c in kept] != [isinstance(c, bool) for c in labels]:
                raise Wrong(f"keeps other labels than were told: {kept}")
        return told

    def tell_file(self) -> tuple[Callable[[], Any], str]:
        rng = self.rng
        names = rng.sample(_ids(self.session), rng.choice([1, 3, 5]))
        rows = [self.session._ids.row(name) for name in names]
        pairs = [
            (name, self._alike(self.labels[row % len(self.labels)])) for name, row in zip(names, rows, strict=True)
        ]
        path, words = answer_file(rng, pairs, self.other)
        more: dict[str, Any] = {"correct": rng.random() < 0.7}
        if rng.random() < 0.15:
            more[rng.choice(["id", "label", "cancelled"])] = rng.choice(
                ["label", "id", "kind", "", None, 5, scalar(rng)]
            )
        return (lambda: self.session.tell_file(path, **more)), f"tell_file({words}, {short(more)})"

    def skip(self) -> tuple[Callable[[], Any], str]:
        rng = self.rng
        names: Any = rng.sample(_ids(self.session), rng.choice([1, 1, 2]))
        names = rng.choice([names, names, names[0], container(rng, names), odd(rng, 2)])
        reason = rng.choice(["ood", "blurred", text(rng), scalar(rng)])
        return (lambda: self.session.skip(names, reason)), f"skip({short(names)}, {short(reason)})"

    def relabel(self) -> tuple[Callable[[], Any], str]:
        rng = self.rng
        name = rng.choice([rng.choice(_ids(self.session)), rng.choice(_ids(self.session)), scalar(rng)])
        first = next(iter(self.session.labeled.values()), None)
        label = rng.choice([None, first, scalar(rng), text(rng), 10**30, np.asarray([first]), [first]])
        return (lambda: self.session.relabel(name, label)), f"relabel({short(name)}, {short(label)})"

    def look(self) -> tuple[Callable[[], Any], str]:
        session = self.session

        def go() -> None:
            _check_sets(session)
            check_exports(session.pending_query(), self.other)
            if len(repr(session)) > 10_000:
                raise Wrong("repr that is too long: Session")

        return go, "training_set, to_frame, status, pending_query, repr"

    def reopen(self) -> tuple[Callable[[], Any], str]:
        """In place of this process another, with odd arguments perhaps; where those are refused, this one goes on."""
        rng = self.rng
        name = rng.choice(["X", "model", "encoder", "device", "progress", "nothing", "nothing"])
        if name == "X":
            value = made(odd_rows, rng, self.X, self.other)
        else:
            value = None if name == "nothing" else odd_setting(rng, name)
        given = {} if name == "nothing" else {name: value}

        def go() -> None:
            right: dict[str, Any] = {"model": self.model, "encoder": self.encoder}
            Session.open(self.folder, **{**right, **({} if self.stored else {"X": self.X}), **given})
            self.session = self._open(self.folder)

        return go, f"open({short(given)})"

    def report(self) -> tuple[Callable[[], Any], str]:
        estimate = self.rng.random() < 0.3

        def go() -> None:
            page = self.session.report(estimate=estimate)
            if not page.read_text(encoding="utf-8").rstrip().endswith("</html>"):
                raise Wrong("file left half-written: report.html")

        return go, f"report(estimate={estimate})"


# --- what must hold ---------------------------------------------------------------------------------------------


def _ids(session: Any) -> list[Any]:
    return list(session._ids.of(range(len(session))))


def _before(session: Any) -> tuple[set[Any], int]:
    return {*session.labeled, *session.pending, *session.skipped}, session.status()["left"]


def _check_batch(session: Any, taken: set[Any], left: int, query: Any, size: int) -> None:
    names = query.ids.tolist()
    if len(query) != size or len(set(names)) != size or size > left:
        raise Wrong(f"batch of another size, or not distinct: {names} for {size}")
    if taken & set(names):
        raise Wrong(f"asks for what is labeled, pending or skipped: {sorted(map(str, taken & set(names)))}")
    if session._ids.of(query.indices.tolist()) != names or len(query.utilities) != len(session):
        raise Wrong(f"ids of other rows: {names}")
    if not np.isfinite(query.utilities[query.indices]).all():
        raise Wrong("utilities not finite on the batch: of ask")
    if not set(names) <= set(session.pending) or session.pending[-size:] != names:
        raise Wrong(f"pending are others than were asked for: {session.pending}")
    plain_json(dict(query.diagnostics), "diagnostics")


def _check_sets(session: Any) -> None:
    """What is read from a session says the same everywhere."""
    rows, labels = session.training_set()
    kept = session._state().labels
    if [*map(_plain, labels.tolist())] != [_plain(kept[row]) for row in rows.tolist()]:
        raise Wrong(f"training_set holds other labels: {short(labels)} for {short(list(kept.values()))}")
    frame, status = session.to_frame(), session.status()
    if len(frame) != status["labeled"] + status["pending"] + status["skipped"]:
        raise Wrong("to_frame has another length: than status says")
    if len(session.pending_query()) != status["pending"] or status["left"] < 0:
        raise Wrong("pending_query has another length: than status says")


def _plain(label: Any) -> Any:
    return type(label).__name__, hex(label) if isinstance(label, int) else label


def _picture(session: Any) -> Any:
    """The state in full, with types, so that two can be compared."""
    state, query = session._state(), session.pending_query()
    return (
        {row: _plain(label) for row, label in state.labels.items()}, list(state.labels), dict(state.skipped),
        list(state.pending.items()), len(state.asks), state.checkpoint, session.status(), query.indices.tolist(),
        [str(name) for name in query.ids.tolist()], dict(query.weights), np.nan_to_num(query.utilities, nan=-1e9).tolist(),
    )  # fmt: skip


def _different(one: Any, other: Any) -> str:
    pairs = zip(_picture(one), _picture(other), strict=True)
    return "; ".join(f"{short(a)} and {short(b)}" for a, b in pairs if a != b)


def _no_json(name: str) -> None:
    raise Wrong(f"journal holds what is no JSON: {name}")
