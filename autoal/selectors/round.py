"""One round: a search on the labels at hand, and the batch it asks for.

`search_round` and `compose_round` are functions of the state of the round and of the `History`; nothing else is
remembered. Both run on one thread of a CPU: sums over several are in another order, and so other numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from autoal.anchor.candidates import PROPOSED, TWINS, Asked, ask_candidates
from autoal.anchor.features import standardised, target_scale, uncertainty_of
from autoal.anchor.heads import fit_heads, head_log_probs, with_bias
from autoal.anchor.judges import Judges, judges_of
from autoal.anchor.policy import at_budget
from autoal.anchor.space import Space, geometry
from autoal.compute import single_threaded
from autoal.errors import InvalidInput
from autoal.outputs import PoolView, compact_view
from autoal.paper.search import PaperSearch, run_paper_search, score_pool
from autoal.rng import derive_seed, generator, isolated
from autoal.search.audit import AuditReport, audit_report, compact, draw_audit
from autoal.search.round import Learned, compose_batch, learn
from autoal.selectors.base import RoundState, Selection
from autoal.selectors.checks import refuse_paper
from autoal.selectors.history import History
from autoal.selectors.mixture import uniform_mixture
from autoal.selectors.portfolio import members, needs_of, servable
from autoal.settings import SearchConfig
from autoal.strategies.base import ordered, random_ties

__all__ = ["Searched", "asked_about", "compose_round", "search_round"]

ASKED = 10_000
"""Points of a larger pool about which candidates are asked: half of them those that the model is least sure of, half
drawn from the others. Twenty a pick, up to twice as many, or four a pick."""
KEPT = ("gate", "dropped", "audit")
"""Diagnostics that stay in the history."""


@dataclass(frozen=True)
class Searched:
    """A search on one state: what is needed to compose a batch."""

    mode: str
    config: SearchConfig
    state: RoundState
    asked: Asked
    seen: PoolView
    """What the candidates were asked on: the pool, or some of it."""
    some: Tensor | None
    """Positions of those points in the pool."""
    dropped: dict[str, str]
    learned: Learned | None
    paper: PaperSearch | None
    space: Space | None
    judges: Judges | None
    audit: AuditReport | None
    seconds: dict[str, float]

    @property
    def net(self) -> Any:
        """The trained SearchNet; None where nothing is searched."""
        if self.learned is not None:
            return self.learned.candidate_net
        return None if self.paper is None else self.paper.net


@single_threaded()
def search_round(
    state: RoundState,
    history: History,
    candidates: str | Sequence[Any],
    config: SearchConfig,
    *,
    mode: str,
    batch_size: int,
    seconds: dict[str, float],
    strict: bool = False,
    time_limit: float | None = None,
    foreign_features: bool = False,
    report: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Searched:
    """Everything before the batch is composed. `foreign_features`: embeddings are the user's, not the model's."""
    began = perf_counter()
    deadline = began + time_limit if time_limit is not None else None
    seed = derive_seed(state.seed, "round", state.round)
    if state.view.task == "regression":
        refuse_paper(mode)
    if state.validation is None:  # its points would have to be turned with the others
        state = replace(state, view=compact_view(state.view))
    state = _with_predictions(state, config)
    view = state.view
    space, judges, asked_for = None, None, config
    if mode == "bilevel":
        space = Space.of(view, config.head_dim, generator(seed, "space"))
        judges = judges_of(view, space, config, seed)
        seconds = {**seconds, "judges": perf_counter() - began}
        trust = 1.0 if judges.trust is None else float(judges.trust)
        config = at_budget(config, len(view.labels), view.num_classes, kin=judges.kin, trust=trust)
    served, dropped = servable(members(candidates, view.task), view, strict=strict, available=state.available())
    if len(served) == 1 and asked_for.proposals == "auto":  # who names one strategy wants what it proposes
        config = config.model_copy(update={"proposals": "union"})
    wanted = min(len(view), max(batch_size, PROPOSED * batch_size))
    if mode != "bilevel":
        wanted = batch_size
    report("candidates", 0, 1)
    memory = history.recall(state)
    # Where the batch comes from the whole pool, what candidates propose there moves nothing before the gate opens.
    later = mode == "bilevel" and config.proposals == "pool"
    asked = Asked(sorted(served, key=lambda pair: pair[0]), [], {}, {})
    # One strategy that was named is asked about every point, and so are the floor and the paper.
    some = _some_of(view, _most(batch_size), seed) if mode == "bilevel" and len(served) > 1 else None
    seen = view
    if not later:
        # The floor and the paper take the portfolio as it is; only the search drops twins.
        overlap = TWINS if mode == "bilevel" else 1.0
        state, seen, asked, seconds = _ask(state, some, served, batch_size, wanted, overlap, seed, seconds)
        view = state.view
    dropped.update(asked.dropped)
    learned, paper = None, None
    report("search", 0, 1)
    if space is not None:
        learned = learn(
            view, space, asked.candidates, memory, config,
            batch_size=batch_size, round=state.round, seed=seed, validation=state.validation,
            fair=history.not_chosen(state.labeled_ids) if config.audit > 0 else None,
            kin=judges is None or judges.kin, out_of_time=lambda: deadline is not None and perf_counter() > deadline,
        )  # fmt: skip
        seconds.update(learned.seconds)
        history.memory = learned.memory
        if later and learned.gate_open:  # as it was learned: with twins
            state, seen, asked, seconds = _ask(state, some, served, batch_size, wanted, 1.0, seed, seconds)
            view = state.view
    elif mode == "paper":
        began = perf_counter()
        paper = run_paper_search(
            _labeled_inputs(state), view.labels, view.num_classes, asked.candidates, config.paper,
            batch_size=batch_size, pool_size=len(view), mc_samples=10, seed=seed, device=view.device,
            embeddings=None if state.inputs is not None else view.labeled.embeddings,
        )  # fmt: skip
        seconds["search"] = perf_counter() - began
    audit = None
    if config.audit > 0:
        began = perf_counter()
        # Features that the model has learned have seen every label: heads on them would be right on any point.
        rows = geometry(view.labeled) if foreign_features else _labeled_inputs(state)
        with isolated(derive_seed(seed, "audit", "features")):
            features = with_bias(compact(rows, config.head_dim)).to(view.device)
        audit = audit_report(
            features, view.labels, view.num_classes, state.labeled_ids, history.asked_before(),
            l2=config.head_l2, rng=generator(seed, "audit", "splits"),
        )  # fmt: skip
        seconds["audit"] = perf_counter() - began
    return Searched(
        mode, config, replace(state, later=None), asked, seen, some, dropped, learned, paper, space, judges, audit,
        seconds,
    )  # fmt: skip


@single_threaded()
def compose_round(searched: Searched, history: History, batch_size: int) -> Selection:
    """The batch; the history takes the entry of the round."""
    state, asked, config = searched.state, searched.asked, searched.config
    seed = derive_seed(state.seed, "round", state.round)
    view, names = state.view, [name for name, _ in asked.candidates]
    if any(len(proposal.indices) < batch_size for proposal in asked.proposals):
        if searched.some is not None and batch_size > len(searched.some):
            raise InvalidInput(
                f"got batch_size={batch_size}, but candidates were asked about {len(searched.some)} of {len(view)} "
                f"points, enough for the batch_size that `fit` was given; call fit again with batch_size={batch_size}"
            )
        again = ask_candidates(searched.seen, asked.candidates, batch_size, batch_size, 1.0, seed)
        asked = _in_pool(again, searched.some)
    diagnostics: dict[str, Any] = {"mode": searched.mode, "labels": len(view.labels), "dropped": dict(searched.dropped)}
    drawn = torch.zeros(0, dtype=torch.long)
    if searched.audit is not None:
        drawn = draw_audit(
            state.pool_ids, batch_size, config.audit, history.asked_before(), generator(seed, "audit", "draw")
        )
        diagnostics["audit"] = {"random": len(drawn), **searched.audit.to_json(), "says": str(searched.audit)}
    if searched.learned is not None and searched.space is not None and searched.judges is not None:
        learned = searched.learned
        composed = compose_batch(
            view, searched.space, searched.judges, asked.proposals, learned, config,
            batch_size=batch_size, seed=seed, some=searched.some,
        )  # fmt: skip
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
    elif searched.paper is not None:
        paper = searched.paper
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
        for name, proposal in zip(names, asked.proposals, strict=bool(asked.proposals))
    }
    shares = dict(zip(names, weights.tolist(), strict=True))
    selection = Selection(positions, utilities, shares, votes, diagnostics)
    # Asked again with the same labels, or for a batch of another size: one round, one entry.
    entry = {"labels": len(view.labels), "weights": shares, **{k: v for k, v in diagnostics.items() if k in KEPT}}
    if searched.audit is not None:
        keys = state.pool_ids[positions.cpu()].tolist()
        split = len(keys) - len(drawn)
        predicted = view.pool.require("log_probs").argmax(1) if view.num_classes else view.pool.require("means")
        entry["asked"] = {
            "chosen": keys[:split],
            "random": keys[split:],
            "predicted": predicted[drawn].tolist(),
            "classes": view.num_classes,
        }
    history.add(entry)
    return selection


def asked_about(state: RoundState, searched: Searched, batch_size: int) -> tuple[RoundState, Asked, Tensor | None]:
    """What the candidates of a search propose on another pool, of which `state` says; the state with what they read,
    and the positions they were asked about. No proposals where the batch does not depend on them."""
    asked, config = replace(searched.asked, proposals=[]), searched.config
    if config.proposals == "pool" and not (searched.learned is not None and searched.learned.gate_open):
        return state, asked, None
    seed, n = derive_seed(state.seed, "round", state.round), len(state.view)
    named = asked.candidates
    some = _some_of(state.view, _most(batch_size), seed) if len(named) > 1 else None
    state, _, asked, _ = _ask(state, some, named, batch_size, min(n, PROPOSED * batch_size), 1.0, seed, {})
    return state, asked, some


def _ask(
    state: RoundState,
    some: Tensor | None,
    served: Sequence[Any],
    batch_size: int,
    wanted: int,
    overlap: float,
    seed: int,
    seconds: dict[str, float],
) -> tuple[RoundState, PoolView, Asked, dict[str, float]]:
    """The state and what candidates see, with what they read of the model: of `some` points or of all. Then their
    proposals, and the seconds of both."""
    began = perf_counter()
    part = _part_of(state, some).with_outputs(needs_of(served, state.view.task))
    read = perf_counter()
    asked = ask_candidates(part.view, served, batch_size, wanted, overlap, seed)
    outputs = seconds.get("outputs", 0.0) + read - began
    pool = part.view.pool if some is None else state.view.pool
    state = replace(state, view=replace(part.view, pool=pool, costs=state.view.costs))
    return state, part.view, _in_pool(asked, some), {**seconds, "outputs": outputs, "candidates": perf_counter() - read}


def _most(batch_size: int) -> int:
    return max(ASKED, min(20 * batch_size, 2 * ASKED), 4 * batch_size)


def _some_of(view: PoolView, most: int, seed: int) -> Tensor | None:
    """(P,) positions, ascending, on which candidates are asked; None for all."""
    if len(view) <= most:
        return None
    rng = generator(seed, "asked")
    if view.num_classes:
        first = random_ties(uncertainty_of(view.pool.require("log_probs").float().exp()), rng, most // 2)
    else:
        first = torch.zeros(0, dtype=torch.long, device=view.device)
    left = torch.ones(len(view), dtype=torch.bool, device=view.device).index_fill_(0, first, False).nonzero().flatten()
    drawn = left[torch.randperm(len(left), generator=rng)[: most - len(first)].to(left.device)]
    return torch.cat([first, drawn]).sort().values


def _part_of(state: RoundState, some: Tensor | None) -> RoundState:
    """The state as if only these points of the pool were there."""
    if some is None:
        return state
    view, at = state.view, some.cpu()
    costs = None if view.costs is None else view.costs[some]
    later = state.later and replace(state.later, sides=(state.later.sides[0][at], *state.later.sides[1:]))
    indices = None if state.pool_indices is None else state.pool_indices[at]
    return replace(
        state, view=replace(view, pool=view.pool[some], costs=costs), pool_ids=state.pool_ids[at],
        pool_indices=indices, later=later,
    )  # fmt: skip


def _in_pool(asked: Asked, some: Tensor | None) -> Asked:
    """Proposals among some of the pool, as positions in it; their scores stay those of the points asked about."""
    if some is None:
        return asked
    return replace(asked, proposals=[proposal._replace(indices=some[proposal.indices]) for proposal in asked.proposals])


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
