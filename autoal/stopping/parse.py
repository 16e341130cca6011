"""Rules as text: `stable_predictions(threshold=0.98) | budget(labels=500)`."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import fields

from autoal.errors import ConfigError, UnknownName, shown
from autoal.stopping.base import Rule

__all__ = ["parse"]


def parse(text: str, rules: Mapping[str, type[Rule]]) -> Rule:
    """The rule that `text` names: names with parameters by keyword, joined by `&` (both), `|` (one of them), brackets.

    Raises UnknownName for a rule or a parameter that does not exist, ConfigError for anything else.
    """
    wanted = "wanted a rule, as in 'stable_predictions(threshold=0.98) | budget(labels=500)'"
    if not isinstance(text, str) or not text.strip():
        raise ConfigError(f"got the stopping rule {shown(text)}; {wanted}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"got the stopping rule {shown(text)}, which cannot be read; {wanted}") from error

    def read(node: ast.expr, depth: int = 0) -> Rule:
        if depth > 50:
            raise ConfigError("a stopping rule is nested more than 50 deep; wanted fewer brackets")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
            first, second = read(node.left, depth + 1), read(node.right, depth + 1)
            return first & second if isinstance(node.op, ast.BitAnd) else first | second
        call = node if isinstance(node, ast.Call) else None
        name = call.func if call is not None else node
        if not isinstance(name, ast.Name):
            raise ConfigError(f"got {shown(ast.unparse(node))} in a stopping rule; {wanted}")
        if name.id not in rules:
            raise UnknownName("stopping rule", name.id, rules)
        return _made(rules[name.id], call)

    return read(tree)


def _made(rule: type[Rule], call: ast.Call | None) -> Rule:
    if call is not None and call.args:
        raise ConfigError(
            f"stopping rule {rule.name}: got {shown(ast.unparse(call))}; wanted parameters by name, as in "
            f"{rule.name}({fields(rule)[0].name}={fields(rule)[0].default!r})"  # type: ignore[arg-type]
        )
    known = [field.name for field in fields(rule)]  # type: ignore[arg-type]
    given = {}
    for keyword in call.keywords if call is not None else []:
        if keyword.arg not in known:
            raise UnknownName(f"parameter of the stopping rule {rule.name}", keyword.arg, known)
        try:
            given[keyword.arg] = ast.literal_eval(keyword.value)
        except ValueError as error:
            got = shown(ast.unparse(keyword.value))
            raise ConfigError(f"stopping rule {rule.name}: got {keyword.arg}={got}; wanted a number") from error
    return rule(**given)
