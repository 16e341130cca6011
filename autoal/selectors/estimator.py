"""AutoAL: asks for the labels that pay most, and finds out on those at hand whether a candidate pays more."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, clone
from torch import nn

from autoal.compute import peak_bytes
from autoal.data import Pool, Shards
from autoal.data.notes import Quiet
from autoal.data.nothing import NoRows
from autoal.errors import AutoALWarning, InvalidInput, NotFitted, UnknownName
from autoal.models import Progress, is_regressor_model, known_classes
from autoal.rng import derive_seed, isolated
from autoal.selectors.base import RoundState, Selection
from autoal.selectors.checks import check_parameters, columns_of, refuse_paper, row_count, seed_of
from autoal.selectors.history import History
from autoal.selectors.portfolio import members, needs_of
from autoal.selectors.prepare import prepare
from autoal.selectors.progress import stages_on_stderr
from autoal.selectors.query import Query
from autoal.selectors.round import Searched, compose_round, search_round
from autoal.selectors.saving import load_selector, save_selector
from autoal.selectors.two_stage import query_shards
from autoal.settings import Mode, SearchConfig, Task, integer, search_config
from autoal.strategies import resolve_candidates
from autoal.strategies.base import check_batch_size

__all__ = ["AutoAL"]

ProgressLike = Callable[[str, int, int], None] | bool | None


class AutoAL(BaseEstimator):
    """Selects the points to label next: those that cover the pool best when each counts by the model's doubt of it.

    Beside that rule a search weighs candidate strategies on the labels there are; what it finds is used where it proves
    a gain on labels it has not seen.

    Parameters
    ----------
    candidates : "default" | "fast" | "all", or a list of names, Strategy objects or (name, Strategy) pairs
        The portfolio. The word always means strategies; points are the pool.
    model : torch module, factory, scikit-learn estimator, ModelAdapter or None
        Trained from scratch on the labeled points in every call; it gets the rows and the labels as they were given.
        None: what suits the rows: a small MLP or CNN, TF-IDF with logistic regression for texts, skrub's table encoding
        with logistic regression or boosting for frames.
    task : "auto" | "classification" | "regression"
        auto: a regression where y holds floats with fractions, or whole floats of more than 100 different values that
        make up more than half of the labels; classes for anything else, and wherever `probs` or `classes` are given.
        In a regression NaN or None mark a missing label (-1 is a target), and "default" and "fast" gain the members of
        the portfolio "regression".
    mode : "bilevel" | "paper" | "uniform"
        Ours; the paper's (arXiv 2410.13853) as printed; or no search at all, a floor.
    search : SearchConfig, mapping or None
        Outer hyper-parameters.
    device : "auto" | "cpu" | "cuda" | ...
    random_state : int, numpy generator or None
        The same seed gives the same query, bit for bit on a CPU, in every process.
    time_limit : float or None
        Seconds after which the search gives up and the anchor is used; answers then depend on the machine.
    progress : None, True or a callable(stage, done, total)
    callbacks : callables(selector, query), called after each query
    strict : bool
        A candidate that the model cannot serve raises instead of being dropped.
    encoder : scikit-learn transformer, object with `encode`, callable or None
        Makes numbers (n, D) of rows, for distances where the model has no features of its own. None: what suits the
        rows: skrub for frames, TF-IDF and SVD for texts, pixels and PCA for pictures.

    Attributes
    ----------
    weights_ : dict of candidate -> weight in the last batch
    history_ : list of dict, one for each search: labels, weights, gate, losses; with `search={"audit": ...}` also the
        keys of the points asked for, and what those drawn at random say
    search_net_ : the trained SearchNet (None in mode "uniform")
    model_ : the trained ModelAdapter
    classes_ : (C,) the user's labels in the order of the columns; None in a regression

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, truth = load_iris(return_X_y=True)
    >>> y = np.full(len(X), -1)
    >>> y[::10] = truth[::10]
    >>> picked = AutoAL("fast", model=LogisticRegression(), random_state=0).fit_query(X, y, batch_size=5)
    >>> len(picked)
    5
    """

    def __init__(
        self,
        candidates: str | Sequence[Any] = "default",
        *,
        model: Any = None,
        task: Task = "auto",
        mode: Mode = "bilevel",
        search: SearchConfig | Mapping[str, Any] | None = None,
        device: str | torch.device = "auto",
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
        time_limit: float | None = None,
        progress: ProgressLike = None,
        callbacks: Iterable[Callable[[Any, Query], None]] = (),
        strict: bool = False,
        encoder: Any = None,
    ) -> None:
        self.candidates = candidates
        self.model = model
        self.task = task
        self.mode = mode
        self.search = search
        self.device = device
        self.random_state = random_state
        self.time_limit = time_limit
        self.progress = progress
        self.callbacks = callbacks
        self.strict = strict
        self.encoder = encoder

    _display: Progress | None = None
    _read_as: list[str]
    search_net_: nn.Module | None
    fitted_: Searched

    # --- what a user calls ------------------------------------------------------------------------------------

    def fit_query(
        self,
        X: Any,
        y: Any,
        X_pool: Any = None,
        *,
        batch_size: int,
        labeled: Any = None,
        pool: Any = None,
        embeddings: Any = None,
        probs: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        costs: Any = None,
        ids: Any = None,
        exclude: Any = None,
        rejected: Any = None,
        classes: Any = None,
    ) -> Query:
        """Searches on the labeled points and returns the `batch_size` points to label next.

        Two forms. `fit_query(X, y)`: X (n, ...) is the whole pool and y (n,) is missing (NaN, -1 or None) where
        unlabeled, or `labeled` holds the indices of the labeled rows and y is either as short as it or as long as
        X. With a third array, `fit_query(X_labeled, y_labeled, X_pool)`, the first two are fully labeled and the
        answer's indices are rows of `X_pool`.

        `pool` and `exclude` are indices that may, and that may not, be asked for; `rejected` of rows that were asked
        for and belong to no class, which is what the open-set candidates learn from. `embeddings` (n, D) and `probs`
        (n, C) take the place of the model's; with both and `model=None` nothing is trained. In the three-array form
        they have one row for each row of X_labeled and then of X_pool. `costs` (n,) are prices of labels. `ids` (n,)
        name the rows: rows permuted together with their ids give the same answer. `X_val`, `y_val` are further
        labeled points that train the model's judge but never the model. `classes` names all labels, in case not every
        class has been seen yet. X may be `autoal.Shards`, a pool in parts that are read one at a time; indices are then
        row numbers over all of them, `model_` and `pool_` those of points drawn from them.

        Raises InvalidInput (a ValueError) on bad input, PoolExhausted where batch_size is larger than the pool.
        """
        batch_size = integer(batch_size, "batch_size")
        if isinstance(X, Shards):
            with self._shown():
                return query_shards(
                    self, X, y, batch_size=batch_size, labeled=labeled, pool=pool, exclude=exclude, rejected=rejected,
                    classes=classes, costs=costs, X_pool=X_pool, embeddings=embeddings, probs=probs, X_val=X_val,
                    y_val=y_val, ids=ids,
                )  # fmt: skip
        with self._shown():
            self.fit(
                X, y, X_pool, batch_size=batch_size, labeled=labeled, pool=pool, embeddings=embeddings, probs=probs,
                X_val=X_val, y_val=y_val, costs=costs, ids=ids, exclude=exclude, rejected=rejected, classes=classes,
            )  # fmt: skip
            return self.query(batch_size=batch_size)

    def fit(
        self,
        X: Any,
        y: Any,
        X_pool: Any = None,
        *,
        batch_size: int | None = None,
        labeled: Any = None,
        pool: Any = None,
        embeddings: Any = None,
        probs: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        costs: Any = None,
        ids: Any = None,
        exclude: Any = None,
        rejected: Any = None,
        classes: Any = None,
    ) -> Self:
        """Trains the model and SearchNet; `query` then composes a batch. Arguments as in `fit_query`.

        `batch_size` is the batch the search should have in mind: a tenth of the labels where it is not given.
        """
        check_parameters(self)
        if isinstance(X, Shards):
            raise InvalidInput("got a pool in shards for fit, which holds a pool whole; call fit_query(shards, y, ...)")
        if X is None:
            X = NoRows(row_count(embeddings, probs))
        task = self.task
        if task == "auto" and probs is None and classes is None and is_regressor_model(self.model):
            task = "regression"  # a regressor means one, whatever its targets look like
        if classes is None and probs is None and task != "regression":
            classes = known_classes(self.model)
        # Precomputed probabilities name the label space; otherwise it is what has been labeled so far.
        columns = columns_of(probs) if classes is None else None
        built = Pool.build(
            X, y, X_pool, labeled=labeled, pool=pool, ids=ids, exclude=exclude, rejected=rejected, costs=costs,
            num_classes=columns, classes=classes, from_probs=columns is not None, task=task,
        )  # fmt: skip
        built.rows.use(self.encoder)
        if built.task == "regression":
            if probs is not None:
                raise InvalidInput("got probs in a regression, which has no classes; wanted embeddings, or a model")
            refuse_paper(self.mode)
        if built.offset and search_config(self.search).audit > 0:
            raise InvalidInput(
                "got search={'audit': ...} with three arrays, whose rows move as labels come in, so that the points "
                "drawn at random could not be found again; wanted fit_query(X, y) with all rows in X"
            )
        if batch_size is None:
            batch_size = min(len(built), max(1, len(built.labeled) // 10))
        check_batch_size(integer(batch_size, "batch_size"), len(built))
        if y_val is not None and X_val is None:
            raise InvalidInput("got y_val, but no X_val; wanted both or neither")
        with self._shown():
            made = prepare(
                built, self.model, self.needs_for(built.task), later=self.later_needs_for(built.task),
                seed=seed_of(self.random_state), device=self.device,
                embeddings=embeddings, probs=probs, X_val=X_val, y_val=y_val, report=self._report,
                progress=bool(self.progress),
            )  # fmt: skip
            self._say(made.notes)
            with isolated(derive_seed(made.state.seed, "search")):  # whatever draws in there, draws from the seed
                fitted = self._searched(made.state, batch_size, made.seconds, foreign_features=embeddings is not None)
        # Together and last: a call that fails leaves the earlier pool with the earlier search.
        self.pool_, self.model_, self.classes_, self.fitted_ = built, made.model, built.classes, fitted
        return self

    def query(self, *, batch_size: int) -> Query:
        """The batch for the pool that `fit` was given. Raises NotFitted before `fit`."""
        if not hasattr(self, "fitted_"):
            raise NotFitted("query was called before fit; call fit(X, y) first, or fit_query(X, y, batch_size=...)")
        check_batch_size(integer(batch_size, "batch_size"), len(self.pool_.unlabeled))
        fitted = self.fitted_
        began = perf_counter()
        with self._shown():
            self._report("compose the batch", 0, 1)
            with isolated(derive_seed(fitted.state.seed, "compose")):
                selection = self._composed(fitted, batch_size)
        seconds = {**fitted.seconds, "compose": perf_counter() - began}
        positions = selection.positions.cpu()
        query = Query(
            indices=self.pool_.user_indices(positions),
            ids=self.pool_.user_ids(positions),
            utilities=self.pool_.scatter(selection.utilities.cpu()),
            weights=dict(selection.weights),
            votes={name: vote.cpu().numpy() for name, vote in selection.votes.items()},
            diagnostics={**selection.diagnostics, **self._spent(seconds)},
        )
        if fitted.audit is not None and fitted.audit.alarm:
            warnings.warn(f"the audit sees no gain over random points: {fitted.audit}", UserWarning, stacklevel=2)
        return self._answered(query)

    def _spent(self, seconds: dict[str, float]) -> dict[str, Any]:
        return {"read_as": [str(note) for note in self._read_as], "seconds": seconds, "peak_bytes": peak_bytes()}

    def _answered(self, query: Query) -> Query:
        self._report("done", 1, 1)
        for callback in self.callbacks:
            callback(self, query)
        return query

    def leaderboard(self) -> pd.DataFrame:
        """One row a candidate: weight in the last batch, picks it wanted (missing where the round had nothing to ask
        it for), seconds, and why it was dropped."""
        if not hasattr(self, "last_selection_") or not hasattr(self, "fitted_"):
            raise NotFitted("leaderboard was called before a query; call fit_query(X, y, batch_size=...) first")
        selection, asked = self.last_selection_, self.fitted_.asked
        rows = [
            {
                "candidate": name,
                "weight": selection.weights.get(name, 0.0),
                "picks": int(selection.votes[name].sum()) if name in selection.votes else 0,
                "seconds": asked.seconds.get(name, 0.0),
                "dropped": self.fitted_.dropped.get(name, ""),
            }
            for name in sorted({*selection.weights, *self.fitted_.dropped})
        ]
        frame = pd.DataFrame(rows, columns=["candidate", "weight", "picks", "seconds", "dropped"])
        if not asked.proposals:
            frame["picks"] = pd.array([pd.NA] * len(frame), dtype="Int64")
        return frame.sort_values(["weight", "candidate"], ascending=[False, True], ignore_index=True)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the parameters and what was learned into `folder`: JSON and safetensors, never a pickle.

        The model and the data stay with the user: give them again to `load` and `fit_query`. Raises InvalidInput for
        a candidate that is not one of `CANDIDATES`, since it could not be made again.
        """
        save_selector(self, folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, model: Any = None) -> Self:
        """A selector as it was saved; it goes on as the saved one would have. Raises DataMissing, InvalidInput."""
        return load_selector(cls, folder, model)

    # --- scikit-learn's parameters ----------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments; with `deep` also each candidate's, as `badge__first`."""
        params = super().get_params(deep=False)
        if deep:
            for name, strategy in resolve_candidates(self.candidates):
                params[name] = strategy
                params.update({f"{name}__{key}": value for key, value in strategy.get_params().items()})
            if hasattr(self.model, "get_params") and not isinstance(self.model, type):
                params.update({f"model__{key}": value for key, value in self.model.get_params().items()})
        return params

    def set_params(self, **params: Any) -> Self:
        """Sets constructor arguments, arguments of candidates by `name__argument`, of the model by `model__argument`.

        Raises UnknownName for one that does not exist; then nothing is set.
        """
        known = super().get_params(deep=False)
        own = {key: value for key, value in params.items() if key in known}
        nested = {key: value for key, value in params.items() if key not in known}
        if not nested:
            super().set_params(**own)
            return self
        before = resolve_candidates(own.get("candidates", self.candidates))
        pairs = {name: clone(strategy) for name, strategy in before}
        model = own.get("model", self.model)
        model_params = model.get_params() if hasattr(model, "get_params") and not isinstance(model, type) else {}
        for_model: dict[str, Any] = {}
        touched = False
        # Whole candidates first, so that an argument in the same call is that of the new one.
        for key, value in sorted(nested.items(), key=lambda pair: "__" in pair[0]):
            owner, _, argument = key.partition("__")
            if owner == "model" and argument and model_params:
                if argument not in model_params:
                    raise UnknownName("parameter of model", argument, model_params)
                for_model[argument] = value
            elif owner in pairs and argument:
                if argument not in pairs[owner].get_params():
                    raise UnknownName(f"parameter of {owner}", argument, pairs[owner].get_params())
                pairs[owner].set_params(**{argument: value})
                touched = True
            elif owner in pairs:
                pairs[owner] = clone(value) if isinstance(value, BaseEstimator) else value
                touched = True
            else:
                raise UnknownName("parameter", key, self.get_params(deep=True))
        if touched:
            own["candidates"] = resolve_candidates(list(pairs.items()))
        super().set_params(**own)
        if for_model:
            model.set_params(**for_model)
        return self

    # --- what the runner calls --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """In tables."""
        return {"bilevel": "autoal", "paper": "autoal-paper", "uniform": "uniform"}[self.mode]

    @property
    def needs(self) -> frozenset[str]:
        """Fields of ModelOutputs that are read in every round of a classification."""
        return self.needs_for("classification")

    def needs_for(self, task: str) -> frozenset[str]:
        """The same in either task."""
        wanted = frozenset({"log_probs" if task == "classification" else "means", "embeddings"})
        return wanted if self.mode == "bilevel" else wanted | needs_of(members(self.candidates, task), task)

    def later_needs_for(self, task: str) -> frozenset[str]:
        """Fields that are read beside those in rounds that ask the candidates."""
        return needs_of(members(self.candidates, task), task) - self.needs_for(task)

    def select(self, state: RoundState, batch_size: int) -> Selection:
        """A batch for one round of a comparison run; remembers earlier rounds until `reset`."""
        check_parameters(self)
        check_batch_size(batch_size, len(state.view))
        with isolated(derive_seed(state.seed, "search")):
            return self._composed(self._searched(state, batch_size, {}), batch_size)

    def reset(self) -> None:
        """Forgets every earlier round."""
        self.__dict__.pop("_history", None)

    def state_dict(self, entries: int | None = None) -> dict[str, Any]:
        """What earlier rounds left behind, as JSON; with `entries`, only so many of `history_`, the first ones."""
        return self._past().to_json(entries)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues where `state_dict` was taken."""
        self._history = History.from_json(state)

    def follow(self, entries: Sequence[dict[str, Any]]) -> int:
        """Goes on after these entries too, as of `history_`; gives how many there were before."""
        before = len(self._past().entries)
        self._past().follow(entries)
        return before

    @property
    def history_(self) -> list[dict[str, Any]]:
        """One entry for each round so far. Raises AttributeError before the first."""
        if self._past().fingerprint is None:
            raise AttributeError("history_ is there after fit")
        return self._past().entries

    # --- one round --------------------------------------------------------------------------------------------

    def _past(self) -> History:
        if "_history" not in self.__dict__:
            self._history = History()
        return self._history

    def _searched(
        self, state: RoundState, batch_size: int, seconds: dict[str, float], *, foreign_features: bool = False
    ) -> Searched:
        found = search_round(
            state, self._past(), self.candidates, search_config(self.search), mode=self.mode, batch_size=batch_size,
            seconds=seconds, strict=self.strict, time_limit=self.time_limit, foreign_features=foreign_features,
            report=self._report,
        )  # fmt: skip
        self.search_net_ = found.net
        return found

    def _composed(self, searched: Searched, batch_size: int) -> Selection:
        selection = compose_round(searched, self._past(), batch_size)
        self.weights_, self.last_selection_ = dict(selection.weights), selection
        return selection

    def _say(self, notes: list[str]) -> None:
        """Keeps what was inferred from rows, labels and model, and warns of what may surprise, once a selector."""
        self._read_as = notes
        known = self.__dict__.setdefault("_said", set())
        fresh = [note for note in notes if note not in known and not isinstance(note, Quiet)]
        known.update(fresh)
        if fresh:
            warnings.warn("; ".join(fresh), AutoALWarning, stacklevel=4)

    def _report(self, stage: str, done: int, total: int) -> None:
        if callable(self.progress):
            self.progress(stage, done, total)
        elif self._display is not None:
            self._display(stage, done, total)

    @contextlib.contextmanager
    def _shown(self) -> Iterator[None]:
        """Draws the stages on stderr while they last, where `progress=True`; one line for nested calls."""
        if self.progress is not True or self._display is not None:
            yield
            return
        with stages_on_stderr() as self._display:
            try:
                yield
            finally:
                self._display = None
