"""From a search space, as a config writes it, to the options of one trial."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from optuna.trial import Trial

from autoal.experiment.config import Parameter

__all__ = ["example", "merged", "suggest"]


def suggest(trial: Trial, space: Mapping[str, Parameter]) -> dict[str, Any]:
    """Options, nested as their dotted names say, for one trial."""
    return _nested({name: _value(trial, name, parameter) for name, parameter in space.items()})


def example(space: Mapping[str, Parameter]) -> dict[str, Any]:
    """One setting of the space, to see whether the selector takes it."""

    def value(parameter: Parameter) -> Any:
        if parameter.choices is not None:
            return parameter.choices[0]
        return list(parameter.subset) if parameter.subset is not None else parameter.low

    return _nested({name: value(parameter) for name, parameter in space.items()})


def merged(fixed: Mapping[str, Any], tried: Mapping[str, Any]) -> dict[str, Any]:
    """Fixed options of the config, with those of the trial over them, table by table."""
    result = dict(fixed)
    for key, value in tried.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"search.inner_lr": 1} as {"search": {"inner_lr": 1}}."""
    options: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        inner = options
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return options


def _value(trial: Trial, name: str, parameter: Parameter) -> Any:
    if parameter.choices is not None:
        # Optuna's storages keep categories that are plain values; lists and tables go by their JSON text.
        plain = all(isinstance(choice, str | int | float | bool | None) for choice in parameter.choices)
        if plain:
            return trial.suggest_categorical(name, list(parameter.choices))
        texts = {json.dumps(choice): choice for choice in parameter.choices}
        return texts[trial.suggest_categorical(name, list(texts))]
    if parameter.subset is not None:
        chosen = [m for m in parameter.subset if trial.suggest_categorical(f"{name}:{m}", [True, False])]
        # Too small a subset is filled up in the order given, rather than wasting the trial.
        for member in parameter.subset:
            if len(chosen) >= parameter.at_least:
                break
            if member not in chosen:
                chosen.append(member)
        return [member for member in parameter.subset if member in chosen]
    low, high = parameter.low, parameter.high
    assert low is not None and high is not None
    if isinstance(low, int) and isinstance(high, int) and not isinstance(parameter.step, float):
        return trial.suggest_int(name, low, high, step=int(parameter.step or 1), log=parameter.log)
    return trial.suggest_float(name, float(low), float(high), step=parameter.step, log=parameter.log)
