"""A selector on disk: `selector.json` and, once it has searched, `search_net.safetensors`. Never a pickle."""

from __future__ import annotations

import json
import numbers
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors

from autoal.disk import loads, write_atomic
from autoal.errors import AutoALError, DataMissing, InvalidInput
from autoal.search.numbers import fresh_net, known_numbers
from autoal.settings import saved_config, search_config
from autoal.strategies import CANDIDATES, resolve_candidates

__all__ = ["load_selector", "save_selector"]

FORMAT = 1
PLAIN = ("task", "mode", "time_limit", "strict")
"""Constructor arguments that JSON holds as they are."""


def save_selector(selector: Any, folder: str | os.PathLike[str], entries: int | None = None) -> None:
    """Each file is written under another name first, so that it is whole or absent. With `entries`, only so many of its
    history, from the first on: whoever keeps the others gives them to `follow` once it is loaded."""
    seed = selector.random_state
    if seed is not None and not isinstance(seed, numbers.Integral):
        raise InvalidInput(f"got random_state of type {type(seed).__name__}; wanted an integer or None, to be saved")
    content = {
        "format": FORMAT,
        "parameters": {name: getattr(selector, name) for name in PLAIN},
        "random_state": None if seed is None else int(seed),
        "device": str(selector.device),
        "search": None if selector.search is None else search_config(selector.search).model_dump(),
        "candidates": [_describe(name, strategy) for name, strategy in resolve_candidates(selector.candidates)],
        # By name where the task decides what it holds; the list above is of a classification.
        "portfolio": selector.candidates if isinstance(selector.candidates, str) else None,
        "state": selector.state_dict(entries),
        "weights": getattr(selector, "weights_", None),
    }
    try:
        text = json.dumps(content, indent=1)
    except TypeError as error:
        raise InvalidInput(f"a parameter cannot be written as JSON ({error}); use plain numbers and strings") from error
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidInput(f"{folder} is, or lies under, a file; wanted the name of a folder") from error
    older = (folder / "selector.json").exists()
    write_atomic(folder / "selector.json", text.encode())
    net = getattr(selector, "search_net_", None)
    if net is None:
        if older:  # then these are its weights; somebody else's file of that name stays
            (folder / "search_net.safetensors").unlink(missing_ok=True)
    else:
        tensors = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
        write_atomic(folder / "search_net.safetensors", to_safetensors(tensors))


def load_selector(cls: Any, folder: str | os.PathLike[str], model: Any) -> Any:
    """The other direction."""
    path = Path(folder) / "selector.json"
    if not path.is_file():
        raise DataMissing(f"there is no selector.json in {folder}; wanted a folder written by AutoAL.save")
    try:
        content = loads(path.read_bytes())
        if content["format"] != FORMAT:
            raise InvalidInput(f"{path} has format {content['format']}; this version reads {FORMAT}")
        candidates: Any = [(row["name"], CANDIDATES[row["type"]](**row["parameters"])) for row in content["candidates"]]
        if content.get("portfolio") in ("default", "fast") and content["parameters"]["task"] != "classification":
            candidates = content["portfolio"]
        selector = cls(
            candidates,
            model=model,
            search=None if content["search"] is None else saved_config(content["search"]),
            device=content["device"],
            random_state=content["random_state"],
            **content["parameters"],
        )
        selector.load_state_dict(content["state"])
        if content["weights"] is not None:
            selector.weights_ = content["weights"]
        tensors = Path(folder) / "search_net.safetensors"
        # The paper's nets take their shape from the data: they are trained anew in the next round, as in every round.
        if selector.mode == "bilevel" and tensors.is_file():
            weights = from_safetensors(tensors.read_bytes())
            selector.search_net_ = fresh_net(len(weights["logits"]), search_config(selector.search))
            selector.search_net_.load_state_dict(known_numbers(weights))
    except AutoALError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError, OSError) as error:
        raise InvalidInput(f"{path} is not a saved selector ({error!r}); write it again with AutoAL.save") from error
    return selector


def _describe(name: str, strategy: Any) -> dict[str, Any]:
    kind = next((key for key, cls in CANDIDATES.items() if type(strategy) is cls), None)
    if kind is None:
        raise InvalidInput(
            f"candidate {name!r} is a {type(strategy).__name__}, which is not in CANDIDATES; "
            "save with built-in candidates only, or keep state_dict() yourself"
        )
    return {"name": name, "type": kind, "parameters": strategy.get_params(deep=False)}
