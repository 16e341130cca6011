"""The pictures of the gallery: what each strategy asks for, on one and the same two-dimensional pool.

    python docs/_build/gallery.py            makes docs/pictures/gallery/*.svg and docs/pictures/picks.svg, in a minute

They are small and committed, so that a build of the site needs no training. `tests/test_site.py` says which are missing.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "pictures" / "gallery"
PICKS = 15
SIZE = 220
COLORS = ("#0072B2", "#E69F00", "#009E73")
"""Of the classes; Okabe and Ito's, told apart by people who do not see red or green."""
PICK = "#D5004F"


def pool(seed: int = 5) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Points (n, 2) in the unit square and their classes: two crescents that touch, a dense clump, a few far off."""
    random = np.random.RandomState(seed)
    t = np.pi * random.rand(150)
    one = np.c_[np.cos(t), np.sin(t)] + 0.11 * random.randn(150, 2)
    u = np.pi * random.rand(110)
    two = np.c_[1 - np.cos(u), 0.45 - np.sin(u)] + 0.11 * random.randn(110, 2)
    clump = np.c_[2.25 + 0.09 * random.randn(110), 0.95 + 0.09 * random.randn(110)]
    spread = np.c_[2.2 + 0.4 * random.randn(50), 0.9 + 0.35 * random.randn(50)]
    X = np.concatenate([one, two, clump, spread])
    X = (X - X.min(0)) / (X.max(0) - X.min(0))
    return X.astype(np.float32), np.repeat([0, 1, 2, 2], [150, 110, 110, 50])


def labeled(y: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows that are labeled to begin with: four of each class."""
    random = np.random.RandomState(1)
    return np.concatenate([random.choice(np.flatnonzero(y == k), 4, replace=False) for k in range(3)])


def picks_of(name: str, count: int = PICKS) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows that the strategy `name` (or "autoal") asks for, those labeled, and those that were rejected before."""
    from autoal import AutoAL
    from autoal.models import MLP, TorchModel, TrainConfig
    from autoal.strategies import CANDIDATES

    X, y = pool()
    seen = labeled(y)
    rejected = np.array([], dtype=np.int64)
    regression = name in CANDIDATES and "classification" not in CANDIDATES[name].tasks
    config = TrainConfig(epochs=40, min_steps=400)
    if regression:
        target = np.sin(6 * X[:, 0]) + X[:, 1]
        known = np.where(np.isin(np.arange(len(X)), seen), target, np.nan)
        model = TorchModel(lambda: MLP(2, 0, hidden=(32, 32), dropout=0.2), config=config)
    else:
        known = np.where(np.isin(np.arange(len(X)), seen), y, -1)
        if name in CANDIDATES and CANDIDATES[name].family == "open set":
            # The third class is the one nobody asked for: its labeled points were shown, and turned down.
            rejected = seen[y[seen] == 2]
            seen = seen[y[seen] != 2]
            known = np.where(y == 2, -1, known)
        model = TorchModel(lambda: MLP(2, 2 if len(rejected) else 3, hidden=(32, 32), dropout=0.2), config=config)
    candidates = "default" if name == "autoal" else [name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asked = AutoAL(candidates, model=model, random_state=0, task="regression" if regression else "classification")
        picked = asked.fit_query(X, known, batch_size=count, rejected=rejected if len(rejected) else None)
    return np.asarray(picked.indices), seen, rejected


def dots(points: NDArray[np.floating], color: str, width: float, x: float = 0.0, y: float = 0.0) -> str:
    """Points (n, 2) of the unit square as one path of round dots."""
    at = np.round(np.c_[x + 10 + (SIZE - 20) * points[:, 0], y + SIZE - 10 - (SIZE - 20) * points[:, 1]]).astype(int)
    path = "".join(f"M{a} {b}h0" for a, b in at)
    return f'<path d="{path}" stroke="{color}" stroke-width="{width}" stroke-linecap="round" fill="none"/>'


def panel(picks: NDArray[np.int64], seen: NDArray[np.int64], rejected: NDArray[np.int64], x: float = 0, y: float = 0) -> str:
    """One pool: grey points, labeled ones in the colour of their class, rejected ones as crosses, picks on top."""
    X, classes = pool()
    parts = [dots(X, "#C4C8CC", 4, x, y)]
    parts += [dots(X[seen][classes[seen] == k], color, 10, x, y) for k, color in enumerate(COLORS)]
    for a, b in X[rejected]:
        a, b = x + 10 + (SIZE - 20) * a, y + SIZE - 10 - (SIZE - 20) * b
        parts.append(f'<path d="M{a - 4:.0f} {b - 4:.0f}l8 8m0-8l-8 8" stroke="#333" stroke-width="2.4"/>')
    parts.append(dots(X[picks], "#FFFFFF", 11, x, y))
    parts.append(dots(X[picks], PICK, 8, x, y))
    return "".join(part for part in parts if 'd=""' not in part)


def picture(inside: str, width: float, height: float, says: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{says}"><rect width="{width}" height="{height}" rx="8" fill="#FFFFFF"/>{inside}</svg>\n'
    )


def main(names: list[str]) -> None:
    from autoal.disk import write_atomic
    from autoal.strategies import CANDIDATES

    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names or [*CANDIDATES, "autoal"]:
        picks, seen, rejected = picks_of(name)
        says = f"{len(picks)} points that {name} asks for"
        write_atomic(FOLDER / f"{name}.svg", picture(panel(picks, seen, rejected), SIZE, SIZE, says))
        print(name, flush=True)
    if names:
        return
    shown = {"at random": "random", "entropy": "entropy", "margin": "margin", "autoal": "autoal"}
    inside = []
    for i, (title, name) in enumerate(shown.items()):
        x = i * (SIZE + 4)
        inside.append(panel(*picks_of(name, 20), x, 26))
        style = 'font-family="system-ui,sans-serif" font-size="15" fill="#333" text-anchor="middle"'
        weight = ' font-weight="700"' if name == "autoal" else ""
        inside.append(f'<text x="{x + SIZE / 2}" y="21" {style}{weight}>{title}</text>')
    says = "Twenty points picked on the same pool: at random, by entropy, by margin, and by autoal"
    write_atomic(ROOT / "docs/pictures/picks.svg", picture("".join(inside), 4 * SIZE + 12, SIZE + 26, says))


if __name__ == "__main__":
    main(sys.argv[1:])
