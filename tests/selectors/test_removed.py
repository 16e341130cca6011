"""Settings and numbers that version 0.1.0 had: read where they mean what holds now, refused by name elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression

from autoal import AutoAL, Session
from autoal.errors import ConfigError, InvalidInput
from autoal.settings import REMOVED, SearchConfig, search_config
from tests.selectors.problems import QUICK, auto, blobs

X, Y, TRUTH = blobs()


@pytest.mark.parametrize("name", REMOVED)
def test_a_removed_setting_is_refused_by_name_with_what_holds_now(name: str) -> None:
    assert name not in SearchConfig.model_fields
    with pytest.raises(ConfigError, match=rf"search setting {name}=.*removed.*always {REMOVED[name]!r}; leave it out"):
        auto(search={**QUICK, name: REMOVED[name]}).fit_query(X, Y, batch_size=5)


def test_the_removed_engine_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"engine='gains', which was removed.*wanted 'higher', 'func' or 'implicit'"):
        search_config({"engine": "gains"})
    with pytest.raises(ConfigError, match="engine"):
        search_config({"engine": []})


def aged(folder: Path, search: dict[str, Any] | None = None, context: float = 0.0, carry: float = 0.8) -> Path:
    """A folder of `AutoAL.save` as version 0.1.0 would have left it."""
    path = folder / "selector.json"
    content = json.loads(path.read_text())
    content["search"] = {**content["search"], **REMOVED, **(search or {})}
    for memory in (content["state"].get(key) for key in ("memory", "memory_before")):
        if memory is not None:
            memory["carry"] = carry
            if memory["shared"]:
                memory["shared"]["context_weights"] = [0.0] * 53 + [context]
    path.write_text(json.dumps(content))
    tensors = folder / "search_net.safetensors"
    if tensors.is_file():
        weights = torch.zeros(6, 9)
        weights[-1, -1] = context
        save_file({**load_file(tensors), "context_weights": weights}, tensors)
    return folder


@pytest.fixture
def searched(tmp_path: Path) -> tuple[AutoAL, Path]:
    """A selector after a round with a search, and where it is saved."""
    selector = auto(search={**QUICK, "gate_level": 1.0})
    selector.fit_query(X, Y, batch_size=5)
    assert selector.history_[0]["gate"]["open"]
    selector.save(tmp_path)
    return selector, tmp_path


def test_what_version_0_1_0_saved_goes_on_where_it_means_the_same(searched: tuple[AutoAL, Path]) -> None:
    selector, folder = searched
    loaded = AutoAL.load(aged(folder), model=LogisticRegression())
    assert loaded.search == search_config(selector.search)
    more = Y.copy()
    more[:40] = TRUTH[:40]
    assert loaded.fit_query(X, more, batch_size=5) == selector.fit_query(X, more, batch_size=5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"search": {"composition": "dpp"}}, "composition='dpp', which was removed.*saved by another version"),
        ({"search": {"engine": "gains"}}, "engine='gains'.*saved by another version"),
        ({"context": 0.5}, "'context_weights' among the saved numbers.*begin with a new selector"),
        ({"carry": 0.5}, "carry=0.5.*begin with a new selector"),
    ],
)
def test_what_would_mean_something_else_now_is_refused(
    searched: tuple[AutoAL, Path], change: dict[str, Any], says: str
) -> None:
    with pytest.raises((ConfigError, InvalidInput), match=says):
        AutoAL.load(aged(searched[1], **change), model=LogisticRegression())


def test_a_session_with_a_removed_setting_still_gives_its_labels(tmp_path: Path) -> None:
    session = Session.create(
        tmp_path / "old", X, y=Y, model=LogisticRegression(), candidates="fast", search=QUICK, random_state=0
    )
    for kept in (session.folder / "checkpoints").iterdir():
        aged(kept, {"space": "centred"})
    again = Session.open(session.folder, model=LogisticRegression())
    with pytest.raises(ConfigError, match=r"space='centred', which was removed.*training_set\(\)"):
        again.ask(5)
    rows, labels = again.training_set()
    assert len(rows) == len(labels) == int((Y >= 0).sum())
