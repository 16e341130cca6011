"""Configs: what is read, and what is said of what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_selectors import tiny

from autoal.errors import ConfigError, DataMissing
from autoal.experiment.config import parse_config, read_config, to_toml

GOOD = {"name": "x", "datasets": ["iris"], "selectors": ["random"]}


def test_names_and_tables_are_both_taken() -> None:
    config = parse_config(
        {
            **GOOD,
            "datasets": [{"name": "classification/segment", "subsample": 100}, "iris"],
            "selectors": [{"name": "autoal", "label": "mine", "candidates": ["margin"], "search": {"episodes": 3}}],
            "model": {"name": "mlp", "hidden": [8]},
            "seeds": [3, 1],
            "initial": 20,
        }
    )
    assert [d.label for d in config.datasets] == ["segment", "iris"]
    assert config.selectors[0].options == {"candidates": ["margin"], "search": {"episodes": 3}}
    assert config.model.options == {"hidden": [8]}
    assert config.seeds == (3, 1)
    assert config.initial.total == 20
    assert config.focus == "mine"


def test_the_verdict_is_never_about_what_it_is_compared_with() -> None:
    assert parse_config({**GOOD, "selectors": ["random", "margin", "entropy"]}).focus == "margin"
    assert parse_config({**GOOD, "selectors": ["margin", "entropy"], "reference": "margin"}).focus == "entropy"
    assert parse_config({**GOOD, "selectors": ["random"]}).focus == "random"


def test_a_count_of_seeds_starts_at_zero() -> None:
    assert parse_config({**GOOD, "seeds": 3}).seeds == (0, 1, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bach_size": 3}, "unknown key 'bach_size'; did you mean 'batch_size'"),
        ({"datasets": [{"name": "iris", "subsampel": 20}]}, "datasets.0: unknown key 'subsampel'; did you mean"),
        ({"batch_size": 0}, r"batch_size: .* \(got 0\)"),
        ({"metric": "acuracy"}, "metric: .*accuracy"),
        ({"datasets": []}, "datasets"),
        ({"datasets": ["iris", "iris"]}, "occur twice"),
        ({"seeds": [1, 1]}, "occur twice"),
        ({"initial": {"per_class": 1, "total": 5}}, "initial: give either"),
        ({"reference": "rondom"}, "did you mean 'random'"),
        ({"study": {"space": {"a": {"low": 2, "high": 1}}}}, "study.space.a: got low=2, high=1"),
        ({"study": {"space": {"a": {"low": 0, "high": 1, "log": True}}}}, "logarithmic"),
        ({"study": {"space": {"a": {"low": 1, "high": 2, "choices": [1]}}}}, "give one of"),
        ({"study": {"space": {}}}, "study.space"),
    ],
)
def test_a_wrong_value_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config({**GOOD, **changes})


def test_a_file_that_is_missing_or_not_toml(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="no such file"):
        read_config(tmp_path / "no.toml")
    (tmp_path / "bad.toml").write_text("seeds = = 3\n")
    with pytest.raises(ConfigError, match="line 1"):
        read_config(tmp_path / "bad.toml")


def test_the_name_of_the_file_is_the_name_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "leaves.toml").write_text('datasets = ["iris"]\nselectors = ["random"]\n')
    assert read_config(tmp_path / "leaves.toml").name == "leaves"


def test_nested_tables_of_a_space_become_dotted_names() -> None:
    study = {"space": {"search": {"paper": {"epochs": {"low": 3, "high": 9}}}, "candidates": {"subset": ["a", "b"]}}}
    config = parse_config({**GOOD, "study": study})
    assert config.study is not None
    assert list(config.study.space) == ["search.paper.epochs", "candidates"]


def test_a_config_written_as_toml_reads_back_equal(tmp_path: Path) -> None:
    config = tiny(
        datasets=[{"name": "iris", "classes": ["setosa", 1]}, "wine"],
        selectors=[{"name": "autoal", "label": "a b", "search": {"outer_lr": 0.125, "learn": True}}, "random"],
        model={"name": "mlp", "hidden": [8, 4]},
    )
    path = tmp_path / "c.toml"
    path.write_text(to_toml(config))
    assert read_config(path) == config


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "configs").glob("*.toml")), ids=lambda p: p.stem)
def test_every_config_of_the_repository_is_valid(path: Path) -> None:
    from autoal.study.space import example, merged
    from baselines import make_selector

    config = read_config(path)
    for spec in config.selectors:
        make_selector(spec)
    if config.study is not None:
        target = config.selectors[0]
        make_selector(target.model_copy(update={"options": merged(target.options, example(config.study.space))}))
