"""A small box for notebooks: a title, facts, sentences and a table, in the colours of the page around it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

__all__ = ["card"]

LONGEST = 400
"""Characters of one text; ids and class names are other people's words."""
BOX = "border:1px solid rgba(128,128,128,.4);border-radius:6px;"
BOX += "padding:.6em .9em;display:inline-block;max-width:46em;overflow-x:auto;color:inherit;background:transparent"
CELL = "padding:.1em .9em .1em 0;text-align:left;color:inherit;background:transparent;overflow-wrap:anywhere"


def card(
    title: str,
    facts: Sequence[tuple[str, Any]] = (),
    sentences: Sequence[str] = (),
    heads: Sequence[str] = (),
    rows: Sequence[Sequence[Any]] = (),
) -> str:
    """HTML without script, class names or outside files; everything that is passed is shown as text."""
    parts = [f'<div style="{BOX}"><div style="font-weight:600">{_text(title)}</div>']
    parts += [f'<div style="margin-top:.3em">{_text(sentence)}</div>' for sentence in sentences]
    if facts:
        parts.append(_table([], facts))
    if rows:
        parts.append(_table(heads, rows))
    return "".join([*parts, "</div>"])


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    top = "".join(f'<th scope="col" style="{CELL};font-weight:600">{_text(head)}</th>' for head in heads)
    lines = ["".join(f'<td style="{CELL}">{_text(value)}</td>' for value in row) for row in rows]
    body = "".join(f'<tr style="background:transparent">{line}</tr>' for line in ([top] if top else []) + lines)
    return f'<table style="border-collapse:collapse;margin-top:.4em;color:inherit">{body}</table>'


def _text(value: Any) -> str:
    text = str(value)
    cut = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    return html.escape(cut.encode("utf-8", "replace").decode("utf-8"))
