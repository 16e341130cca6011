"""A round on an accelerator, pretended where there is none: no tensor is left on the other device."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch

from autoal import AutoAL
from autoal.outputs import PoolView
from autoal.selectors.base import RoundState, Selection
from tests.helpers import random_outputs
from tests.pretended import DEVICE, there

NAMES = ["margin", "kcenter", "badge", "typiclust", "uncertainty_herding"]


def state(view: PoolView) -> RoundState:
    n, known = len(view), len(view.labels)
    return RoundState(view, 1, 0, torch.arange(n), torch.arange(n, n + known))


def view(labeled: int, *, classes: int = 3, rejected: int = 0, costs: bool = False) -> PoolView:
    outputs = random_outputs(260 + labeled + rejected, 1, classes or 3)
    outputs = outputs.map(lambda x: x.float())
    pool, known, foreign = (
        outputs[part] for part in (slice(260), slice(260, 260 + labeled), slice(260 + labeled, None))
    )
    labels = known.require("logits").argmax(1) if classes else known.require("means").double()
    prices = torch.linspace(1, 3, 260, dtype=torch.float64) if costs else None
    if classes:
        fields = dict.fromkeys(("means", "mc_means"))
    else:
        fields = {name: None for name in outputs.present() if name.endswith(("log_probs", "logits"))}
    sides = [replace(side, **fields) for side in (pool, known, foreign)]
    return PoolView(sides[0], sides[1], labels, classes, prices, sides[2] if rejected else None)


def moved(view: PoolView) -> PoolView:
    rejected = None if view.rejected is None else view.rejected.to(DEVICE)
    costs = None if view.costs is None else view.costs.to(DEVICE)
    return PoolView(
        view.pool.to(DEVICE), view.labeled.to(DEVICE), view.labels.to(DEVICE), view.num_classes, costs, rejected
    )


def selected(view: PoolView, names: list[str], search: dict[str, object]) -> Selection:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AutoAL(names, search={"episodes": 4, "outer_steps": 3, **search}).select(state(view), 8)


@pytest.mark.parametrize(
    ("made", "search"),
    [
        ({"labeled": 40}, {}),
        ({"labeled": 150}, {}),
        ({"labeled": 150}, {"gate_level": 1.0, "relearn": 1.0}),
        ({"labeled": 150, "costs": True}, {"outer_steps": 0}),
        ({"labeled": 60, "rejected": 12}, {}),
        ({"labeled": 60, "classes": 0}, {"outer_steps": 0}),
    ],
)
def test_a_round_stays_where_its_view_is(made, search) -> None:
    here = view(**made)
    names = NAMES if here.num_classes else ["kcenter", "random"]
    expected = selected(here, names, search)
    with there():
        found = selected(moved(here), names, search)
        positions = found.positions.cpu()
    assert torch.equal(positions, expected.positions)
    assert dict(found.weights) == pytest.approx(dict(expected.weights), abs=1e-5)


def test_the_device_tells_what_is_elsewhere() -> None:
    with there():
        a = torch.ones(3, 2).to(DEVICE)
        assert a.device == DEVICE and (a @ a.T).device == DEVICE and torch.equal((2 * a).cpu(), torch.full((3, 2), 2.0))
        with pytest.raises(RuntimeError, match="on the CPU"):
            a + torch.ones(3, 2)
        with pytest.raises(RuntimeError):
            a.numpy()
        with pytest.raises(RuntimeError, match="on the CPU"):
            torch.cat([a, torch.ones(1, 2)])
        with pytest.raises(RuntimeError, match="on the CPU"):
            torch.ones(5)[a[:, 0] > 2]
