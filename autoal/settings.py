"""The outer hyper-parameters of the search: what `autoal study` tunes and a user may set."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autoal.errors import ConfigError, InvalidInput, UnknownName, shown

__all__ = ["Mode", "PaperConfig", "SearchConfig", "Task", "integer", "saved_config", "search_config"]

Mode = Literal["bilevel", "paper", "uniform"]
"""Ours; the paper's as printed; or no search at all, a floor."""
Task = Literal["auto", "classification", "regression"]
MOST = 2**64
"""No integer that is asked for is larger; those of thousands of digits cannot even be written."""


class PaperConfig(BaseModel):
    """`mode="paper"`: Wang, Zhan and Huang 2025, arXiv 2410.13853. Values the paper does not state are ours."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    relaxation: Literal["figure", "eq6"] = "figure"
    """`figure`: sigmoid of the aggregate minus the threshold (figure 1); `eq6`: equations 5 and 6 to the letter."""
    weights: Literal["softmax", "logits"] = "softmax"
    """Whether SearchNet's outputs are normalised over candidates."""
    network: Literal["auto", "resnet18", "small"] = "auto"
    """Of FitNet and of SearchNet's trunk: `auto` is the paper's ResNet-18 for images, an MLP for anything else;
    `small` is a small CNN for images."""
    warmup_epochs: int = Field(30, ge=0)
    """Epochs of FitNet alone (the paper: 200, on a GPU)."""
    epochs: int = Field(60, ge=3)
    """Epochs shared by FitNet, SearchNet and loss prediction in turn (the paper: 400)."""
    learning_rate: float = Field(0.005, gt=0)
    """For all three (paper section 4.1)."""
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    sharpness: float = Field(10.0, gt=0)
    """lambda of equation 6 on standardised scores; the released code's 1e11 has no gradient."""
    penalty: float = Field(1.0, ge=0)
    """lambda-bar of equations 7 and 8."""
    components: int = Field(5, ge=1)
    """Components of the Gaussian mixture over scores."""
    draws: int = Field(10_000, ge=100)
    """Draws from the mixture that give the threshold."""
    loss_prediction: bool = True
    """The loss-prediction module of Yoo and Kweon 2019, which also trains SearchNet's trunk."""
    pair_margin: float = Field(1.0, gt=0)
    fitnet_warmup: Literal["other", "same"] = "other"
    """Which half warms FitNet up: the one that plays the labeled set (figure 1), or the queried one (section 4.1)."""


class SearchConfig(BaseModel):
    """`mode="bilevel"`. The defaults need no change for a first use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: Literal["higher", "func", "implicit"] = "higher"
    """How the gradient of the upper loss is taken: unrolled by `higher`, unrolled by `torch.func`, or implicit."""
    episodes: int = Field(8, ge=2)
    """Splits of the labeled set in one round. One half of the labels validates in one half of them, the other half
    in the others: what is learned on either side is judged on the other."""
    relearn: float = Field(4.0, ge=1)
    """While the gate is closed the search is made again only once there are so many times the labels of the last one;
    one and a half times, if the evidence so far is for a gain by 1.3 standard errors or more. 1: in every round."""
    outer_steps: int = Field(8, ge=0)
    """Steps of SearchNet."""
    outer_lr: float = Field(0.3, gt=0)
    """Adam's step for SearchNet's few global parameters."""
    inner_steps: int = Field(3, ge=1)
    """Differentiable steps of FitNet for each step of SearchNet."""
    head_l2: float = Field(1.0, ge=1e-6, le=1e9)
    """Ridge of FitNet's head on the summed loss; 1 is scikit-learn's `LogisticRegression(C=1)`."""
    head_dim: int = Field(64, ge=2)
    """Embeddings wider than this are rotated (PCA) and cut for FitNet."""
    max_pool: int = Field(256, ge=16)
    """Cap of an episode's pseudo-pool; support and validation are capped at 3x and 2x this."""
    temperature: float = Field(1.0, gt=0)
    """Of the relaxed selection at the first step, in standard deviations of the scores; 0.2 at the last."""
    anchor_exponent: float | None = Field(None, ge=0)
    """Power of the uncertainty in the value of a point, before anything is learned; None: by the number of
    labels, and by how far predictions can be trusted."""
    strength: float = Field(3.0, gt=0)
    """How far the weights over candidates can move the logarithm of a point's value."""
    shrinkage: float = Field(0.1, ge=0)
    """Pull to the anchor, divided by the effective number of labels."""
    proposals: Literal["auto", "union", "pool"] = "auto"
    """Whether the batch is composed from the union of the proposals, or from the whole pool; "auto" by the number of
    labels. From the whole pool, candidates are asked once the gate is open."""
    open_set: bool = True
    """Whether the value of a point is multiplied by the probability that it is of a known class, once the oracle has
    rejected points."""
    value_heads: int = Field(5, ge=0)
    """Cross-fitted heads whose probabilities are averaged with the model's own in the uncertainty; 0: none."""
    gate_level: float = Field(0.025, gt=0, le=1)
    """One-sided level at which the evidence must reject `no gain`; 1 leaves the gate open."""
    gate_labels_per_class: int = Field(5, ge=2)
    """With fewer labels than this per class nothing is learned: the anchor is used."""
    audit: float = Field(0.0, ge=0, le=0.5)
    """Share of the points asked for that is drawn at random, in every mode. They come last in a batch, and are what the
    fair value of the model and the gain over random are measured on. Once there are `gate_labels_per_class` of them for
    each class, they and the first labels alone validate in the episodes: nobody chose them. 0: none."""
    paper: PaperConfig = PaperConfig()


REMOVED: dict[str, Any] = {
    "audit_judges": True,
    "bandwidth": "spacing",
    "carry": 0.8,
    "composition": "coverage",
    "evidence": "ranks",
    "final_temperature": 0.2,
    "importance": True,
    "inner_lr": 1.0,
    "learn_geometry": True,
    "max_overlap": 0.9,
    "network_from": 500,
    "pool_share": 0.35,
    "prior": "none",
    "proposal_factor": 2.0,
    "refresh": 2,
    "space": "predictions",
    "support_share": 0.4,
    "upper": "log_loss",
}
"""Settings of version 0.1.0 that gained nothing (baselines/results/ablation.md) or that nobody had a reason to set, and
the value that holds now."""
REMOVED_ENGINE = "gains"


def search_config(value: SearchConfig | Mapping[str, Any] | None) -> SearchConfig:
    """`value` as a SearchConfig. Raises UnknownName for a key that does not exist, ConfigError for a wrong value and
    for a setting that there was in version 0.1.0."""
    if value is None:
        return SearchConfig()
    if isinstance(value, SearchConfig):
        return value
    if not isinstance(value, Mapping):
        raise ConfigError(f"got search={shown(value)}; wanted a SearchConfig or a mapping of its fields")
    for key, given in value.items():
        if key in REMOVED:
            raise ConfigError(
                f"got search setting {key}={shown(given)}, which was removed: it is now always {REMOVED[key]!r}; "
                "leave it out"
            )
        if key == "engine" and given == REMOVED_ENGINE:
            raise ConfigError(
                f"got search setting engine={given!r}, which was removed; wanted 'higher', 'func' or 'implicit'"
            )
        if key not in SearchConfig.model_fields:
            raise UnknownName("search setting", key, SearchConfig.model_fields)
    try:
        return SearchConfig.model_validate(dict(value))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"search setting {where}: got {shown(first['input'])}; {first['msg']}") from error


def saved_config(value: Mapping[str, Any]) -> SearchConfig:
    """The SearchConfig of a file, which version 0.1.0 may have written with all of its settings: those that were
    removed are left out where they are what holds now.

    Raises ConfigError for one that is anything else, and as `search_config` does.
    """
    same = {key for key in REMOVED.keys() & value.keys() if value[key] == REMOVED[key]}
    try:
        return search_config({key: given for key, given in value.items() if key not in same})
    except ConfigError as error:
        raise ConfigError(
            f"{error}. It was saved by another version: use that one, or begin anew without the setting, with the "
            "labels there are (of a session: `training_set()`)"
        ) from error


def integer(value: Any, what: str) -> int:
    """`value` as an int. Raises InvalidInput for anything that is none, truth values too, and beyond 64 bits."""
    # A timedelta64 is an integer, as numpy has it.
    if isinstance(value, bool | np.timedelta64) or not isinstance(value, numbers.Integral):
        raise InvalidInput(f"got {what}={shown(value)}; wanted an integer")
    if not -MOST < int(value) < MOST:
        raise InvalidInput(f"got {what}={shown(value, 40)}; wanted an integer of 64 bits or fewer")
    return int(value)
