"""The outer hyper-parameters of the search: what `autoal study` tunes and a user may set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autoal.errors import ConfigError, UnknownName, shown

__all__ = ["PaperConfig", "SearchConfig", "search_config"]


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

    engine: Literal["higher", "func", "implicit", "gains"] = "higher"
    """How the gradient of the upper loss is taken: unrolled by `higher`, unrolled by `torch.func`, or implicit. `gains`
    takes none: candidates are weighed by what each alone gains on held-out points."""
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
    inner_lr: float = Field(1.0, gt=0, le=2.0)
    """In units of the curvature bound of the head's loss, so 1 is always stable."""
    head_l2: float = Field(1.0, ge=1e-6, le=1e9)
    """Ridge of FitNet's head on the summed loss; 1 is scikit-learn's `LogisticRegression(C=1)`."""
    head_dim: int = Field(64, ge=2)
    """Embeddings wider than this are rotated (PCA) and cut for FitNet."""
    support_share: float = Field(0.4, gt=0.1, lt=0.8)
    pool_share: float = Field(0.35, gt=0.05, lt=0.6)
    max_pool: int = Field(256, ge=16)
    """Cap of an episode's pseudo-pool; support and validation are capped at 3x and 2x this."""
    temperature: float = Field(1.0, gt=0)
    """Of the relaxed selection at the first step, in standard deviations of the scores."""
    final_temperature: float = Field(0.2, gt=0)
    refresh: int = Field(2, ge=1)
    """In how many parts the relaxed batch is chosen; coverage is brought up to date after each."""
    anchor_exponent: float | None = Field(None, ge=0)
    """Power of the uncertainty in the value of a point, before anything is learned; None: by the number of
    labels, and by how far predictions can be trusted."""
    strength: float = Field(3.0, gt=0)
    """How far the weights over candidates can move the logarithm of a point's value."""
    bandwidth: Literal["spacing", "labeled", "neighbor"] = "spacing"
    """Of the coverage kernel: a fifth of the labeled points are nearer than this to another one; smallest distance
    between two of them (uncertainty herding), which two copies make tiny; or the median distance of a pool point to its
    b-th share of neighbors."""
    learn_geometry: bool = True
    """Whether the kernel's bandwidth is learned too."""
    shrinkage: float = Field(0.1, ge=0)
    """Pull to the anchor, divided by the effective number of labels."""
    proposal_factor: float = Field(2.0, ge=1, le=1e6)
    """Each candidate proposes this many batches' worth of points."""
    proposals: Literal["auto", "union", "pool"] = "auto"
    """Whether the batch is composed from the union of the proposals, or from the whole pool; "auto" by the number of
    labels. From the whole pool, candidates are asked only in rounds that learn from them."""
    composition: Literal["coverage", "variance", "top", "dpp"] = "coverage"
    """How values become a batch: greedy coverage of the pool weighted by value; greedy reduction of the variance that a
    Gaussian process has over the pool, weighted likewise; the highest values; or the mode of a k-DPP whose quality is
    the value."""
    space: Literal["predictions", "embedding", "centred"] = "predictions"
    """In which coverage is measured. `embedding`: directions of the embeddings as they are; `centred`: from their mean;
    `predictions`: as they are, with the predicted probabilities beside them, which count as much as two halves of the
    labels agree on them (in a regression, which has none, the same as `embedding`)."""
    open_set: bool = True
    """Whether the value of a point is multiplied by the probability that it is of a known class, once the oracle has
    rejected points."""
    value_heads: int = Field(5, ge=0)
    """Cross-fitted heads whose probabilities are averaged with the model's own in the uncertainty; 0: none."""
    network_from: int = Field(500, ge=0)
    """From this many labels on, weights become a function of the point (fully so at four times as many)."""
    importance: bool = True
    """Weights the upper loss towards the pool, because labels were not bought at random."""
    upper: Literal["log_loss", "balanced", "entropy", "hardness"] = "log_loss"
    """What SearchNet is trained to lower: FitNet's loss on held-out labels; the same with each class counting as much;
    the entropy of its predictions on the pool; or minus its loss on the points selected, the paper's objective. The
    gate judges by held-out labels whatever this is."""
    evidence: Literal["ranks", "picks"] = "ranks"
    """What SearchNet sees of a candidate: how much it wants each point, or only whether it would buy it."""
    carry: float = Field(0.8, ge=0, lt=1)
    """What evidence of earlier rounds still counts, per round."""
    gate_level: float = Field(0.025, gt=0, le=1)
    """One-sided level at which the evidence must reject `no gain`; 1 leaves the gate open."""
    max_overlap: float = Field(0.9, gt=0, le=1)
    """A candidate whose batch overlaps another's by more is dropped."""
    gate_labels_per_class: int = Field(5, ge=2)
    """With fewer labels than this per class nothing is learned: the anchor is used."""
    audit: float = Field(0.0, ge=0, le=0.5)
    """Share of the points asked for that is drawn at random, in every mode. They come last in a batch, and are what the
    fair value of the model and the gain over random are measured on. 0: none."""
    audit_judges: bool = True
    """Whether episodes are validated on labels that nobody chose, those of the audit and the first ones, once there are
    `gate_labels_per_class` of them for each class."""
    paper: PaperConfig = PaperConfig()


def search_config(value: SearchConfig | Mapping[str, Any] | None) -> SearchConfig:
    """`value` as a SearchConfig. Raises UnknownName for a key that does not exist, ConfigError for a wrong value."""
    if value is None:
        return SearchConfig()
    if isinstance(value, SearchConfig):
        return value
    if not isinstance(value, Mapping):
        raise ConfigError(f"got search={shown(value)}; wanted a SearchConfig or a mapping of its fields")
    for key in value:
        if key not in SearchConfig.model_fields:
            raise UnknownName("search setting", key, SearchConfig.model_fields)
    try:
        return SearchConfig.model_validate(dict(value))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"search setting {where}: got {shown(first['input'])}; {first['msg']}") from error
