"""A manifest as a config: the same run again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_selectors import make_selector

from autoal.cli import WRONG, main
from autoal.errors import AutoALWarning, ConfigError, DataMissing, RunError
from autoal.experiment import task
from autoal.experiment.config import parse_config
from autoal.experiment.runner import config_of_manifest, run


def small_set(path: Path, moved: float = 0.0) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    np.savez(path, X=(rng.normal(size=(40, 2)) + y[:, None] + moved).astype(np.float32), y=y)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Of a finished run, with a scenario that has options and a protocol of its own."""
    small_set(tmp_path / "set.npz")
    own = {"name": str(tmp_path / "set.npz"), "label": "own", "noise_share": 0.3, "rounds": 2}
    config = parse_config(
        {
            "name": "first",
            "datasets": [own, {"name": "iris", "regime": "low"}],
            "selectors": ["uncertain", "random", {"name": "exponent", "power": 2}],
            "model": {"name": "logistic_regression", "c": 0.5},
            "reference": "random",
            "seeds": [3, 5],
            "rounds": 3,
            "batch_size": 2,
            "device": "cpu",
        }
    )
    assert not run(config, make_selector, tmp_path / "first").failures
    return tmp_path / "first" / "manifest.json"


def edited(manifest: Path, **parts: Any) -> Path:
    copy = manifest.with_name("edited.json")
    copy.write_text(json.dumps({**json.loads(manifest.read_text()), **parts}))
    return copy


def test_a_manifest_gives_the_same_journal_bit_for_bit(manifest: Path, tmp_path: Path) -> None:
    again = config_of_manifest(manifest)
    assert not run(again, make_selector, tmp_path / "again").failures
    for name in ("journal.jsonl", "manifest.json"):
        assert (tmp_path / "again" / name).read_bytes() == (manifest.parent / name).read_bytes()


def test_other_data_are_refused_by_name(manifest: Path, tmp_path: Path) -> None:
    small_set(tmp_path / "set.npz", moved=0.5)
    task.forget_data()  # as in another process
    with pytest.raises(RunError, match=r"made from other data:\n  data\.own: was"):
        config_of_manifest(manifest)


def test_other_versions_are_a_warning(manifest: Path) -> None:
    versions = {**json.loads(manifest.read_text())["versions"], "numpy": "0.1"}
    with pytest.warns(AutoALWarning, match=r"versions\.numpy: was \"0\.1\""):
        config_of_manifest(edited(manifest, versions=versions))


def test_what_is_no_manifest_is_refused(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"wanted the manifest\.json of a run"):
        config_of_manifest(tmp_path / "nothing.json")
    other = tmp_path / "other.json"
    other.write_text('{"a": 1}')
    with pytest.raises(ConfigError, match="without config and data"):
        config_of_manifest(other)
    other.write_text("{")
    with pytest.raises(ConfigError, match="not valid JSON"):
        config_of_manifest(other)
    with pytest.raises(ConfigError, match="did you mean"):
        config_of_manifest(edited(manifest, config={"datasets": ["iris"], "selectorss": ["random"]}))


def test_compare_takes_a_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text('datasets = ["iris"]\nselectors = ["margin", "random"]\nseeds = 2\nrounds = 2\ndevice = "cpu"\n')
    assert main(["compare", str(config), "--out", str(tmp_path / "one"), "--quiet"]) == 0
    assert main(["compare", str(tmp_path / "one" / "manifest.json"), "--out", str(tmp_path / "two"), "--quiet"]) == 0
    assert (tmp_path / "one" / "journal.jsonl").read_bytes() == (tmp_path / "two" / "journal.jsonl").read_bytes()
    assert main(["compare", str(tmp_path / "none.json")]) == WRONG
    assert "wanted the manifest.json of a run" in capsys.readouterr().err
