"""How pages are made of templates: whole in themselves, everything escaped."""

from __future__ import annotations

import base64
from pathlib import Path

import jinja2

__all__ = ["inlined", "template"]


def template(path: Path) -> jinja2.Template:
    """A template, which may use the parts and the style that lie beside this file."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([path.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(path.name)


def inlined(path: Path, alt: str) -> dict[str, str]:
    """A PNG file as `picture` takes it."""
    data = base64.b64encode(path.read_bytes()).decode()
    return {"src": f"data:image/png;base64,{data}", "alt": alt, "file": path.name}
