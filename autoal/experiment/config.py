"""What a comparison or a study is made of, read from TOML. A key that does not exist is an error."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from autoal.errors import ConfigError, DataMissing, UnknownName, shown
from autoal.experiment.store import LONGEST_KEY, cell_key
from autoal.stopping import parse_rule

__all__ = [
    "REGIMES",
    "DatasetSpec",
    "ExperimentConfig",
    "Initial",
    "ModelSpec",
    "Parameter",
    "SelectorSpec",
    "StudyConfig",
    "parse_config",
    "read_config",
    "to_toml",
]

Config = TypeVar("Config", bound="ExperimentConfig")
Metric = Literal["accuracy", "balanced_accuracy", "log_rmse", "rmse", "mae"]


MOST_SEEDS = 100_000
"""Of a run; each is a cell of every selector in every scenario."""


class Strict(BaseModel):
    """Frozen; an unknown key is answered with the nearest one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            for key in data:
                if key not in cls.model_fields:
                    raise UnknownName("key", key, cls.model_fields)
        return data


class Open(BaseModel):
    """A name, a label for tables, and whatever options the named thing takes, kept in `options`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    label: str = ""
    """What journals and tables call it; the name where nothing is given."""
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        if isinstance(data, str):
            data = {"name": data}
        if not isinstance(data, Mapping):
            return data
        named = {"name", "label", "options"}
        extra = {key: value for key, value in data.items() if key not in named}
        known = {key: value for key, value in data.items() if key in named}
        known["options"] = {**known.get("options", {}), **extra}
        known["label"] = known.get("label") or known.get("name", "")
        return known


class ModelSpec(Open):
    """The task model, by name, with the options of its builder in `autoal.experiment.task`."""


class SelectorSpec(Open):
    """A selector, by name, with the options of its factory."""


class Initial(Strict):
    """The labels every selector starts from: a number in all, or of each class."""

    total: int | None = Field(None, ge=2)
    """One of each class first, then any; all drawn at random. What a regression starts from."""
    per_class: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _one_of_two(self) -> Initial:
        if (self.total is None) == (self.per_class is None):
            raise ValueError("give either total = N or per_class = N, and not both")
        return self


def _initial(value: Any) -> Any:
    """A number alone is a total."""
    return {"total": value} if isinstance(value, int) and not isinstance(value, bool) else value


REGIMES: dict[str, dict[str, Any]] = {
    "standard": {},
    "low": {"initial": {"per_class": 1}, "batch_per_class": 1},
    "imbalanced": {"imbalance": 20.0, "metric": "balanced_accuracy"},
    "ood": {"ood_classes": 0.4, "ood_share": 0.4},
    "redundant": {"copies": 3},
    "noisy": {"noise_share": 0.25, "noise_rate": 0.4},
    "irrelevant": {"irrelevant": 1.0},
}
"""What each regime sets; a key that is given beside `regime` wins. Regression and text follow from the data."""


class DatasetSpec(Strict):
    """One scenario: a data set, what is done to it before the split, and where its protocol differs from the run's."""

    name: str = Field(min_length=1)
    """`digits`, or a file below $AUTOAL_DATA as in `classification/segment`; see `autoal.data.load_dataset`."""
    label: str = ""
    """What journals and tables call it: the name, and the regime where there is one."""
    target: str | None = None
    """Column of labels in a table; `label`, `y`, `target` or `class` is found by itself."""
    encoder: str | None = None
    """Of texts: a model of the package sentence-transformers; TF-IDF reduced to 256 columns where none is named."""
    regime: Literal["standard", "low", "imbalanced", "ood", "redundant", "noisy", "irrelevant"] = "standard"
    subsample: int | None = Field(None, ge=10)
    """Rows kept, drawn by the seed."""
    classes: tuple[str | int, ...] | None = None
    """Classes kept, by name or by index; the others are as if they had never been there."""
    bins: int | None = Field(None, ge=2)
    """Targets of a regression cut into so many classes of equal size, numbered from low to high."""
    ood_classes: tuple[str | int, ...] | float = ()
    """Classes nobody asks for: in the pool, never in the test set; the oracle rejects them and the label is spent.
    A share of all classes is drawn by the seed, at least one of them, and two stay in any case."""
    ood_share: float | None = Field(None, gt=0, lt=1)
    """Share of the pool that is of those classes; the larger side is thinned. None leaves it as it falls."""
    imbalance: float | None = Field(None, ge=1)
    """Largest class of the training part over its smallest, sizes falling geometrically; which is which by the seed."""
    copies: int = Field(0, ge=0)
    """Near-duplicates of each point in the pool; `max_pool` counts them."""
    copy_noise: float = Field(0.05, ge=0)
    """How far copies lie from their original, in deviations of each input."""
    noise_share: float | None = Field(None, gt=0, le=1)
    """Share of the pool with unreliable labels: a point drawn by the seed and those nearest to it."""
    noise_rate: float = Field(0.4, ge=0, le=1)
    """Chance that a label in that region is another class. First labels and test labels are right."""
    irrelevant: float = Field(0.0, ge=0)
    """Inputs of pure noise put beside the data set's own, as a multiple of their number."""
    split: Literal["own", "random", "rebench"] = "own"
    """`own`: the data set's test rows, where it names any; `random`: drawn by the seed in any case; `rebench`: split,
    first labels, scaling and order of rows of arXiv 2306.08954, where seed k is its k-th valid one from 0."""
    batch_per_class: int | None = Field(None, ge=1)
    """Batches of that many labels for each class, in place of `batch_size`."""
    # Those below replace what the run says, for this scenario.
    model: ModelSpec | None = None
    metric: Metric | None = None
    initial: Initial | None = None
    batch_size: int | None = Field(None, ge=1)
    rounds: int | None = Field(None, ge=1)
    max_pool: int | None = Field(None, ge=1)
    max_test: int | None = Field(None, ge=1)

    @field_validator("initial", mode="before")
    @classmethod
    def _total(cls, value: Any) -> Any:
        return _initial(value)

    @field_validator("ood_classes")
    @classmethod
    def _share(cls, value: tuple[str | int, ...] | float) -> tuple[str | int, ...] | float:
        if isinstance(value, float) and not 0 < value < 1:
            raise ValueError("a share of the classes is above 0 and below 1")
        return value

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, data: Any) -> Any:
        if isinstance(data, str):
            data = {"name": data}
        if not isinstance(data, Mapping) or "name" not in data:
            return data
        regime = data.get("regime") or "standard"
        data = {**REGIMES.get(regime, {}), **data}
        if not data.get("label"):
            tail = re.sub(r"\.(npz|csv|parquet)$", "", str(data["name"]).rsplit("/", 1)[-1])
            tail += f" in {data['bins']}" if data.get("bins") else ""
            data["label"] = tail if regime == "standard" else f"{tail} {regime}"
        return data

    def overrides(self) -> dict[str, Any]:
        """What this scenario sets of the run's protocol."""
        names = ("model", "metric", "initial", "batch_size", "rounds", "max_pool", "max_test")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


class Parameter(Strict):
    """One dimension of a study: a range, a choice, or a subset of names."""

    low: float | int | None = None
    high: float | int | None = None
    log: bool = False
    step: float | int | None = None
    choices: tuple[Any, ...] | None = None
    subset: tuple[str, ...] | None = None
    at_least: int = Field(2, ge=1)
    """Smallest subset worth a trial."""

    @model_validator(mode="after")
    def _one_kind(self) -> Parameter:
        ranged = self.low is not None or self.high is not None
        kinds = ranged + (self.choices is not None) + (self.subset is not None)
        if kinds != 1:
            raise ValueError("give one of: low and high, choices, subset")
        if ranged:
            if self.low is None or self.high is None or self.low > self.high:
                raise ValueError(f"got low={self.low}, high={self.high}; wanted both, low <= high")
            ends = (self.low, self.high, 1 if self.step is None else self.step)
            if not all(math.isfinite(end) for end in ends) or ends[2] <= 0:
                raise ValueError(
                    f"got low={self.low}, high={self.high}, step={self.step}; wanted numbers, step above 0"
                )
            if self.log and (self.low <= 0 or self.step is not None):
                raise ValueError("a logarithmic range starts above 0 and has no step")
        if self.choices is not None and not self.choices:
            raise ValueError("choices is empty")
        if self.subset is not None and len(self.subset) < self.at_least:
            raise ValueError(f"subset has {len(self.subset)} names, fewer than at_least={self.at_least}")
        return self


class StudyConfig(Strict):
    """`[study]`: which selector is tuned, against which, over what."""

    trials: int = Field(30, ge=1)
    """Finished trials in all; a second call adds only those that are missing."""
    target: str = "autoal"
    """Name of the selector that is tuned; its entry in `selectors`, where there is one, gives fixed options."""
    base: str = "uniform"
    """Name of the selector it is measured against, pair by pair."""
    space: dict[str, Parameter] = Field(min_length=1)
    """Options of the target; `search.inner_lr` is key `inner_lr` of its option `search`."""
    objectives: tuple[Literal["gain", "seconds"], ...] = ("gain",)
    """`seconds`, beside `gain`: what the target adds to a round, as measured; the study then finds a front."""
    choose: Literal["knee", "gain"] = "knee"
    """With two objectives, which of the front becomes best.toml: where more gain begins to cost more, or the most."""
    pruner: Literal["auto", "median", "wilcoxon", "hyperband", "none"] = "auto"
    """What cuts trials after some of the seeds; `auto` is `median`, and `none` with two objectives."""
    startup_trials: int = Field(8, ge=1)
    """Random trials before the sampler starts to model, and before anything is pruned."""
    seed: int = Field(0, ge=0)
    storage: str | None = None
    """A database address as Optuna takes it; a journal file in the study's folder where nothing is given."""
    study_name: str = ""

    @model_validator(mode="after")
    def _objectives(self) -> StudyConfig:
        if self.objectives not in (("gain",), ("gain", "seconds")):
            raise ValueError(f'got objectives {list(self.objectives)}; wanted ["gain"] or ["gain", "seconds"]')
        if len(self.objectives) > 1 and self.pruner not in ("auto", "none"):
            raise ValueError(f"the pruner {self.pruner!r} goes by one objective; with two, leave it out")
        return self

    def pruning(self) -> str:
        """The pruner by name, never `auto`."""
        if self.pruner != "auto":
            return self.pruner
        return "median" if len(self.objectives) == 1 else "none"

    @field_validator("space", mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        return _flatten(value) if isinstance(value, Mapping) else value


def _flatten(space: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys; a table with a key of Parameter is a leaf."""
    flat: dict[str, Any] = {}
    for key, value in space.items():
        leaf = not isinstance(value, Mapping) or any(name in value for name in ("low", "high", "choices", "subset"))
        flat.update({prefix + key: value} if leaf else _flatten(value, f"{prefix}{key}."))
    return flat


class ExperimentConfig(Strict):
    """A grid of cells (scenario, selector, seed) and the protocol each follows."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$|^\.+[A-Za-z0-9_-][A-Za-z0-9._-]*$")
    datasets: tuple[DatasetSpec, ...] = Field(min_length=1)
    """The scenarios; a name alone is a data set as it is."""
    selectors: tuple[SelectorSpec, ...] = Field(min_length=1)
    """The first is the one the verdict is about."""
    model: ModelSpec = ModelSpec(name="logistic_regression", label="logistic_regression")
    seeds: tuple[int, ...] = Field((0, 1, 2, 3, 4), min_length=1)
    """A list, or how many, counted from 0."""
    initial: Initial = Initial(per_class=2)
    batch_size: int = Field(10, ge=1)
    rounds: int = Field(15, ge=1, le=1_000_000)
    """Batches bought; a curve has one point more."""
    test_share: float = Field(0.4, gt=0, lt=1)
    """Of each class, where the data set does not name its test rows."""
    max_pool: int | None = Field(None, ge=1)
    """Cap on the unlabeled pool, drawn by the seed."""
    max_test: int | None = Field(None, ge=1)
    standardize: bool = True
    """Tabular inputs: mean 0 and variance 1 over the training part, missing values set to the mean."""
    metric: Metric = "accuracy"
    """What curves show; the last three, of which less is better, are for data sets with targets."""
    reference: str = ""
    """Label of the selector differences are taken to; `random` where it takes part, else the last one."""
    holdout: Literal["test", "validation"] = "test"
    """What curves are measured on; `validation` is carved from the training part and leaves the test rows unread."""
    validation_share: float = Field(0.3, gt=0, lt=1)
    cross_validate: bool = False
    """Whether each round records the metric over five folds of the labels so far, which stopping by expected gain
    reads: five trainings more a round."""
    stopping: tuple[str, ...] = ()
    """Rules that the report judges beside the named ones, as "stable_predictions(threshold=0.98) & budget(labels=100)";
    see `autoal.stopping`."""
    device: str = "auto"
    workers: int = Field(1, ge=1)
    """Processes that share the cells; results do not depend on it."""
    cell_time_limit: float | None = Field(None, gt=0)
    """Seconds a cell may take before it counts as failed: within a round where cells run in processes of their own,
    between rounds otherwise. A later call gives it as long again."""
    study: StudyConfig | None = None

    @field_validator("datasets", "selectors", "stopping", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | Mapping) else value

    @field_validator("stopping")
    @classmethod
    def _rules(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(parse_rule(rule)) for rule in value)

    @field_validator("seeds", mode="before")
    @classmethod
    def _counted(cls, value: Any) -> Any:
        if not isinstance(value, int) or isinstance(value, bool):
            return value
        if value > MOST_SEEDS:
            raise ValueError(f"at most {MOST_SEEDS:,} seeds in a run")
        return tuple(range(value))

    @field_validator("initial", mode="before")
    @classmethod
    def _total(cls, value: Any) -> Any:
        return _initial(value)

    @model_validator(mode="after")
    def _distinct(self) -> ExperimentConfig:
        columns: dict[str, list[Any]] = {
            "data sets": [spec.label for spec in self.datasets],
            "selectors": [spec.label for spec in self.selectors],
            "seeds": list(self.seeds),
        }
        for what, values in columns.items():
            twice = [value for value, count in Counter(values).items() if count > 1]
            if twice:
                raise ValueError(f"{what} {twice} occur twice; give each a `label` of its own")
        longest = cell_key(*(max(values, key=lambda value: len(cell_key(value))) for values in columns.values()))
        if len(longest) > LONGEST_KEY:
            raise ValueError(
                f"a cell's file would be named {shown(longest)}; wanted {LONGEST_KEY} characters or fewer, of which "
                "each that is no letter, digit or one of `_.+~` may take twelve: give a shorter `label`"
            )
        if self.reference and self.reference not in columns["selectors"]:
            raise UnknownName("reference selector", self.reference, columns["selectors"])
        return self

    @property
    def focus(self) -> str:
        """Label of the selector the verdict is about: the first that is not the one it is compared with."""
        labels = [spec.label for spec in self.selectors]
        return next((label for label in labels if label != self.compared_with()), labels[0])

    def compared_with(self) -> str:
        """Label of the selector differences are taken to."""
        labels = [spec.label for spec in self.selectors]
        return self.reference or ("random" if "random" in labels else labels[-1])

    def of(self, spec: DatasetSpec) -> ExperimentConfig:
        """The protocol of one scenario: this one, with what the scenario sets itself."""
        return self.model_copy(update=spec.overrides())

    def identity(self) -> dict[str, Any]:
        """All that results may depend on, as JSON: not processes, a time limit, or what a study would try."""
        data: dict[str, Any] = json.loads(
            self.model_dump_json(exclude={"workers", "cell_time_limit", "study", "reference", "stopping"})
        )
        if not self.cross_validate:  # runs that were begun before there was such a thing go on
            del data["cross_validate"]
        return data

    def shared(self) -> dict[str, Any]:
        """The part of `identity` that all cells have in common."""
        parts = {"datasets", "selectors", "seeds", "name"}
        aside = {"workers", "cell_time_limit", "study", "reference", "stopping"}
        if not self.cross_validate:
            aside.add("cross_validate")
        return self.model_dump(mode="json", exclude=parts | aside)

    def changed(self, **values: Any) -> ExperimentConfig:
        """A checked copy with some values replaced."""
        return parse_config({**self.model_dump(), **values})


def parse_config(data: Mapping[str, Any], where: str = "config") -> ExperimentConfig:
    """`data` as a config. Raises ConfigError that names the key, what it got and what it wanted."""
    try:
        return ExperimentConfig.model_validate(dict(data))
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = ".".join(str(part) for part in problem["loc"]) or "top level"
            message = problem["msg"].removeprefix("Value error, ")
            got = problem["input"]
            shown = "" if isinstance(got, Mapping | BaseModel) else f" (got {got!r})"
            lines.append(f"{where}: {key}: {message}{shown}")
        raise ConfigError("\n".join(lines)) from error


def read_config(path: str | Path) -> ExperimentConfig:
    """The config in a TOML file. Raises DataMissing where there is no such file, ConfigError where it is wrong."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError) as error:
        what = "that is a folder" if path.is_dir() else "there is no such file"
        raise DataMissing(f"got config {str(path)!r}, but {what}; wanted a TOML file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text ({error}); save it as UTF-8, as TOML is") from error
    except OSError as error:
        raise DataMissing(f"{path} cannot be read ({error.strerror}); wanted a TOML file") from error
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also an integer of thousands of digits
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    data.setdefault("name", path.stem)
    return parse_config(data, where=str(path))


def to_toml(config: ExperimentConfig) -> str:
    """A config as TOML that `read_config` takes, without the keys that have their default value."""
    data = json.loads(config.model_dump_json(exclude_defaults=True, exclude_none=True))
    data["selectors"] = [_compact(spec) for spec in config.selectors]
    data["datasets"] = [_short_dataset(spec) for spec in config.datasets]
    if "model" in data:
        data["model"] = _compact(config.model)
    return "".join(f"{key} = {_toml_value(value)}\n" for key, value in data.items())


def _short_dataset(spec: DatasetSpec) -> Any:
    options = json.loads(spec.model_dump_json(exclude_defaults=True, exclude_none=True))
    plain = DatasetSpec.model_validate({"name": spec.name, "regime": spec.regime})
    known = json.loads(plain.model_dump_json(exclude_defaults=True, exclude_none=True))
    options = {key: value for key, value in options.items() if key in ("name", "regime") or known.get(key) != value}
    if spec.model is not None:
        options["model"] = _compact(spec.model)
    return options if len(options) > 1 else spec.name


def _compact(spec: Open) -> Any:
    """A spec as a user would write it."""
    options = json.loads(json.dumps(spec.options, default=str))
    label = {} if spec.label == spec.name else {"label": spec.label}
    return {"name": spec.name, **label, **options} if options or label else spec.name


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


def _toml_value(value: Any, depth: int = 0) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_toml_key(key)} = {_toml_value(v, 1)}" for key, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        items = [_toml_value(v, 1) for v in value]
        if depth == 0 and any(isinstance(v, Mapping) for v in value):
            return "[\n" + "".join(f"    {item},\n" for item in items) + "]"
        return "[" + ", ".join(items) + "]"
    return json.dumps(value)
