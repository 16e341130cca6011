"""A folder of micrographs, a file of marks, and what the commands make of them."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from autoal.cryo.files import FORMATS, micrograph_files, read_marks, read_micrograph, write_picks
from autoal.cryo.labels import Labeled, read_labels
from autoal.cryo.picker import CryoMAE
from autoal.cryo.pool import WindowPool
from autoal.cryo.showing import surroundings
from autoal.disk import dumps, folder_whole, loads, write_atomic
from autoal.errors import InvalidInput, RunError, shown

__all__ = ["Work", "pick_all", "write_windows"]

Floats = NDArray[np.floating[Any]]
SUMMARY = "picks.json"


class Done(BaseModel):
    """What was picked in a micrograph."""

    model_config = ConfigDict(extra="forbid", strict=True)

    picks: int
    threshold: float
    rule: str


class Summary(BaseModel):
    """The file beside the picks."""

    model_config = ConfigDict(extra="forbid", strict=True)

    key: str
    micrographs: dict[str, Done]


@dataclass(frozen=True)
class Work:
    """Micrographs, the marks of the references among them, and how the picker is made."""

    files: list[Path]
    marks: dict[str, Floats]
    """By the stem of the micrograph."""
    diameter: float
    flip_y: bool
    exemplars: int
    steps: int
    seed: int
    device: str
    recentre: bool = False

    @classmethod
    def read(
        cls,
        micrographs: Path,
        marks: Path,
        diameter: float,
        *,
        reference: str | None,
        flip_y: bool,
        exemplars: int,
        steps: int,
        seed: int,
        device: str,
        recentre: bool = False,
    ) -> Self:
        """Raises InvalidInput where marks are of no micrograph, or it is not clear of which."""
        files = micrograph_files(micrographs)
        by_stem = {file.stem: file for file in files}
        found = read_marks(marks)
        if None in found:
            # One file of marks is named like its micrograph, in this field.
            stem = Path(reference).stem if reference is not None else marks.stem if marks.stem in by_stem else None
            if stem is None and len(files) == 1:
                stem = files[0].stem
            if stem is None:
                raise InvalidInput(
                    f"{str(marks)!r} does not say which micrograph its marks are in; wanted --reference NAME, a column "
                    "micrograph, or a file named like the micrograph"
                )
            found = {stem: found[None]}
        named = {str(stem): centres for stem, centres in found.items() if len(centres)}
        unknown = sorted(set(named) - set(by_stem))
        if unknown:
            raise InvalidInput(
                f"the marks are in {unknown[:5]}, and {str(micrographs)!r} holds {sorted(by_stem)[:5]}"
                f"{' and more' if len(by_stem) > 5 else ''}; wanted names of micrographs, with or without their ending"
            )
        if not named:
            raise InvalidInput(f"{str(marks)!r} holds no marks; wanted the centres of some particles, about 15")
        if flip_y:
            named = {stem: _flipped(marked, read_micrograph(by_stem[stem]).shape[0]) for stem, marked in named.items()}
        return cls(files, named, diameter, flip_y, exemplars, steps, seed, device, recentre)

    def fitted(self, labeled: Labeled | None = None) -> CryoMAE:
        """The picker, trained on the references and on windows labeled since."""
        centres, negatives = dict(self.marks), {}
        if labeled is not None:
            negatives = labeled.background
        files = [file for file in self.files if file.stem in {*centres, *negatives}]
        none = np.zeros((0, 2))
        model = CryoMAE(
            self.diameter, self.exemplars, self.steps, recentre=self.recentre, random_state=self.seed,
            device=self.device,
        )  # fmt: skip
        pictures = [read_micrograph(file) for file in files]
        model.fit(
            pictures,
            [centres.get(file.stem, none) for file in files],
            [negatives.get(file.stem, none) for file in files],
        )
        if labeled is not None and labeled.enough():
            model.calibrate(
                pictures,
                [labeled.particles.get(file.stem, none) for file in files],
                [labeled.background.get(file.stem, none) for file in files],
            )
        return model

    def digest(self) -> str:
        """Of all that picks depend on but the micrographs."""
        said = [self.diameter, self.flip_y, self.exemplars, self.steps, self.seed, self.device]
        if self.recentre:  # folders of picks made before there was such a thing are still known
            said.append("recentre")
        told = {stem: centres.tolist() for stem, centres in sorted(self.marks.items())}
        return hashlib.sha256(dumps([said, told]).encode()).hexdigest()[:16]


def pick_all(work: Work, out: Path, form: str, threshold: float | None, labels: Path | None) -> Iterator[str]:
    """Picks of every micrograph, a file for each in `out`, and what happened, line by line."""
    if form not in FORMATS:
        raise InvalidInput(f"got --format {form!r}; wanted one of {', '.join(FORMATS)}")
    if out.exists() and not out.is_dir():
        raise InvalidInput(f"got --out {str(out)!r}, which is a file; wanted a folder")
    labeled = None if labels is None else read_labels(labels)
    key = hashlib.sha256(dumps([work.digest(), form, threshold, labeled and labeled.digest()]).encode()).hexdigest()[
        :16
    ]
    summary = _summary(out, key)
    left = [file for file in work.files if file.stem not in summary or not _path(out, file, form).is_file()]
    if len(left) < len(work.files):
        yield f"{len(work.files) - len(left)} of {len(work.files)} micrographs are done already, in {out}"
    if not left:
        return
    if labeled is not None:
        yield labeled.says()
    began = time.perf_counter()
    model = work.fitted(labeled)
    total = sum(len(centres) for centres in work.marks.values())
    yield f"trained on {min(total, work.exemplars)} of {total} marks in {time.perf_counter() - began:.0f} s"
    out.mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(left, start=1):
        began = time.perf_counter()
        pixels = read_micrograph(file)
        picks = model.pick(pixels, threshold)
        centres = _flipped(picks.centres, pixels.shape[0]) if work.flip_y else picks.centres
        write_picks(_path(out, file, form), form, file.name, centres, picks.scores, work.diameter)
        summary[file.stem] = {"picks": len(picks), "threshold": picks.threshold, "rule": picks.rule}
        write_atomic(out / SUMMARY, json.dumps({"key": key, "micrographs": summary}, indent=1) + "\n")
        why = ": nothing in it is like the marks" if picks.rule == "empty" else ""
        yield f"{number}/{len(left)} {file.name}: {len(picks)} picks{why}, {time.perf_counter() - began:.0f} s"
    yield f"written: {out} ({sum(one['picks'] for one in summary.values())} picks)"


def _path(out: Path, file: Path, form: str) -> Path:
    return out / f"{file.stem}.{form}"


def _summary(out: Path, key: str) -> dict[str, Any]:
    """What was done with these settings. Raises RunError where the folder holds picks made with others."""
    path = out / SUMMARY
    if not path.is_file():
        return {}
    try:
        stored = Summary.model_validate(loads(path.read_bytes()))
    except (ValueError, RecursionError, OSError) as error:
        said = shown(error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error), 80)
        raise RunError(f"{path} cannot be read ({said}); name another folder with --out, or remove it") from error
    if stored.key != key:
        raise RunError(
            f"{out} holds picks made with other marks, labels or settings; name another folder with --out, or remove it"
        )
    return {stem: done.model_dump() for stem, done in stored.micrographs.items()}


def write_windows(work: Work, out: Path, most: int) -> Iterator[str]:
    """windows.csv (id, label, where, features) and pictures/ID.png in `out`."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidInput(f"got --out {str(out)!r}, which is there already; name a new folder")
    with folder_whole(out) as made:
        said = yield from _windows(work, made, most)
    yield f"{said['windows']} windows of {len(work.files)} micrographs in {out}, {said['marks']} of them marks"
    yield (
        f"label them: autoal label {out / 'windows.csv'} --show {out / 'pictures'} --target label "
        "--classes particle,background"
    )


def _windows(work: Work, made: Path, most: int) -> Generator[str, None, dict[str, int]]:
    """Writes into `made`, and says how many there are."""
    began = time.perf_counter()
    model = work.fitted()
    yield f"trained in {time.perf_counter() - began:.0f} s"
    pictures = [read_micrograph(file) for file in work.files]
    stems = [file.stem for file in work.files]
    marks = np.concatenate(
        [np.column_stack([np.full(len(centres), stems.index(stem)), centres]) for stem, centres in work.marks.items()]
    )
    pool = WindowPool(pictures, work.diameter, marks=marks, picker=model, most=most, random_state=work.seed).thinned()
    features = model.embed(pictures, pool.centres)
    ids = [f"{stems[int(m)]}_{round(row)}_{round(column)}" for m, row, column in pool.centres]
    folder = made / "pictures"
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures):
        mine = np.flatnonzero(pool.group == number)
        for row, png in zip(mine, surroundings(picture, pool.centres[mine, 1:], work.diameter), strict=True):
            write_atomic(folder / f"{ids[row]}.png", png, sync=False)
    frame = pd.DataFrame(features, columns=[f"f{i}" for i in range(features.shape[1])]).astype(np.float64).round(6)
    frame.insert(0, "id", ids)
    frame.insert(1, "label", np.where(pool.kind == "mark", "particle", ""))
    places = pd.DataFrame(
        {"id": ids, "micrograph": [stems[int(m)] for m in pool.group], "row": pool.centres[:, 1],
         "column": pool.centres[:, 2], "kind": pool.kind}
    )  # fmt: skip
    write_atomic(made / "places.csv", places.to_csv(index=False))
    write_atomic(made / "windows.csv", frame.to_csv(index=False))
    return {"windows": len(pool), "marks": int((pool.kind == "mark").sum())}


def _flipped(centres: Floats, height: int) -> Floats:
    out = np.asarray(centres, dtype=np.float64).copy()
    out[:, 0] = height - 1 - out[:, 0]
    return out
