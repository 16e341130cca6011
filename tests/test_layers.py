"""Imports run one way, each layer from those before it."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAYERS = [
    {"errors", "lazy", "memory", "rng", "compute", "disk", "journal", "formulas", "cluster", "terminal"},
    {"flags", "installed"},
    {"outputs", "settings", "stopping"},
    {"encoders"},
    {"data"},
    {"tasks"},
    {"models"},
    {"strategies.base"},
    {"strategies.parts"},
    {"strategies.uncertainty", "strategies.gradient", "strategies.diversity"},
    {"strategies.open_set"},
    {"strategies"},
    {"anchor"},
    {"search"},
    {"paper"},
    {"selectors"},
    {"experiment"},
    {"report"},
    {"session"},
    {"labeling"},
    {"cryo"},
    {"study"},
    {"checkup"},
    {"cli"},
    {"__init__", "__main__"},
]


def level(module: str) -> int:
    """Place of `autoal.<part>...` in the order above, by the longest name that is there."""
    parts = module.split(".")[1:] or ["__init__"]
    for end in range(len(parts), 0, -1):
        for i, layer in enumerate(LAYERS):
            if ".".join(parts[:end]) in layer:
                return i
    raise AssertionError(f"{module} has no place in LAYERS; give it one")


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
            base = node.module or ""
            if node.level:  # of baselines, which has another name in a wheel, and of nothing else
                assert node.level == 1 and path.parent == ROOT / "baselines", f"{path}: relative import"
                base = f"baselines.{base}"
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


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Neither at the top nor inside functions, nor for types alone."""
    graph = {name_of(path): set(imports(path)) for path in files("autoal")}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_autoal_imports_no_baseline() -> None:
    assert importers("baselines", "autoal") == []


def test_baselines_import_each_other_relatively() -> None:
    """In a wheel they are `autoal._baselines`."""
    for path in files("baselines"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not [name for name in names if name.split(".")[0] == "baselines"], (
                f"{path}: `from .x import y`, please"
            )


def test_higher_is_imported_in_one_file() -> None:
    assert len(importers("higher", "autoal", "baselines")) == 1


def test_optuna_is_imported_in_the_study_alone() -> None:
    found = importers("optuna", "autoal", "baselines")
    assert found and all(name.split(".")[:2] == ["autoal", "study"] for name in found)


def test_ray_is_imported_in_its_engine_alone() -> None:
    assert importers("ray", "autoal", "baselines") == []  # it is asked for by name


def test_the_sdk_of_label_studio_is_imported_in_its_client_alone() -> None:
    assert importers("label_studio_sdk", "autoal", "baselines") == ["autoal.labeling.label_studio"]
