"""Imports run one way, each layer from those before it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAYERS = [
    {"errors", "rng", "compute", "disk"},
    {"outputs"},
    {"encoders"},
    {"data"},
    {"models"},
    {"strategies"},
    {"search"},
    {"selectors"},
    {"experiment"},
    {"pretrain"},
    {"report"},
    {"session"},
    {"study"},
    {"cli"},
    {"__init__", "__main__"},
]


def level(module: str) -> int:
    """Place of `autoal.<part>...` in the order above."""
    part = [*module.split("."), "__init__"][1]
    found = [i for i, layer in enumerate(LAYERS) if part in layer]
    assert found, f"{module} has no place in LAYERS; give it one"
    return found[0]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def is_module(name: str) -> bool:
    path = ROOT / Path(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def imports(path: Path) -> Iterator[str]:
    """Every module imported anywhere in a file, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            base = node.module or ""
            for alias in node.names:
                yield f"{base}.{alias.name}" if is_module(f"{base}.{alias.name}") else base


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def importers(package: str, *folders: str) -> list[str]:
    return [name_of(p) for f in folders for p in files(f) if any(m.split(".")[0] == package for m in imports(p))]


def test_nothing_imports_upwards() -> None:
    for path in files("autoal"):
        for imported in imports(path):
            if imported.split(".")[0] == "autoal":
                assert level(imported) <= level(name_of(path)), f"{name_of(path)} imports {imported}"


def test_autoal_imports_no_baseline() -> None:
    assert importers("baselines", "autoal") == []


def test_higher_is_imported_in_one_file() -> None:
    assert len(importers("higher", "autoal", "baselines")) == 1


def test_optuna_is_imported_in_the_study_alone() -> None:
    found = importers("optuna", "autoal", "baselines")
    assert found and all(name.split(".")[:2] == ["autoal", "study"] for name in found)


def test_ray_is_imported_in_its_engine_alone() -> None:
    assert importers("ray", "autoal", "baselines") == ["autoal.experiment.ray_engine"]
