"""The portfolio. A new strategy is one file in the folder of its family and one line in `CANDIDATES`."""

from __future__ import annotations

from collections.abc import Iterable

from autoal.errors import InvalidInput, UnknownName, shown
from autoal.strategies.base import Proposal, Strategy
from autoal.strategies.diversity.alphamix import AlphaMix
from autoal.strategies.diversity.dacs import DACS
from autoal.strategies.diversity.dcom import DCoM
from autoal.strategies.diversity.dropquery import DropQuery
from autoal.strategies.diversity.falcun import Falcun
from autoal.strategies.diversity.featsim import FeatSim
from autoal.strategies.diversity.fre import FRE
from autoal.strategies.diversity.gsy import TargetGreedySampling
from autoal.strategies.diversity.igs import ImprovedGreedySampling
from autoal.strategies.diversity.kcenter import KCenter
from autoal.strategies.diversity.kcenter_pca import KCenterPCA
from autoal.strategies.diversity.kcenter_robust import KCenterRobust
from autoal.strategies.diversity.kmeans import KMeans
from autoal.strategies.diversity.maxherding import MaxHerding
from autoal.strategies.diversity.mcdpp import MultiCriteriaDPP
from autoal.strategies.diversity.probcover import ProbCover
from autoal.strategies.diversity.random import Random
from autoal.strategies.diversity.typiclust import TypiClust
from autoal.strategies.diversity.uncertainty_herding import UncertaintyHerding
from autoal.strategies.diversity.wigs import WeightedGreedySampling
from autoal.strategies.gradient.acs_fw import ACSFW
from autoal.strategies.gradient.badge import BADGE
from autoal.strategies.gradient.bait import BAIT
from autoal.strategies.gradient.bmdal import BMDAL
from autoal.strategies.gradient.frank_wolfe import FrankWolfe
from autoal.strategies.gradient.kmeanspp import KMeansPP
from autoal.strategies.gradient.lcmd import LCMD
from autoal.strategies.gradient.maxdet import MaxDet
from autoal.strategies.gradient.maxdiag import MaxDiag
from autoal.strategies.gradient.maxdist import MaxDist
from autoal.strategies.gradient.ntk_lookahead import NTKLookAhead
from autoal.strategies.gradient.sparse_greedy import SparseGreedy
from autoal.strategies.gradient.sparse_iht import SparseIHT
from autoal.strategies.open_set.energy import Energy
from autoal.strategies.open_set.eoal import EOAL
from autoal.strategies.open_set.gmm import GaussianMixtures
from autoal.strategies.open_set.knn_confidence import NearestNeighbors
from autoal.strategies.open_set.lfosa import LfOSA
from autoal.strategies.open_set.mahalanobis import Mahalanobis
from autoal.strategies.open_set.mqnet import MQNet
from autoal.strategies.open_set.poal import Poal, PoalPublished
from autoal.strategies.open_set.similar import Similar
from autoal.strategies.uncertainty.balance import Balance
from autoal.strategies.uncertainty.bald import BALD
from autoal.strategies.uncertainty.bald_ensemble import BALDEnsemble
from autoal.strategies.uncertainty.balentacq import BalEntAcq
from autoal.strategies.uncertainty.batch_balance import BatchBalance
from autoal.strategies.uncertainty.batchbald import BatchBALD
from autoal.strategies.uncertainty.entropy import Entropy
from autoal.strategies.uncertainty.entropy_dropout import EntropyDropout
from autoal.strategies.uncertainty.entropy_ensemble import EntropyEnsemble
from autoal.strategies.uncertainty.entropy_gradnorm import EntropyGradNorm
from autoal.strategies.uncertainty.epig import EPIG
from autoal.strategies.uncertainty.expected_gradnorm import ExpectedGradNorm
from autoal.strategies.uncertainty.greedy_ensemble_variation_ratio import GreedyEnsembleVariationRatio
from autoal.strategies.uncertainty.jepig import JEPIG
from autoal.strategies.uncertainty.least_confidence import LeastConfidence
from autoal.strategies.uncertainty.least_confidence_dropout import LeastConfidenceDropout
from autoal.strategies.uncertainty.margin import Margin
from autoal.strategies.uncertainty.margin_dropout import MarginDropout
from autoal.strategies.uncertainty.mean_std import MeanStd
from autoal.strategies.uncertainty.noise_stability import NoiseStability
from autoal.strategies.uncertainty.power_bald import PowerBALD
from autoal.strategies.uncertainty.softmax_bald import SoftmaxBALD
from autoal.strategies.uncertainty.softrank_bald import SoftrankBALD
from autoal.strategies.uncertainty.spn_entropy import SPNEntropy
from autoal.strategies.uncertainty.spn_variation_ratio import SPNVariationRatio
from autoal.strategies.uncertainty.variation_ratio import VariationRatio
from autoal.strategies.uncertainty.variation_ratio_ensemble import VariationRatioEnsemble

__all__ = ["CANDIDATES", "PORTFOLIOS", "Proposal", "Strategy", "resolve_candidates"]

CANDIDATES: dict[str, type[Strategy]] = {
    "random": Random,
    # uncertainty
    "entropy": Entropy,
    "margin": Margin,
    "least_confidence": LeastConfidence,
    "variation_ratio": VariationRatio,
    "mean_std": MeanStd,
    "bald": BALD,
    "entropy_dropout": EntropyDropout,
    "margin_dropout": MarginDropout,
    "least_confidence_dropout": LeastConfidenceDropout,
    "entropy_ensemble": EntropyEnsemble,
    "variation_ratio_ensemble": VariationRatioEnsemble,
    "bald_ensemble": BALDEnsemble,
    "greedy_ensemble_variation_ratio": GreedyEnsembleVariationRatio,
    "power_bald": PowerBALD,
    "softmax_bald": SoftmaxBALD,
    "softrank_bald": SoftrankBALD,
    "batchbald": BatchBALD,
    "noise_stability": NoiseStability,
    "entropy_gradnorm": EntropyGradNorm,
    "expected_gradnorm": ExpectedGradNorm,
    "spn_entropy": SPNEntropy,
    "spn_variation_ratio": SPNVariationRatio,
    "balance": Balance,
    "batch_balance": BatchBalance,
    "balentacq": BalEntAcq,
    "epig": EPIG,
    "jepig": JEPIG,
    # gradient
    "badge": BADGE,
    "ntk_lookahead": NTKLookAhead,
    "bait": BAIT,
    "acs_fw": ACSFW,
    "sparse_greedy": SparseGreedy,
    "sparse_iht": SparseIHT,
    "bmdal": BMDAL,
    "lcmd": LCMD,
    "maxdist": MaxDist,
    "maxdet": MaxDet,
    "kmeanspp": KMeansPP,
    "maxdiag": MaxDiag,
    "frank_wolfe": FrankWolfe,
    # diversity
    "kmeans": KMeans,
    "kcenter": KCenter,
    "kcenter_robust": KCenterRobust,
    "kcenter_pca": KCenterPCA,
    "typiclust": TypiClust,
    "maxherding": MaxHerding,
    "probcover": ProbCover,
    "dacs": DACS,
    "featsim": FeatSim,
    "fre": FRE,
    "uncertainty_herding": UncertaintyHerding,
    "mcdpp": MultiCriteriaDPP,
    "dropquery": DropQuery,
    "alphamix": AlphaMix,
    "falcun": Falcun,
    "dcom": DCoM,
    # diversity, in regressions alone
    "igs": ImprovedGreedySampling,
    "gsy": TargetGreedySampling,
    "wigs": WeightedGreedySampling,
    # open set
    "poal": Poal,
    "poal_published": PoalPublished,
    "energy": Energy,
    "mahalanobis": Mahalanobis,
    "gmm": GaussianMixtures,
    "knn_confidence": NearestNeighbors,
    "mqnet": MQNet,
    "similar": Similar,
    "lfosa": LfOSA,
    "eoal": EOAL,
}

PORTFOLIOS: dict[str, list[str]] = {
    # No clustering and no posterior samples: seconds at most on a hundred thousand points.
    "fast": ["random", "margin", "entropy", "kcenter", "badge"],
    "default": [
        "random",
        "margin",
        "entropy",
        "bald",
        "kmeans",
        "kcenter",
        "badge",
        "typiclust",
        "maxherding",
        "uncertainty_herding",
    ],
    # What joins "default" and "fast" in a regression, beside those of their members that are defined there.
    "regression": [
        "random",
        "bald",
        "batchbald",
        "bait",
        "lcmd",
        "kmeans",
        "kcenter",
        "typiclust",
        "maxherding",
    ],
    "all": list(CANDIDATES),
}


def resolve_candidates(
    spec: str | Strategy | Iterable[str | Strategy | tuple[str, Strategy]],
) -> list[tuple[str, Strategy]]:
    """Names and strategies, in order, of a portfolio name or of names, Strategy objects and (name, Strategy) pairs.

    Raises UnknownName, and InvalidInput where it is empty, holds something else, or a name twice.

    >>> [name for name, _ in resolve_candidates(["margin", ("coin", Random(seed=1))])]
    ['margin', 'coin']
    """
    if isinstance(spec, str):
        if spec not in PORTFOLIOS and spec not in CANDIDATES:
            raise UnknownName("portfolio or strategy", spec, [*PORTFOLIOS, *CANDIDATES])
        spec = PORTFOLIOS.get(spec, [spec])
    elif isinstance(spec, Strategy):
        spec = [spec]
    try:
        items = list(spec)
    except TypeError as error:
        raise InvalidInput(f"got candidates={shown(spec)}; wanted a portfolio name or a list") from error
    resolved = [_resolve(item) for item in items]
    names = [name for name, _ in resolved]
    if not names:
        raise InvalidInput("got no candidates; wanted a portfolio name, such as 'default', or at least one strategy")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInput(
            f"candidates named twice: {', '.join(twice)}; give (name, Strategy) pairs names of their own"
        )
    return resolved


def _resolve(item: object) -> tuple[str, Strategy]:
    if isinstance(item, str):
        if item not in CANDIDATES:
            raise UnknownName("strategy", item, CANDIDATES)
        return item, CANDIDATES[item]()
    if isinstance(item, Strategy):
        return item.name, item
    if isinstance(item, tuple | list) and len(item) == 2 and isinstance(item[0], str) and isinstance(item[1], Strategy):
        if not item[0] or "__" in item[0]:
            raise InvalidInput(f"got the candidate name {item[0]!r}; wanted one that is not empty and holds no '__'")
        return item[0], item[1]
    raise InvalidInput(
        f"got the candidate {item!r}; wanted a name, a Strategy object, as Margin(), or a (name, Strategy) pair"
    )
