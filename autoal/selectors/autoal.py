"""AutoAL: finds out on the labels at hand which candidates pay, and asks for the labels that pay most."""

from __future__ import annotations

import contextlib
import hashlib
import numbers
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, clone
from torch import Tensor, nn

from autoal.anchor.candidates import Asked, ask_candidates
from autoal.anchor.features import standardised, target_scale
from autoal.anchor.heads import fit_heads, head_log_probs, with_bias
from autoal.anchor.space import Space, geometry
from autoal.compute import peak_bytes, resolve_device
from autoal.data import Pool, as_rows
from autoal.data.faces import EncodedRows, Faces
from autoal.data.labels import TASKS, label_array, target_array
from autoal.data.notes import Quiet
from autoal.data.nothing import NoRows
from autoal.encoders import check_encoder
from autoal.errors import AutoALWarning, InvalidInput, NotFitted, UnknownName
from autoal.models import ModelAdapter, PrecomputedModel, Progress, as_adapter, fit_model, is_regressor_model
from autoal.outputs import PoolView, Validation, check_outputs, compact_view
from autoal.paper.search import PaperSearch, run_paper_search, score_pool
from autoal.rng import derive_seed, fresh_seed, generator, isolated
from autoal.search.audit import AuditReport, audit_report, compact, draw_audit
from autoal.search.round import Learned, Memory, compose_batch, learn
from autoal.selectors.base import RoundState, Selection
from autoal.selectors.mixture import uniform_mixture
from autoal.selectors.portfolio import members, needs_of, servable
from autoal.selectors.progress import stages_on_stderr
from autoal.selectors.query import Query
from autoal.selectors.saving import load_selector, save_selector
from autoal.settings import SearchConfig, search_config
from autoal.strategies import resolve_candidates
from autoal.strategies.base import check_batch_size, ordered

__all__ = ["MODES", "AutoAL"]

MODES = ("bilevel", "paper", "uniform")
ProgressLike = Callable[[str, int, int], None] | bool | None


@dataclass(frozen=True)
class _Fitted:
    """A search on one state: what `query` needs to compose a batch."""

    state: RoundState
    asked: Asked
    dropped: dict[str, str]
    learned: Learned | None
    paper: PaperSearch | None
    space: Space | None
    audit: AuditReport | None
    seconds: dict[str, float]


class AutoAL(BaseEstimator):
    """Selects a batch of points to label by a learned weighing of candidate strategies.

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
        task: str = "auto",
        mode: str = "bilevel",
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
    history_: list[dict[str, Any]]
    search_net_: nn.Module | None

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
        class has been seen yet.

        Raises InvalidInput (a ValueError) on bad input, PoolExhausted where batch_size is larger than the pool.
        """
        batch_size = _integer(batch_size, "batch_size")
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
        self._check_parameters()
        if X is None:
            X = NoRows(_count(embeddings, probs))
        # Precomputed probabilities name the label space; otherwise it is what has been labeled so far.
        columns = _columns(probs) if classes is None else None
        built = Pool.build(
            X, y, X_pool, labeled=labeled, pool=pool, ids=ids, exclude=exclude, rejected=rejected, costs=costs,
            num_classes=columns, classes=classes, from_probs=columns is not None, task=self._task(probs, classes),
        )  # fmt: skip
        built.rows.use(self.encoder)
        if built.task == "regression":
            if probs is not None:
                raise InvalidInput("got probs in a regression, which has no classes; wanted embeddings, or a model")
            self._refuse_paper()
        if built.offset and search_config(self.search).audit > 0:
            raise InvalidInput(
                "got search={'audit': ...} with three arrays, whose rows move as labels come in, so that the points "
                "drawn at random could not be found again; wanted fit_query(X, y) with all rows in X"
            )
        if batch_size is None:
            batch_size = min(len(built), max(1, len(built.labeled) // 10))
        check_batch_size(_integer(batch_size, "batch_size"), len(built))
        if y_val is not None and X_val is None:
            raise InvalidInput("got y_val, but no X_val; wanted both or neither")
        with self._shown():
            state, adapter, seconds = self._state(built, embeddings, probs, X_val, y_val)
            self._read_as += [note for note in built.rows.notes if note not in self._read_as]
            self._say()
            with isolated(derive_seed(state.seed, "search")):  # whatever draws in there, draws from the seed
                fitted = self._search(state, batch_size, seconds, foreign_features=embeddings is not None)
        # Together and last: a call that fails leaves the earlier pool with the earlier search.
        self.pool_, self.model_, self.classes_, self.fitted_ = built, adapter, built.classes, fitted
        return self

    def query(self, *, batch_size: int) -> Query:
        """The batch for the pool that `fit` was given. Raises NotFitted before `fit`."""
        if not hasattr(self, "fitted_"):
            raise NotFitted("query was called before fit; call fit(X, y) first, or fit_query(X, y, batch_size=...)")
        check_batch_size(_integer(batch_size, "batch_size"), len(self.pool_.unlabeled))
        fitted = self.fitted_
        began = perf_counter()
        with self._shown():
            self._report("compose the batch", 0, 1)
            with isolated(derive_seed(fitted.state.seed, "compose")):
                selection = self._compose(fitted, batch_size)
        seconds = {**fitted.seconds, "compose": perf_counter() - began}
        positions = selection.positions.cpu()
        query = Query(
            indices=self.pool_.user_indices(positions),
            ids=self.pool_.user_ids(positions),
            utilities=self.pool_.scatter(selection.utilities.cpu()),
            weights=dict(selection.weights),
            votes={name: vote.cpu().numpy() for name, vote in selection.votes.items()},
            diagnostics={
                **selection.diagnostics,
                "read_as": [str(note) for note in self._read_as],
                "seconds": seconds,
                "peak_bytes": peak_bytes(),
            },
        )
        if fitted.audit is not None and fitted.audit.alarm:
            warnings.warn(f"the audit sees no gain over random points: {fitted.audit}", UserWarning, stacklevel=2)
        self._report("done", 1, 1)
        for callback in self.callbacks:
            callback(self, query)
        return query

    def leaderboard(self) -> pd.DataFrame:
        """One row a candidate: weight in the last batch, picks it wanted, seconds, and why it was dropped."""
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
        """Fields of ModelOutputs that some candidate, or the search itself, reads in a classification."""
        return self.needs_for("classification")

    def needs_for(self, task: str) -> frozenset[str]:
        """The same in either task."""
        wanted = frozenset({"log_probs" if task == "classification" else "means", "embeddings"})
        return wanted | needs_of(members(self.candidates, task), task)

    def select(self, state: RoundState, batch_size: int) -> Selection:
        """A batch for one round of a comparison run; remembers earlier rounds until `reset`."""
        self._check_parameters()
        check_batch_size(batch_size, len(state.view))
        with isolated(derive_seed(state.seed, "search")):
            return self._compose(self._search(state, batch_size, {}), batch_size)

    def reset(self) -> None:
        """Forgets every earlier round."""
        for attribute in ("_memory", "_memory_before", "_fingerprint", "_earlier", "history_"):
            if hasattr(self, attribute):
                delattr(self, attribute)

    def state_dict(self) -> dict[str, Any]:
        """What earlier rounds left behind, as JSON."""
        if not hasattr(self, "_memory"):
            return {}
        return {
            "memory": self._memory.to_json(),
            "memory_before": self._memory_before.to_json(),
            "fingerprint": self._fingerprint,
            "earlier": self._earlier,
            "history": self.history_,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues where `state_dict` was taken."""
        self.reset()
        if state:
            self._memory = Memory.from_json(state["memory"])
            self._memory_before = Memory.from_json(state["memory_before"])
            self._fingerprint = str(state["fingerprint"])
            self.history_ = list(state["history"])
            self._earlier = int(state.get("earlier", max(0, len(self.history_) - 1)))

    # --- one round --------------------------------------------------------------------------------------------

    def _check_parameters(self) -> None:
        if self.mode not in MODES:
            raise UnknownName("mode", self.mode, MODES)
        if self.task not in ("auto", *TASKS):
            raise InvalidInput(f"got task={self.task!r}; wanted 'auto', 'classification' or 'regression'")
        limit = self.time_limit
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, numbers.Real) or not limit > 0):
            raise InvalidInput(f"got time_limit={self.time_limit!r}; wanted seconds above 0, or None")
        if self.progress not in (None, True, False) and not callable(self.progress):
            raise InvalidInput(f"got progress={self.progress!r}; wanted None, True or a callable(stage, done, total)")
        if not isinstance(self.callbacks, Iterable) or not all(callable(each) for each in self.callbacks):
            raise InvalidInput(f"got callbacks={self.callbacks!r}; wanted a list of callables(selector, query)")
        search_config(self.search)
        resolve_candidates(self.candidates)
        check_encoder(self.encoder)

    def _say(self) -> None:
        """What was inferred from the rows and labels, once for each selector."""
        known = self.__dict__.setdefault("_said", set())
        fresh = [note for note in self._read_as if note not in known and not isinstance(note, Quiet)]
        known.update(fresh)
        if fresh:
            warnings.warn("; ".join(fresh), AutoALWarning, stacklevel=4)

    def _task(self, probs: Any, classes: Any) -> str:
        """`task`; where it is "auto", a regressor means a regression, whatever its targets look like."""
        if self.task == "auto" and probs is None and classes is None and is_regressor_model(self.model):
            return "regression"
        return self.task

    def _refuse_paper(self) -> None:
        if self.mode == "paper":
            raise InvalidInput(
                "got mode='paper' in a regression; the paper is about classes (its loss prediction and hardness are "
                "those of a softmax), wanted 'bilevel' or 'uniform'"
            )

    def _seed(self) -> int:
        if self.random_state is None:
            return fresh_seed()
        if isinstance(self.random_state, np.random.RandomState):
            return int(self.random_state.randint(2**31))
        if isinstance(self.random_state, np.random.Generator):
            return int(self.random_state.integers(2**31))
        return _integer(self.random_state, "random_state")

    def _state(
        self, pool: Pool, embeddings: Any, probs: Any, X_val: Any, y_val: Any
    ) -> tuple[RoundState, ModelAdapter, dict[str, float]]:
        """Trains the model and computes its outputs, each field once and only if some candidate needs it."""
        device = resolve_device(self.device)
        seed = self._seed()
        began = perf_counter()
        self._report("train the model", 0, 1)
        given = {name: values for name, values in (("probs", probs), ("embeddings", embeddings)) if values is not None}
        adapter: ModelAdapter
        if given and self.model is None:
            adapter = PrecomputedModel(**given)
        else:
            adapter = as_adapter(
                self.model, None, pool.num_classes, rows=pool.rows, n_labeled=len(pool.labeled), device=device,
                progress=self._report if self.progress else None, **given,
            )  # fmt: skip
        if X_val is not None and (given or isinstance(adapter, PrecomputedModel)):
            raise InvalidInput(
                "got X_val with precomputed outputs, which have no rows for it; wanted a model alone, to say what it "
                "thinks of X_val"
            )
        fit_model(
            adapter, pool.rows, pool.labeled, pool.labels, pool.num_classes,
            seed=derive_seed(seed, "model"), classes=pool.classes,
        )  # fmt: skip
        seconds = {"train": perf_counter() - began}
        self._read_as = [*pool.notes, *getattr(adapter, "notes", [])]
        if self.model is None and not isinstance(adapter, PrecomputedModel):
            self._read_as.append(Quiet(f"no model was given, so it is {_named(adapter)}"))
        began = perf_counter()
        self._report("model outputs", 0, 1)
        needs = self.needs_for(pool.task)
        asked = [("pool", pool.unlabeled), ("labeled points", pool.labeled)]
        if len(pool.rejected):
            asked.append(("rejected points", pool.rejected))
        sides = []
        for what, rows in asked:
            outputs = adapter.outputs(
                pool.rows, rows, needs & adapter.provides, seed=derive_seed(seed, "outputs"), device=device
            )
            check_outputs(outputs, len(rows), pool.num_classes, what)
            sides.append(outputs)
        costs = None if pool.costs is None else pool.costs.to(device)
        rejected = sides[2] if len(sides) > 2 else None
        view = PoolView(sides[0], sides[1], pool.labels.to(device), pool.num_classes, costs, rejected)
        validation = None
        if X_val is not None:
            validation = _validation(adapter, X_val, y_val, pool, needs, derive_seed(seed, "outputs"), device)
        seconds["outputs"] = perf_counter() - began
        state = RoundState(
            view=view,
            round=len(pool.labeled),
            seed=seed,
            pool_ids=pool.pool_keys(),
            labeled_ids=pool.labeled_keys(),
            inputs=pool.rows,
            pool_indices=pool.unlabeled,
            labeled_indices=pool.labeled,
            validation=validation,
        )
        return state, adapter, seconds

    def _search(
        self, state: RoundState, batch_size: int, seconds: dict[str, float], *, foreign_features: bool = False
    ) -> _Fitted:
        """Everything before the batch is composed. `foreign_features`: embeddings are the user's, not the model's."""
        config = search_config(self.search)
        began = perf_counter()
        deadline = began + self.time_limit if self.time_limit is not None else None
        seed = derive_seed(state.seed, "round", state.round)
        if state.view.task == "regression":
            self._refuse_paper()
        if state.validation is None:  # its points would have to be turned with the others
            state = replace(state, view=compact_view(state.view))
        state = _with_predictions(state, config)
        view = state.view
        served, dropped = servable(members(self.candidates, view.task), view, strict=self.strict)
        wanted = min(len(view), max(batch_size, round(config.proposal_factor * batch_size)))
        if self.mode != "bilevel":
            wanted = batch_size
        self._report("candidates", 0, 1)
        # The floor and the paper take the portfolio as it is; only the search drops twins.
        overlap = config.max_overlap if self.mode == "bilevel" else 1.0
        asked = ask_candidates(view, served, batch_size, wanted, overlap, seed)
        dropped.update(asked.dropped)
        seconds = {**seconds, "candidates": perf_counter() - began}
        memory = self._recall(state, config)
        learned, paper, space = None, None, None
        self._report("search", 0, 1)
        if self.mode == "bilevel":
            space = Space.of(view, config.head_dim, generator(seed, "space"))
            learned = learn(
                view, space, asked.candidates, memory, config,
                batch_size=batch_size, round=state.round, seed=seed, validation=state.validation,
                fair=self._not_chosen(state.labeled_ids) if config.audit > 0 and config.audit_judges else None,
                out_of_time=lambda: deadline is not None and perf_counter() > deadline,
            )  # fmt: skip
            seconds.update(learned.seconds)
            self._memory = learned.memory
            self.search_net_ = learned.candidate_net
        elif self.mode == "paper":
            began = perf_counter()
            paper = run_paper_search(
                _labeled_inputs(state), view.labels, view.num_classes, asked.candidates, config.paper,
                batch_size=batch_size, pool_size=len(view), mc_samples=10, seed=seed, device=view.device,
                embeddings=None if state.inputs is not None else view.labeled.embeddings,
            )  # fmt: skip
            seconds["search"] = perf_counter() - began
            self.search_net_ = paper.net
        else:
            self.search_net_ = None
        audit = None
        if config.audit > 0:
            began = perf_counter()
            # Features that the model has learned have seen every label: heads on them would be right on any point.
            rows = geometry(view.labeled) if foreign_features else _labeled_inputs(state)
            with isolated(derive_seed(seed, "audit", "features")):
                features = with_bias(compact(rows, config.head_dim)).to(view.device)
            audit = audit_report(
                features, view.labels, view.num_classes, state.labeled_ids, self._asked_before(),
                l2=config.head_l2, rng=generator(seed, "audit", "splits"),
            )  # fmt: skip
            seconds["audit"] = perf_counter() - began
        return _Fitted(state, asked, dropped, learned, paper, space, audit, seconds)

    def _not_chosen(self, labeled_ids: Tensor) -> Tensor:
        """(L,) bool: labeled points that earlier batches drew at random, or that were labeled before the first."""
        chosen = [key for batch in self._asked_before() for key in batch["chosen"]]
        return ~torch.isin(labeled_ids, torch.tensor(chosen, dtype=labeled_ids.dtype))

    def _asked_before(self) -> list[dict[str, Any]]:
        """What earlier batches chose and drew at random, as `audit_report` takes it; only while there is an audit."""
        return [entry["asked"] for entry in self.history_[: self._earlier] if "asked" in entry]

    def _recall(self, state: RoundState, config: SearchConfig) -> Memory:
        """What earlier rounds left. Asking again with the same labels starts from where that round started, so
        that the same call gives the same answer."""
        fingerprint = hashlib.sha256(
            state.labeled_ids.numpy().tobytes() + state.view.labels.cpu().numpy().tobytes()
        ).hexdigest()
        if not hasattr(self, "_memory"):
            self._memory = self._memory_before = Memory()
            self.history_ = []
            self._earlier = 0
        elif fingerprint != self._fingerprint:
            self._memory_before = self._memory
            self._earlier = len(self.history_)
        self._fingerprint = fingerprint
        return self._memory_before

    def _compose(self, fitted: _Fitted, batch_size: int) -> Selection:
        state, asked, config = fitted.state, fitted.asked, search_config(self.search)
        seed = derive_seed(state.seed, "round", state.round)
        view, names = state.view, [name for name, _ in asked.candidates]
        if any(len(proposal.indices) < batch_size for proposal in asked.proposals):
            asked = ask_candidates(view, asked.candidates, batch_size, batch_size, 1.0, seed)
        diagnostics: dict[str, Any] = {"mode": self.mode, "labels": len(view.labels), "dropped": dict(fitted.dropped)}
        drawn = torch.zeros(0, dtype=torch.long)
        if fitted.audit is not None:
            drawn = draw_audit(
                state.pool_ids, batch_size, config.audit, self._asked_before(), generator(seed, "audit", "draw")
            )
            diagnostics["audit"] = {"random": len(drawn), **fitted.audit.to_json(), "says": str(fitted.audit)}
        if fitted.learned is not None and fitted.space is not None:
            learned = fitted.learned
            composed = compose_batch(
                view, fitted.space, asked.proposals, learned, config, batch_size=batch_size, seed=seed
            )
            positions, utilities = composed.positions, ordered(composed.positions, composed.value).scores
            weights = composed.weights.mean(0).cpu()
            learned_weights = torch.softmax(learned.candidate_net.logits.detach(), 0).cpu().tolist()
            diagnostics["gate"] = {
                "open": learned.gate_open,
                "reason": learned.reason,
                "gain": learned.memory.evidence.gain(),
                "z": learned.memory.evidence.z(),
                "learned_weights": dict(zip(names, learned_weights, strict=True)),
            }
            if learned.trace is not None:
                diagnostics["losses"] = {"upper": learned.trace.upper, "gradient": learned.trace.gradient}
        elif fitted.paper is not None:
            paper = fitted.paper
            (positions, utilities), weights = score_pool(
                paper, _pool_reader(state), asked.proposals, config.paper, view, batch_size
            )
            diagnostics["losses"] = paper.losses
        else:
            positions = uniform_mixture(asked.proposals, batch_size, generator(seed, "mixture")).to(view.device)
            # Equal scores share a rank: a sort would order them by chance, and by the number of threads.
            mean_rank = torch.stack([ordered(*proposal).scores for proposal in asked.proposals]).mean(0)
            utilities = ordered(positions, mean_rank).scores
            weights = torch.full((len(names),), 1.0 / len(names), dtype=torch.float64)
        drawn = drawn.to(positions.device)
        if len(drawn):
            chosen = positions[~torch.isin(positions, drawn)][: batch_size - len(drawn)]
            positions = torch.cat([chosen, drawn])
            utilities = ordered(positions, utilities).scores
        votes = {
            name: torch.isin(positions, proposal.indices[:batch_size])
            for name, proposal in zip(names, asked.proposals, strict=True)
        }
        shares = dict(zip(names, weights.tolist(), strict=True))
        selection = Selection(positions, utilities, shares, votes, diagnostics)
        self.weights_ = shares
        self.last_selection_ = selection
        # Asked again with the same labels, or for a batch of another size: one round, one entry.
        entry = {"labels": len(view.labels), "weights": shares, **_plain(diagnostics)}
        if fitted.audit is not None:
            keys = state.pool_ids[positions.cpu()].tolist()
            split = len(keys) - len(drawn)
            predicted = view.pool.require("log_probs").argmax(1) if view.num_classes else view.pool.require("means")
            entry["asked"] = {
                "chosen": keys[:split],
                "random": keys[split:],
                "predicted": predicted[drawn].tolist(),
                "classes": view.num_classes,
            }
        self.history_ = [*self.history_[: self._earlier], entry]
        return selection

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


def _plain(diagnostics: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in diagnostics.items() if key in ("gate", "dropped", "audit")}


def _validation(
    adapter: ModelAdapter, X_val: Any, y_val: Any, pool: Pool, needs: frozenset[str], seed: int, device: torch.device
) -> Validation:
    """Outputs and labels of the user's validation points; raises InvalidInput where they do not fit the others."""
    rows = as_rows(X_val, what="X_val")
    given = None if y_val is None else label_array(y_val, "y_val")
    if given is None or len(given) != len(rows):
        got = "no y_val" if given is None else f"y_val of length {len(given)}"
        raise InvalidInput(f"got X_val of {len(rows)} rows and {got}; wanted one label for each row")
    if rows.kind != pool.rows.kind:
        raise InvalidInput(f"got X_val of {rows.kind}; wanted {pool.rows.kind}, as in X")
    if isinstance(rows, EncodedRows) and isinstance(pool.rows, Faces):
        rows.encode_as(pool.rows)
    elif tuple(rows.row_shape) != tuple(pool.rows.row_shape):
        raise InvalidInput(f"got X_val rows of shape {rows.row_shape}; wanted {pool.rows.row_shape}, as in X")
    labels = _validation_labels(given, pool).to(device)
    indices = torch.arange(len(rows))
    outputs = adapter.outputs(rows, indices, needs & adapter.provides, seed=seed, device=device)
    check_outputs(outputs, len(rows), pool.num_classes, "validation points")
    return Validation(outputs, labels)


def _validation_labels(given: Any, pool: Pool) -> Tensor:
    """Class numbers, or targets, of y_val."""
    if pool.classes is None:
        targets = target_array(given, "y_val")
        if np.isnan(targets).any():
            raise InvalidInput(f"y_val holds {int(np.isnan(targets).sum())} NaN; wanted a target for each row")
        return torch.from_numpy(targets)
    number = {label: c for c, label in enumerate(pool.classes.tolist())}
    unseen = sorted({str(label) for label in given.tolist() if label not in number})
    if unseen:
        raise InvalidInput(f"y_val holds classes that y does not: {', '.join(unseen[:5])}; label a point of each first")
    return torch.tensor([number[label] for label in given.tolist()])


def _named(adapter: Any) -> str:
    """The model of the package in words."""
    estimator = getattr(adapter, "estimator", None)
    if estimator is None:
        return f"a small network ({type(getattr(adapter, 'module', None)).__name__})"
    steps = [type(step).__name__.lstrip("_") for _, step in getattr(estimator, "steps", [("", estimator)])]
    return " and ".join(step for step in steps if step not in ("FunctionTransformer", "Encoded"))


def _count(embeddings: Any, probs: Any) -> int:
    """Rows, where there are only precomputed outputs. Raises InvalidInput where there are none of those either."""
    for name, values in (("embeddings", embeddings), ("probs", probs)):
        if values is not None:
            try:
                return len(values)
            except TypeError as error:
                raise InvalidInput(f"got {name} of type {type(values).__name__}; wanted an array (n, D)") from error
    raise InvalidInput("got X=None; wanted the rows, or embeddings= or probs= of a model of your own")


def _columns(probs: Any) -> int | None:
    """How many classes precomputed probabilities have; None where their shape is wrong, as their check will say."""
    try:
        shape = np.shape(probs)
    except ValueError:
        return None
    return shape[1] if len(shape) == 2 else None


def _integer(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise InvalidInput(f"got {what}={value!r}; wanted an integer")
    return int(value)


def _labeled_inputs(state: RoundState) -> Tensor:
    """Raw inputs of the labeled points, for the networks of `mode="paper"`; embeddings where there are none."""
    if state.inputs is not None and state.labeled_indices is not None:
        return state.inputs.take(state.labeled_indices)
    return geometry(state.view.labeled)


def _pool_reader(state: RoundState) -> Callable[[slice], Tensor]:
    """The same of a slice of the pool."""
    if state.inputs is not None and state.pool_indices is not None:
        rows, indices = state.inputs, state.pool_indices
        return lambda part: rows.take(indices[part])
    embedded = geometry(state.view.pool)
    return lambda part: embedded[part]


def _with_predictions(state: RoundState, config: SearchConfig) -> RoundState:
    """The state with probabilities, or predicted targets, from a head on the embeddings, where only those are known."""
    view = state.view
    field = "log_probs" if view.num_classes else "means"
    if field in view.pool.present():
        return state
    space = Space.of(view, config.head_dim, generator(state.seed, "space"))
    features = with_bias(space.labeled).unsqueeze(0)
    labels = view.labels.unsqueeze(0)
    shift, unit = target_scale(labels, view.num_classes)
    heads = fit_heads(
        features, standardised(labels, shift, unit), features.new_ones(1, len(view.labels)),
        num_classes=view.num_classes, l2=config.head_l2,
    )  # fmt: skip

    def predicted(x: Tensor) -> Tensor:
        rows = with_bias(x).unsqueeze(0)
        return head_log_probs(heads, rows)[0] if view.num_classes else (heads(rows)[0, :, 0].detach() * unit + shift)[0]

    sides = [
        replace(outputs, **{field: predicted(x)})
        for outputs, x in ((view.pool, space.pool), (view.labeled, space.labeled))
    ]
    return replace(state, view=replace(view, pool=sides[0], labeled=sides[1]))
