"""Small pools to label: pictures in a folder, texts in a table; and a desk behind which nobody chooses."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from autoal import Session
from autoal.data.sources import Pictures
from autoal.labeling.chooser import Standing
from autoal.labeling.choosing import choose
from autoal.labeling.desk import Desk
from autoal.labeling.options import Notes

__all__ = ["HOSTILE", "AtOnce", "Nobody", "desk_of", "picture_folder", "picture_session", "text_file", "waited"]

HOSTILE = '<img src=x onerror="window.hurt=1">"\'&amp;<script>window.hurt=1</script>\u202e\u200f'


class Nobody:
    """Chooses nothing."""

    def __init__(self) -> None:
        self.standing = Standing(lambda message: None)
        self.checks = 0

    def check(self) -> None:
        self.checks += 1

    def close(self) -> None:
        pass


class AtOnce(Nobody):
    """Chooses in the call that asks for it."""

    def __init__(self, session: Session, batch_size: int) -> None:
        super().__init__()
        self._session, self._batch_size = session, batch_size

    def check(self) -> None:
        super().check()
        choose(self._session, self._batch_size, self.standing.take)


def picture_folder(folder: Path, n: int = 12, size: int = 8) -> Path:
    """n PNG files, dark on the left or on the right: `left-00.png`, `right-01.png`, ..."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    for number in range(n):
        pixels = draw.integers(0, 60, (size, size)).astype(np.uint8)
        kind = ("left", "right")[number % 2]
        pixels[:, slice(None, size // 2) if kind == "left" else slice(size // 2, None)] += 180
        Image.fromarray(pixels).save(folder / f"{kind}-{number:02d}.png")
    return folder


def picture_session(tmp_path: Path, n: int = 12, **arguments: Any) -> Session:
    folder = picture_folder(tmp_path / "pictures", n)
    chosen = {"ids": Pictures(folder).names, "random_state": 0, "candidates": ["margin", "kcenter"], **arguments}
    return Session.create(tmp_path / "pictures-session", folder, **chosen)


def desk_of(session: Session, chooser: Any = None, batch_size: int = 4) -> Desk:
    if not session.n_rounds:
        session.ask_ahead(batch_size)
    return Desk(session, Notes.read(session.folder), chooser or Nobody())


def text_file(path: Path, n: int = 40) -> Path:
    kinds = ["good", "bad"]
    words = {"good": ["lovely", "fine", "great"], "bad": ["awful", "poor", "dull"]}
    texts = [f"a {words[kinds[i % 2]][i % 3]} film, number {i}" for i in range(n)]
    pd.DataFrame({"id": [f"r{i}" for i in range(n)], "sentence": texts, "year": range(1980, 1980 + n)}).to_csv(
        path, index=False
    )
    return path


def waited(condition: Any, seconds: float = 240) -> None:
    """Returns once `condition()` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)
