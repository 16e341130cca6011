"""The trials of a study on disk: who takes which, which count, and what a kill leaves behind.

Each trial has an *ordinal*, its place in the plan 0, 1, ..., trials - 1. A new trial takes the smallest ordinal that
is neither finished nor under way, and a trial that is run again after a kill keeps its own. The sampler of a trial is
seeded by its ordinal, so that two trials that begin at the same time do not try the same, and one that begins again
tries what it would have.
"""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from autoal.disk import cut_torn, locked, read_jsonl
from autoal.errors import AutoALError, RunError, shown
from autoal.experiment.config import StudyConfig
from autoal.rng import derive_seed

__all__ = ["DONE", "Book", "check_storage", "counts"]

DONE = (TrialState.COMPLETE, TrialState.PRUNED)
DIRECTIONS = (StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE)
"""Of gain and of seconds."""
DEATHS = 2
"""A trial whose process dies this often has failed; the first time may have been a neighbour's fault (memory)."""


LOG_REMEDY = (
    "put the file of a backup in its place, or delete it: trials are then counted anew, and cells that are there need "
    "not be computed again"
)


def read_log(path: Path) -> int:
    """How many trials there are in a log of Optuna's. Raises RunError where it cannot be read."""
    try:
        lock: Any = _Lock(path.with_name(".study.lock"))
        storage = JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
        return sum(storage.get_n_trials(study._study_id) for study in storage.get_all_studies())
    except Exception as error:  # whatever a line that is not as it was written leads to
        raise RunError(
            f"{path} cannot be read ({shown(str(error))}); it was changed from outside: {LOG_REMEDY}"
        ) from error


@contextlib.contextmanager
def _usable(config: StudyConfig, folder: Path) -> Iterator[None]:
    """Raises RunError, with what to do, for whatever Optuna, a database or a changed line lead to."""
    try:
        yield
    except (MemoryError, AutoALError):
        raise
    except Exception as error:
        where = folder / "study.log" if config.storage is None else f"the storage {config.storage!r}"
        remedy = LOG_REMEDY if config.storage is None else "put it right, or name another `storage` in the config"
        raise RunError(f"{where} cannot be used ({shown(str(error) or type(error).__name__)}): {remedy}") from error


def check_storage(config: StudyConfig) -> None:
    """Raises RunError where the database that the config names, if it does, cannot be used."""
    if config.storage is not None:
        with _usable(config, Path()):
            optuna.storages.get_storage(config.storage)


class Book:
    """The trials of one study. Several processes may have one of the same folder open, each for one trial at a time.

    `storage` of the config is a database address; without it the trials are in `study.log`, a journal in the folder.
    """

    def __init__(self, config: StudyConfig, name: str, folder: Path, seeds: int) -> None:
        self.config, self.folder = config, folder
        self.mine = str(folder.resolve())
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with _usable(config, folder):
            storage: str | BaseStorage
            if config.storage is None:
                # Our own lock ends with its process; Optuna's would make others wait half a minute after a kill.
                lock: Any = _Lock(folder / ".study.lock")
                storage = JournalStorage(JournalFileBackend(str(folder / "study.log"), lock_obj=lock))
            else:
                storage = config.storage
            self.study = optuna.create_study(
                study_name=config.study_name or name,
                storage=storage,
                directions=DIRECTIONS[: len(config.objectives)],
                load_if_exists=True,
                pruner=_pruner(config, seeds),
            )
            self.trials()

    def next(self, owner: str = "") -> Trial | None:
        """The next trial, of a process named `owner`; None where all are finished or under way."""
        with locked(self.folder / ".ask.lock", math.inf, ""):
            trials = self.trials()
            waiting = [trial for trial in trials if trial.state is TrialState.WAITING]
            if waiting:
                ordinal = _ordinal(waiting[0])
            else:
                taken = {_ordinal(t) for t in trials if counts(t) or t.state is TrialState.RUNNING}
                ordinal = next(number for number in range(len(taken) + 1) if number not in taken)
                if ordinal >= self.config.trials:
                    return None
            self.study.sampler = self._sampler(ordinal)
            trial = self.study.ask()
            for key, value in {"ordinal": ordinal, "folder": self.mine, "owner": owner}.items():
                trial.set_user_attr(key, value)
            return trial

    def finished(self) -> int:
        """Trials that count."""
        return sum(counts(trial) for trial in self.trials())

    def trials(self) -> list[FrozenTrial]:
        """All trials, by number."""
        return self.study.get_trials(deepcopy=False)

    def fail_over(self, owner: str | None = None) -> None:
        """Fails the trials of this folder that died with their process, and queues their parameters again.

        Of all processes, when none is alive; or those of `owner`, which has just died by itself: a trial that this
        happens to twice counts as failed. In a shared storage the trials of other folders are left alone.
        """
        for trial in self.trials():
            if trial.state is not TrialState.RUNNING:
                continue
            shared = self.config.storage is not None  # a folder's own log has no other's, wherever it lies by now
            if shared and trial.user_attrs.get("folder", self.mine) != self.mine:
                continue
            if owner is not None and trial.user_attrs.get("owner") != owner:
                continue
            deaths = trial.user_attrs.get("deaths", 0) + (owner is not None)
            if deaths >= DEATHS:
                self._note(trial, "error", "its process died twice, as when memory runs out; try --workers 1")
            self.study.tell(trial.number, state=TrialState.FAIL)
            if trial.params and deaths < DEATHS:
                again = {"again": trial.number, "ordinal": _ordinal(trial), "deaths": deaths}
                self.study.enqueue_trial(trial.params, user_attrs=again)

    @staticmethod
    def mend(folder: Path) -> None:
        """Drops a last line of the journal that a kill has cut; to be called while no other process is at work."""
        log = folder / "study.log"
        if not log.exists():
            return
        read_jsonl(log, LOG_REMEDY)
        cut_torn(log, log.read_bytes().rfind(b"\n") + 1)

    def _note(self, trial: FrozenTrial, key: str, value: Any) -> None:
        self.study._storage.set_trial_user_attr(trial._trial_id, key, value)

    def _sampler(self, ordinal: int) -> optuna.samplers.BaseSampler:
        """A sampler for one trial: a function of its ordinal and of the trials in the storage, and of nothing that
        died with a process."""
        # In a storage that several folders share, each draws other settings than the rest.
        shared = [] if self.config.storage is None else [self.mine]
        seed = derive_seed(self.config.seed, "sampler", ordinal, *shared) % 2**31
        if ordinal < self.config.startup_trials:
            return optuna.samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(
                seed=seed,
                n_startup_trials=self.config.startup_trials,
                multivariate=True,
                group=True,
                constant_liar=True,  # trials under way count as bad, so that others keep away from them
            )


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial is finished: it has a value, was pruned, or its cells raised (they would raise again)."""
    return trial.state in DONE or "error" in trial.user_attrs


def _ordinal(trial: FrozenTrial) -> int:
    # Without one it was killed in the moment it began, and nothing hangs on which it is given.
    return int(trial.user_attrs.get("ordinal", trial.number))


def _pruner(config: StudyConfig, seeds: int) -> optuna.pruners.BasePruner:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # Two seeds before anything is cut: one seed of active learning says next to nothing.
        makers: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
            "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=config.startup_trials, n_warmup_steps=1),
            "wilcoxon": lambda: optuna.pruners.WilcoxonPruner(p_threshold=0.1, n_startup_steps=2),
            "hyperband": lambda: optuna.pruners.HyperbandPruner(
                min_resource=min(2, seeds), max_resource=seeds, reduction_factor=2
            ),
        }
        return makers.get(config.pruning(), optuna.pruners.NopPruner)()


class _Lock:
    """A lock as Optuna's journal wants it, that ends with its process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.held: contextlib.ExitStack | None = None

    def acquire(self) -> bool:
        held = contextlib.ExitStack()
        held.enter_context(locked(self.path, math.inf, "", poll_s=0.005))
        self.held = held
        return True

    def release(self) -> None:
        assert self.held is not None, f"process {os.getpid()} does not hold {self.path}"
        held, self.held = self.held, None
        held.close()
