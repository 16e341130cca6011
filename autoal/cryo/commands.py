"""`autoal cryo`: particles of a folder of micrographs from few marks, and windows to label where those do not do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from autoal.errors import InvalidInput
from autoal.terminal import Console

if TYPE_CHECKING:  # torch takes seconds to import, and --help should not
    from autoal.cryo.folder import Work

__all__ = ["app"]

app = typer.Typer(
    name="cryo",
    help=(
        "Particles of cryo-electron micrographs, from few marks.\n\n"
        "\b\nExample: autoal cryo pick micrographs/ --marks marks.csv --diameter 180\n"
        "Example: autoal cryo windows micrographs/ --marks marks.csv --diameter 180 --out windows"
    ),
    short_help="Particles of cryo-electron micrographs, from few marks.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Micrographs = Annotated[
    Path, typer.Argument(help="Folder of micrographs (.mrc, .npy, .png, .tif, ...), or one.", show_default=False)
]
Marks = Annotated[
    Path,
    typer.Option(help="About 15 particles: .csv (row, column, or x, y; micrograph), .star, .box.", show_default=False),
]
Diameter = Annotated[float, typer.Option(help="Of a particle, in pixels of the micrographs.", show_default=False)]
Reference = Annotated[
    str | None,
    typer.Option(help="Micrograph of the marks, where their file does not say.", show_default=False),
]
FlipY = Annotated[bool, typer.Option("--flip-y", help="Rows of files of marks and picks are counted from below.")]
Recentre = Annotated[
    bool, typer.Option("--recentre", help="Put marks that miss the middle of their particle right first.")
]
Exemplars = Annotated[int, typer.Option(help="How many of the marks are used, drawn by the seed.", min=1)]
Steps = Annotated[int, typer.Option(help="Steps of training.", min=1)]
Seed = Annotated[int, typer.Option(help="The same seed gives the same picks.", min=0)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:0.")]


@app.command(short_help="Pick the particles of micrographs.")
def pick(
    micrographs: Micrographs,
    marks: Marks,
    diameter: Diameter,
    out: Annotated[Path, typer.Option(help="Folder of the picks, one file for each micrograph.")] = Path("picks"),
    format: Annotated[str, typer.Option("--format", help="star (Relion), csv or box.")] = "star",
    labels: Annotated[
        Path | None,
        typer.Option(help="Folder that cryo windows made, whose windows were labeled since.", show_default=False),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Score from which on a peak is a pick; found if not given.", show_default=False)
    ] = None,
    reference: Reference = None,
    flip_y: FlipY = False,
    recentre: Recentre = False,
    exemplars: Exemplars = 15,
    steps: Steps = 300,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Learn what particles look like from about 15 marks in one micrograph, and pick them in all.

    A minute of training, then seconds for each micrograph. Micrographs whose file of picks is there already with the
    same settings are passed over, so the same command goes on after an interruption. picks.json, beside them, says for
    each micrograph how many there are, the threshold, and where it comes from.

    Example: autoal cryo pick micrographs/ --marks marks.csv --diameter 180
    Example: autoal cryo pick micrographs/ --marks marks.star --diameter 180 --format csv --out picks
    """
    from autoal.cryo.folder import pick_all

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    work = _work(micrographs, marks, diameter, reference, flip_y, recentre, exemplars, steps, seed, device)
    for line in pick_all(work, out, format, threshold, labels):
        console.print(escape(line))


@app.command(short_help="Write windows to label, as pictures for autoal label.")
def windows(
    micrographs: Micrographs,
    marks: Marks,
    diameter: Diameter,
    out: Annotated[Path, typer.Option(help="Folder of the windows; it must be new.")] = Path("windows"),
    most: Annotated[int, typer.Option(help="Candidates of one scale in a micrograph.", min=1)] = 120,
    reference: Reference = None,
    flip_y: FlipY = False,
    recentre: Recentre = False,
    exemplars: Exemplars = 15,
    steps: Steps = 300,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Windows that may hold a particle, as a table of features and a folder of pictures that show each in its
    surroundings; the marks are labeled already. Then:

    autoal label windows/windows.csv --show windows/pictures --target label --classes particle,background

    No two windows overlap, so none is asked for twice. Ice, carbon and dirt are background: a picker has to know them.

    \b
    Example: autoal cryo windows micrographs/ --marks marks.csv --diameter 180
    Example: autoal cryo windows one.mrc --marks marks.box --diameter 180 --out more
    """
    from autoal.cryo.folder import write_windows

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    work = _work(micrographs, marks, diameter, reference, flip_y, recentre, exemplars, steps, seed, device)
    for line in write_windows(work, out, most):
        console.print(escape(line))


def _work(
    micrographs: Path,
    marks: Path,
    diameter: float,
    reference: str | None,
    flip_y: bool,
    recentre: bool,
    exemplars: int,
    steps: int,
    seed: int,
    device: str,
) -> Work:
    from autoal.cryo.folder import Work

    if not diameter > 0:
        raise InvalidInput(f"got --diameter {diameter:g}; wanted that of a particle in pixels of the micrographs")
    return Work.read(
        micrographs, marks, diameter, reference=reference, flip_y=flip_y, recentre=recentre, exemplars=exemplars,
        steps=steps, seed=seed, device=device,
    )  # fmt: skip
