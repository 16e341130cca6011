"""Selectors by name, without importing those who provide them.

A package offers selectors through the entry-point group `autoal.selectors`: a table name -> factory, where a
factory takes the options of the config and gives a Selector. The tables of all installed packages are merged.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from autoal.errors import ConfigError, RunError, UnknownName
from autoal.experiment.config import SelectorSpec
from autoal.selectors.base import Selector

__all__ = ["Factory", "build_selector", "make_selector", "selector_table"]

Factory = Callable[..., Selector]
GROUP = "autoal.selectors"
INSTALLED, CHECKOUT = "autoal._baselines", "baselines"
"""The rivals that come with autoal: in a wheel a package inside it, in a checkout the folder beside it."""


@functools.cache
def selector_table() -> Mapping[str, Factory]:
    """Every selector that is installed. Raises RunError where two packages offer one name."""
    ours = _bundled()
    merged: dict[str, Factory] = dict(ours)
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.value):
        table = point.load()
        if table is ours:  # a checkout that was installed when it still offered them by an entry point
            continue
        twice = sorted(merged.keys() & table.keys())
        if twice:
            raise RunError(
                f"entry point {point.value} of {GROUP} offers {twice}, which autoal or another package offers too"
            )
        merged.update(table)
    return merged


def _bundled() -> Mapping[str, Factory]:
    if importlib.util.find_spec(INSTALLED) is not None:
        found: Mapping[str, Factory] = importlib.import_module(INSTALLED).SELECTORS
        return found
    root = Path(__file__).parents[2]
    module = importlib.import_module(CHECKOUT)
    if Path(str(module.__file__)).parents[1] != root:
        raise RunError(
            f"a package {CHECKOUT!r} at {module.__file__} hides the rivals of this checkout, {root / CHECKOUT}; "
            "rename it, or run from another folder"
        )
    table: Mapping[str, Factory] = module.SELECTORS
    return table


def make_selector(spec: SelectorSpec) -> Selector:
    """The selector `spec` names, from any installed package. See build_selector for what it raises."""
    return build_selector(selector_table(), spec)


def build_selector(table: Mapping[str, Factory], spec: SelectorSpec) -> Selector:
    """table[spec.name](**spec.options).

    Raises UnknownName for a name that is not in the table, ConfigError for an option the factory does not take.
    """
    if spec.name not in table:
        raise UnknownName("selector", spec.name, table)
    factory = table[spec.name]
    parameters = inspect.signature(factory).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for option in spec.options:
            if option not in parameters:
                known = ", ".join(parameters) or "none"
                raise ConfigError(f"selector {spec.label!r}: {UnknownName('option', option, parameters or [known])}")
    options: dict[str, Any] = spec.options
    return factory(**options)
