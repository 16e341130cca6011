"""What happens while somebody labels: the next batch is chosen, and the model's guesses for it are written down.

Run as a program (`python -m autoal.labeling.choosing FOLDER`) it is a process of its own, since a training holds the
interpreter, and the page has to answer within milliseconds. It reads a line on its standard input for each time that it
shall look whether a batch is due, writes one JSON object a line for what it did, and ends when its input ends, so that
it never outlives the page. All it has to say about labels goes through the journal of the session.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from autoal.disk import append_line, read_jsonl
from autoal.errors import AutoALError, AutoALWarning
from autoal.labeling.opening import load_model
from autoal.rng import derive_seed, isolated
from autoal.selectors import Query
from autoal.session import Session

__all__ = ["Event", "choose", "guesses_of", "main"]

Event = dict[str, Any]
GUESSES = "guesses.jsonl"
NICE = 10
"""Added to the priority number of the process: whoever labels comes first."""


def choose(session: Session, batch_size: int, say: Callable[[Event], None]) -> None:
    """Chooses every batch that is due, and says what it does. Errors are said too, and not raised."""
    try:
        while True:
            began = time.perf_counter()
            say({"event": "looking"})
            query = session.ask_ahead(batch_size)
            if query is None:
                break
            _write_guesses(session, query)
            say({"event": "chosen", "seconds": time.perf_counter() - began})
        say({"event": "done"})
    except AutoALError as error:
        say({"event": "failed", "message": str(error)})
    except Exception as error:  # of the user's model, perhaps: anything; the page goes on with what it has
        say({"event": "failed", "message": f"{type(error).__name__}: {error}"})


def guesses_of(folder: Path) -> dict[int, dict[str, tuple[Any, float]]]:
    """What the model said of the points of each batch when it asked for them: round -> id as text -> label, confidence
    (in a regression None). None are there of batches that were chosen without a model."""
    found: dict[int, dict[str, tuple[Any, float]]] = {}
    for record in read_jsonl(folder / GUESSES, "remove it; guesses are not needed to go on")[0]:
        told = zip(record["ids"], record["labels"], record["confidence"], strict=True)
        found[record["round"]] = {str(name): (label, confidence) for name, label, confidence in told}
    return found


def _write_guesses(session: Session, query: Query) -> None:
    """They come from the model that chose the batch, which has not seen an answer to it."""
    selector = session.selector
    if selector is None:
        return
    at = torch.from_numpy(np.array(query.indices, dtype=np.int64))
    number = session.n_rounds - 1
    labels: list[Any]
    confidence: list[Any]
    with isolated(derive_seed(0, "guesses", number)):
        if session.task == "regression":
            labels = selector.model_.predict_means(session.rows, at).double().tolist()
            confidence = [None] * len(labels)
        else:
            best = selector.model_.predict_log_probs(session.rows, at).double().exp().max(dim=1)
            labels = np.asarray(selector.classes_)[best.indices.numpy()].tolist()
            confidence = best.values.tolist()
    record = {"round": number, "ids": query.ids.tolist(), "labels": labels, "confidence": confidence}
    append_line(session.folder / GUESSES, record)


@contextlib.contextmanager
def _own_output() -> Iterator[IO[str]]:
    """What was the standard output, for events alone; whatever else prints, prints on the error output from here on."""
    with os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8") as events:
        os.dup2(2, 1)
        yield events


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m autoal.labeling.choosing")
    parser.add_argument("folder")
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--model")
    chosen = parser.parse_args(arguments)
    woken, ending = threading.Event(), sys.stdin

    def listen() -> None:
        for _ in ending:
            woken.set()
        os._exit(0)  # the page is gone, and whatever is being computed can be computed again

    threading.Thread(target=listen, daemon=True).start()
    with contextlib.suppress(OSError, AttributeError):
        os.nice(NICE)
    with _own_output() as events:

        def say(event: Event) -> None:
            events.write(json.dumps(event) + "\n")

        def warn(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
            if issubclass(category, AutoALWarning):
                say({"event": "warning", "message": str(message)})

        try:
            model = load_model(chosen.model) if chosen.model else None
            session = Session.open(chosen.folder, model=model)
            warnings.showwarning = warn  # not before: the page has opened it too, and said what there was to say
            say({"event": "ready"})
        except AutoALError as error:
            say({"event": "failed", "message": str(error)})
            return
        while True:  # until `listen` ends it
            woken.wait()
            woken.clear()
            choose(session, chosen.batch_size, say)


if __name__ == "__main__":
    main()
