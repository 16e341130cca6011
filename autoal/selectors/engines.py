"""Who works on the shards of a pool: this process, children of it, or a Ray cluster. The answers are the same."""

from __future__ import annotations

import contextlib
import pickle
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from autoal.cluster import ray_module
from autoal.errors import InvalidInput, RunError

__all__ = ["on_shards"]

TRIES = 4
"""How often a shard is begun whose worker died: killed, or out of memory."""

Work = Callable[[Any, int], Any]
_given: Any = None


def on_shards(
    work: Work, given: Any, count: int, *, engine: str, workers: int, report: Callable[[int], None] = lambda done: None
) -> list[Any]:
    """[work(given, 0), ..., work(given, count - 1)]. A shard whose worker died is done again.

    `given` is what all of them need; it travels once to each worker. Raises what `work` raises, RunError where workers
    die again and again, or where Ray is not installed.
    """
    if engine == "ray":
        return _on_ray(work, given, count, report)
    if workers == 1 or count == 1:
        answers = []
        for number in range(count):
            answers.append(work(given, number))
            report(number + 1)
        return answers
    return _on_children(work, given, count, workers, report)


def _on_children(work: Work, given: Any, count: int, workers: int, report: Callable[[int], None]) -> list[Any]:
    answers: dict[int, Any] = {}
    with tempfile.TemporaryDirectory(prefix="autoal-") as folder:
        path = Path(folder) / "given"
        try:
            path.write_bytes(pickle.dumps((work, given)))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise InvalidInput(
                f"got workers={workers}, and the model cannot be sent to another process ({error}); define it in a "
                "module that can be imported, or pass workers=1"
            ) from error
        for _ in range(TRIES):
            left = [number for number in range(count) if number not in answers]
            # A fresh process: torch and the threads of this one do not survive a fork.
            with ProcessPoolExecutor(
                min(workers, len(left)), get_context("spawn"), initializer=_receive, initargs=(str(path),)
            ) as pool:
                asked = [(number, pool.submit(_answer, number)) for number in left]
                with contextlib.suppress(BrokenProcessPool):
                    for number, answer in asked:
                        answers[number] = answer.result()
                        report(len(answers))
                for number, answer in asked:
                    if answer.done() and not answer.cancelled() and answer.exception() is None:
                        answers[number] = answer.result()
            if len(answers) == count:
                return [answers[number] for number in range(count)]
    raise RunError(
        f"workers died {TRIES} times, with {count - len(answers)} of {count} shards left to do; in a script, call from "
        'below `if __name__ == "__main__":`; where it is for memory, pass Shards(..., shard_rows=) a smaller number'
    )


def _receive(path: str) -> None:
    """In a child: takes what all shards need. The file is this call's own, in a folder that is nobody else's."""
    global _given
    _given = pickle.loads(Path(path).read_bytes())


def _answer(number: int) -> Any:
    work, given = _given
    return work(given, number)


def _on_ray(work: Work, given: Any, count: int, report: Callable[[int], None]) -> list[Any]:
    ray = ray_module("pass Shards(..., engine='local')")
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False)
    shared = ray.put((work, given))
    # A task whose node is lost is done again by Ray; errors of the work itself are not tried again.
    task = ray.remote(max_retries=TRIES)(_on_node)
    asked = [task.remote(shared, number) for number in range(count)]
    left, done = list(asked), 0
    while left:
        ready, left = ray.wait(left, num_returns=1)
        done += len(ready)
        report(done)
    try:
        return list(ray.get(asked))
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, Exception) else error from None
    except ray.exceptions.RayError as error:
        raise RunError(f"Ray gave up on a shard ({str(error).splitlines()[0]}); see its dashboard or logs") from error


def _on_node(shared: Any, number: int) -> Any:
    work, given = shared
    return work(given, number)
