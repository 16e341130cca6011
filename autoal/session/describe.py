"""What a model was, in words: enough to notice, and say, that a session goes on with another one."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
import warnings
from pathlib import Path
from typing import Any

from autoal.disk import differences
from autoal.errors import AutoALWarning
from autoal.lazy import is_a

__all__ = ["describe_encoder", "describe_model", "warn_of_changes"]

LONGEST = 400
"""Characters of a description that are kept; the digest is of all of them."""


def describe_model(model: Any) -> dict[str, str] | None:
    """Name, parameters and a digest of a model; None for the built-in one, which needs none.

    Of a module the digest covers its weights too: every training starts from them, so a module that was made anew with
    other random weights asks for other points.
    """
    if model is None:
        return None
    text = _words(model)
    digest = hashlib.sha256(text.encode())
    if is_a(model, "torch.nn", "Module"):
        for name, tensor in sorted(model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().numpy().tobytes())
    short = text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
    return {"what": short, "digest": digest.hexdigest()[:16]}


def describe_encoder(encoder: Any) -> str:
    """The encoder in words that are the same in every process."""
    text = _words(encoder)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _words(value: Any) -> str:
    """A text that is the same in every process: no addresses, and parameters in the order of their names."""
    if isinstance(value, functools.partial):
        inside = [_words(value.func), *map(_words, value.args), *_pairs(value.keywords)]
        return f"partial({', '.join(inside)})"
    if is_a(value, "torch.nn", "Module"):
        return " ".join(repr(value).split())
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "get_params"):
        return f"{type(value).__qualname__}({', '.join(_pairs(value.get_params(deep=False)))})"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_words, value))}]"
    if not hasattr(value, "fit"):  # an option; what is left below is a ModelAdapter, with its options
        return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
    public = {name: part for name, part in vars(value).items() if not name.startswith("_")}
    plain = {name: part for name, part in public.items() if name == "estimator" or _is_plain(part)}
    return f"{type(value).__qualname__}({', '.join(_pairs(plain))})"


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float) or dataclasses.is_dataclass(value)


def _pairs(parameters: dict[str, Any]) -> list[str]:
    return [f"{name}={_words(value)}" for name, value in sorted(parameters.items())]


def warn_of_changes(folder: Path, then: dict[str, Any], model: dict[str, str] | None, versions: dict[str, str]) -> None:
    """Says where the model or the versions are not those of `then`, the latest batch or the manifest; no model at all
    is no other model."""
    was = then["model"]
    if model is not None and model != was:
        what = "the built-in one" if was is None else was["what"]
        same = " with other weights" if what == model["what"] else ""
        warnings.warn(
            f"the model of {folder} was {what}, and is now {model['what']}{same}; batches from now on are those of the "
            "new one",
            AutoALWarning,
            stacklevel=3,
        )
    moved = differences(then["versions"], versions, "versions")
    if moved:
        warnings.warn(
            f"{folder} was asked last with other versions ({'; '.join(moved)}); its batches may differ from what they "
            "would have been",
            AutoALWarning,
            stacklevel=3,
        )
