"""The command line. Every command says what it will do, shows progress, and answers with an exit code.

0: done. 1: cells of a run failed, or something we did not expect. 2: an argument, a config or a file is wrong.
130: interrupted; the same command goes on. A reader that stops reading (`| head`) changes nothing.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import time
import warnings
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from autoal.cryo.commands import app as cryo
from autoal.errors import AutoALError, AutoALWarning, InvalidInput, RunError
from autoal.flags import Flag, in_flags
from autoal.labeling.command import label
from autoal.labeling.serve_commands import serve
from autoal.session import after, commands
from autoal.terminal import INTERRUPTED, Console, flush_output, go_on_with, interrupts_heeded, kept, prepare_output

if TYPE_CHECKING:  # torch takes seconds to import, and --help should not
    from autoal.experiment.config import ExperimentConfig
    from autoal.experiment.progress import Standing

__all__ = ["app", "main"]

app = typer.Typer(
    name="autoal",
    help=(
        "Active learning: which points to label next, and what that saved you.\n\n"
        "\b\nExample: autoal quickstart\nExample: autoal label pictures/"
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
FAILED = 1
WRONG = 2

ConfigPath = Annotated[Path, typer.Argument(help="TOML file, as in configs/.", show_default=False)]
Seed = Annotated[int | None, typer.Option(help="First seed; as many follow as there are now.", min=0)]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:0.")]
Out = Annotated[Path | None, typer.Option(help="Folder of the run; runs/<name of the config> if not given.")]
Workers = Annotated[int | None, typer.Option(help="Processes that share the work; results do not change.", min=1)]
TimeLimit = Annotated[
    float | None,
    typer.Option(help="Seconds a cell may take before it counts as failed.", min=0.001, show_default=False),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and gives its exit code. Errors raised on purpose become one line; others stay whole."""
    try:
        with interrupts_heeded():
            return _run(arguments)
    except KeyboardInterrupt:  # before or after the command itself
        sys.stderr.write(f"interrupted; {kept()}\n")
        return INTERRUPTED


def _run(arguments: Sequence[str] | None) -> int:
    # Before torch and BLAS are loaded: cells run in processes of one thread, and idle threads only get in the way.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    prepare_output()
    go_on_with()
    errors = Console(stderr=True, soft_wrap=True, highlight=False)

    def show_warning(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
        if issubclass(category, AutoALWarning):
            errors.print(f"[yellow]warning:[/] {escape(str(message))}")
        else:
            original(message, category, *rest, **named)

    original, warnings.showwarning = warnings.showwarning, show_warning
    try:
        app(args=list(arguments) if arguments is not None else None, prog_name="autoal")
    except AutoALError as error:
        errors.print(f"[red]error:[/] {escape(in_flags(str(error), flags_of(arguments)))}")
        return WRONG
    except KeyboardInterrupt:
        errors.print(escape(f"interrupted; {kept()}"))
        return INTERRUPTED
    except MemoryError:
        errors.print("[red]error:[/] memory ran out; what was finished is kept: free some, or take less at a time")
        return FAILED
    except BrokenPipeError:
        return FAILED  # whoever would read about it is gone
    except OSError as error:
        where = f": {error.filename}" if error.filename is not None else ""
        said = f"{error.strerror or error}{where}; {kept()}"
        errors.print(f"[red]error:[/] {escape(said)}")
        return FAILED
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # typer has met the interrupt first
            errors.print(escape(f"interrupted; {kept()}"))
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else FAILED
    finally:
        warnings.showwarning = original
        flush_output()
    return 0


def flags_of(arguments: Sequence[str] | None) -> list[Flag]:
    """The options of the command that `arguments` name."""
    given = sys.argv[1:] if arguments is None else arguments
    group = typer.main.get_command(app)
    command = getattr(group, "commands", {}).get(next(iter(given), ""))
    options = [each for each in getattr(command, "params", []) if each.opts and each.opts[0].startswith("--")]
    flags = [Flag(str(each.name), each.opts[0], bool(getattr(each, "is_flag", False))) for each in options]
    # The column of labels is `label=` of autoal.data.load_dataset.
    return [*flags, *(Flag("label", each.flag, False) for each in flags if each.argument == "target")]


@app.command(short_help="AutoAL against random labels on digits: an answer and a page, in two minutes.")
def quickstart(
    seed: Seed = None,
    device: Device = None,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("autoal-quickstart"),
    workers: Workers = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page where somebody sits before a display.")
    ] = True,
    quiet: Quiet = False,
) -> None:
    """AutoAL against random labels on handwritten digits, ten seeds: a table, an answer in words, and a page.

    Example: autoal quickstart
    Example: autoal quickstart --out tried --workers 4 --no-browser
    """
    from autoal.experiment.config import parse_config

    config = parse_config(
        {
            "name": "quickstart",
            "datasets": ["digits"],
            "selectors": ["autoal", "random"],
            "seeds": 10,
            "initial": {"per_class": 2},
            "batch_size": 10,
            "rounds": 10,
        }
    )
    # Two processes and not one per core: the start of a process takes seconds.
    _compare(_adjusted(config, seed, device), out, workers or min(2, os.cpu_count() or 1), quiet)
    if browser and somebody_looks():
        webbrowser.open((out / "report.html").absolute().as_uri())
    Console(highlight=False).print(NEXT, soft_wrap=True, markup=False)


NEXT = """
Next, on data of your own:
  autoal compare leaves.csv --target species   would choosing have paid? on a file that is labeled already
  autoal label pictures/                       label on a page: pictures, or texts.csv, table.parquet, pool.npy
  AutoAL("fast").fit_query(X, y)               in Python: y holds -1, NaN or None where there is no label yet"""


def somebody_looks() -> bool:
    """Whether a page that is opened would be seen: a terminal, a display, and no CI."""
    if os.environ.get("CI") or not sys.stdout.isatty():
        return False
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@app.command(short_help="Run selectors on scenarios and seeds, and say who won.")
def compare(
    config: ConfigPath,
    seed: Seed = None,
    device: Device = None,
    out: Out = None,
    workers: Workers = None,
    engine: Annotated[str, typer.Option(help="local, or ray (a cluster where RAY_ADDRESS is set).")] = "local",
    shard: Annotated[str | None, typer.Option(help="Only the i-th of n parts of the cells, as in 1/4.")] = None,
    cell_time_limit: TimeLimit = None,
    target: Annotated[str | None, typer.Option(help="Of a data file: the column of labels.")] = None,
    selectors: Annotated[str | None, typer.Option(help="Of a data file: selectors, as autoal,margin,random.")] = None,
    quiet: Quiet = False,
) -> None:
    """Run every selector of CONFIG in every scenario and seed, and say who won.

    CONFIG may be a data file of your own (.npz, .csv, .parquet) or a folder of images by class: then AutoAL, both
    floors and the usual strategies run on it, or those that --selectors names.

    A run that was stopped is continued by the same command; cells that failed are computed again. Given the
    manifest.json of a run, that run is made again, in a folder of its own, after a look whether the data are the same.
    With --shard, n processes or machines do the whole, in one folder or in several that autoal merge puts together.

    Example: autoal compare configs/digits.toml --workers 2
    Example: autoal compare leaves.csv --target species
    """
    from autoal.experiment.config import read_config
    from autoal.experiment.own_data import DATA_FILES, config_of_data

    if (config / "manifest.json").is_file():
        config = config / "manifest.json"
    if config.suffix in DATA_FILES or config.is_dir():
        read = config_of_data(config, target, selectors.split(",") if selectors else None)
    elif target is not None or selectors is not None:
        raise InvalidInput(
            f"got {str(config)!r} with --target or --selectors, which are for a data file ({', '.join(DATA_FILES)}) or "
            "a folder of images by class; a config names its own"
        )
    elif config.suffix == ".json":
        from autoal.experiment.runner import config_of_manifest

        read = config_of_manifest(config)
        out = out or Path("runs") / f"{read.name}-again"
    else:
        read = read_config(config)
    if cell_time_limit is not None:
        read = read.changed(cell_time_limit=cell_time_limit)
    _compare(_adjusted(read, seed, device), out or Path("runs") / read.name, workers, quiet, engine=engine, shard=shard)


@app.command(short_help="Put the folders of shards together.")
def merge(
    out: Annotated[Path, typer.Argument(help="Folder that is to hold the whole run.", show_default=False)],
    runs: Annotated[list[Path], typer.Argument(help="Folders of shards of one config.", show_default=False)],
) -> None:
    """Put the finished cells of several folders of one config into OUT, and report once all are there.

    The folders are left as they are. Cells that are missing can be computed in OUT by autoal compare.

    Example: autoal merge runs/whole machine1/digits machine2/digits
    Example: autoal merge runs/whole shards/*
    """
    from autoal.experiment.shards import merge as merge_runs
    from autoal.experiment.shards import missing_cells

    missing = merge_runs(out, runs)
    if missing:
        Console(highlight=False).print(escape(missing_cells(out, missing)), soft_wrap=True)
    else:
        _report(out)


@app.command(short_help="The report of a run or a session, made again.")
def report(run: Annotated[Path, typer.Argument(help="Folder of a run or a session.", show_default=False)]) -> None:
    """Make report.html, the tables and the plots of a run again, from its folder alone; or those of a session.

    Example: autoal report runs/digits
    Example: autoal report leaves-session
    """
    from autoal.session.folder import is_session

    if is_session(run):
        commands.report(run)
    else:
        _report(run)


@app.command(short_help="When to stop: what more labels may bring.")
def outlook(
    run: Annotated[Path, typer.Argument(help="Folder of a session, or of a run.", show_default=False)],
    labels: Annotated[
        int | None, typer.Option(help="How many labels more; as many as the latest batch, unless given.", min=1)
    ] = None,
    rule: Annotated[
        str | None, typer.Option(help="When to stop, as 'stable_predictions(threshold=0.98) | budget(labels=500)'.")
    ] = None,
) -> None:
    """Say in a sentence what the next labels of a session may bring, and whether to go on.

    Of the run of a comparison it says what every rule, and --rule, would have saved and cost.

    Example: autoal outlook runs/leaves --labels 100
    Example: autoal outlook runs/digits --rule "stable_predictions(threshold=0.98) & budget(labels=100)"
    """
    from autoal.session.folder import is_session

    if is_session(run):
        commands.outlook(run, labels, rule)
    elif labels is not None:
        raise InvalidInput("--labels is for a session; of a finished run the rules are judged as they stand")
    else:
        _stops(run, rule)


def _stops(run: Path, rule: str | None) -> None:
    from autoal.experiment.lines import read_run
    from autoal.experiment.store import RunStore
    from autoal.report.stopping import chosen_rules, rule_table, stops
    from autoal.report.tables import read_journal, rich_table
    from autoal.stopping import parse_rule

    manifest = RunStore(run).manifest()
    read_journal(run)  # says what is wrong where there is none
    further = [*manifest.get("stopping", []), *([rule] if rule is not None else [])]
    focus = str(manifest["focus"])
    found = stops(read_run(run), chosen_rules(map(parse_rule, further)), focus)
    console = _tables_console()
    console.print(rich_table(rule_table(found), f"where each rule would have stopped {focus}", console.width))
    console.print("points lost: value at the end of the run less the value at the stop; 90 %: of nine in ten cells")


app.command(short_help="Label pictures, texts or rows on a page in your browser.")(label)
app.command(short_help="Ask for the points to label next, in a session that lasts.")(commands.query)
app.command(short_help="Take the answers in a file into a session.")(commands.tell)
app.command(short_help="Take back the last answers of a session.")(after.undo)
app.command(short_help="Write what the model says of every row of a session's pool.")(after.predict)
app.command(short_help="The labels of a session that its model contradicts.")(after.suspects)
app.command(short_help="Label Studio with a session behind it: the next batch follows by itself.")(serve)


app.add_typer(cryo, short_help="Particles of cryo-electron micrographs, from few marks.")


@app.command(short_help="Tune AutoAL with Optuna; test labels are never read.")
def study(
    config: ConfigPath,
    seed: Annotated[int | None, typer.Option(help="First seed of the cells, and seed of the sampler.", min=0)] = None,
    device: Device = None,
    trials: Annotated[int | None, typer.Option(help="Trials in all, instead of the config's.", min=1)] = None,
    out: Out = None,
    workers: Annotated[int | None, typer.Option(help="Trials at a time, each in a process.", min=1)] = None,
    quiet: Quiet = False,
) -> None:
    """Tune AutoAL's outer hyper-parameters with Optuna, by its gain over the uniform mixture.

    Test labels are never read: gains are measured on rows carved from the training part. A study that was stopped
    is continued by the same command. The best trial is written to best.toml, which compare takes, on test labels.
    With several workers the trials after the random ones may differ from call to call; what a trial is worth does not.

    Example: autoal study configs/study.toml --trials 50 --workers 2
    Example: autoal study configs/study-digits.toml --out runs/tried
    """
    from autoal.experiment.config import read_config
    from autoal.experiment.plugins import make_selector
    from autoal.report.tables import rich_table
    from autoal.study import run_study

    adjusted = _adjusted(read_config(config), seed, device)
    if adjusted.study is not None:
        values = {"trials": trials, "seed": seed}
        changed = {key: value for key, value in values.items() if value is not None}
        adjusted = adjusted.changed(study={**adjusted.study.model_dump(), **changed})
    folder = out or Path("runs") / adjusted.name
    with _progress("seeds", quiet) as advance:
        found = run_study(adjusted, make_selector, folder, workers=workers, progress=advance)
    console = _tables_console()
    # Those that failed, or were cut off by a kill and run again, have no gain; trials.csv has all.
    valued = found.trials[found.trials["state"].isin(["complete", "pruned"])].dropna(subset="gain")
    ranked = valued.sort_values("gain", ascending=False, kind="stable").head(10)
    ranked = ranked.rename(columns=lambda name: str(name).removeprefix("search."))
    console.print(rich_table(ranked, title=f"best trials of {len(valued)}", width=console.width))
    if found.front is not None:
        front = found.front.rename(columns=lambda name: str(name).removeprefix("search."))
        console.print(rich_table(front, title="none has both more gain and fewer seconds", width=console.width))
    best = f"best: {found.gain:+.2f} points of AUBC over {found.base} with {found.best}"
    console.print(escape(best), soft_wrap=True)
    console.print("measured on rows carved from the training part; test labels were not read", soft_wrap=True)
    console.print(escape(f"all trials: {folder / 'trials.csv'}; plot: {folder / 'study.png'}"), soft_wrap=True)
    console.print(escape(f"next, on test labels: autoal compare {found.config}"), soft_wrap=True)


@app.command(short_help="The candidate strategies, as a table.")
def strategies(
    show_all: Annotated[bool, typer.Option("--all", help="Also the selectors that compare can run.")] = False,
) -> None:
    """The candidate strategies: what each reads, what it costs, where it comes from.

    Example: autoal strategies
    Example: autoal strategies --all
    """
    from autoal.strategies import CANDIDATES

    table = Table(box=box.SIMPLE_HEAD, title=f"{len(CANDIDATES)} candidate strategies", title_justify="left")
    for column in ("name", "tasks", "needs", "cost", "source"):
        table.add_column(column, no_wrap=column == "name")
    family = None
    for name, strategy in sorted(CANDIDATES.items(), key=lambda pair: (pair[1].family, pair[0])):
        if strategy.family != family:
            family = strategy.family
            table.add_section()
            table.add_row(f"[bold]{escape(family)}[/]")
        needs = strategy().needs  # of an instance: in some it depends on their options
        shown = (
            name,
            ", ".join(sorted(strategy.tasks)),
            ", ".join(sorted(needs)) or "nothing",
            strategy.cost,
            strategy.source,
        )
        table.add_row(*map(escape, shown))
    console = _tables_console()
    console.print(table)
    console.print(
        "needs: what it reads of the model. cost: N pool, L labeled, b batch, C classes, D embedding, K samples."
    )
    if show_all:
        from autoal.experiment.plugins import selector_table

        others = {name: factory for name, factory in selector_table().items() if name not in CANDIDATES}
        title = f"{len(others)} selectors besides the candidates alone"
        table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
        for column in ("name", "cost", "source"):
            table.add_column(column, no_wrap=column == "name")
        for name, factory in others.items():
            said = (str(getattr(factory, what, "not said")) for what in ("cost", "source"))
            table.add_row(escape(name), *map(escape, said))
        console.print(table)
        console.print(
            "cost: trainings of the task model in a round, beside the one every selector has; what else it asks."
        )


@app.command(short_help="What is wrong: with a folder, or with this machine.")
def doctor(
    run: Annotated[
        Path | None, typer.Argument(help="Folder of a session, a run or a study.", show_default=False)
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Of RUN: go on from what can be saved; the rest is kept beside it.")
    ] = False,
    pool: Annotated[int, typer.Option(help="N, points in the pool.", min=1)] = 50_000,
    dim: Annotated[int, typer.Option(help="D, width of the embedding.", min=1)] = 512,
    classes: Annotated[int, typer.Option(help="C, classes.", min=2)] = 10,
    batch_size: Annotated[int, typer.Option(help="b, points in a batch.", min=1)] = 100,
    samples: Annotated[int, typer.Option(help="K, posterior samples (BALD and its kin).", min=1)] = 10,
    device: Annotated[
        str | None, typer.Option(help="Try torch on auto, cpu, cuda or cuda:0; as it is, only where there is a GPU.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the numbers the check draws.", min=0)] = 0,
) -> None:
    """With RUN: whether its files are as they were written, and what can be saved. Without: what this machine has,
    whether its GPU works, and the memory a pool would take.

    Example: autoal doctor
    Example: autoal doctor runs/leaves
    Example: autoal doctor --pool 1000000 --dim 512 --batch-size 10000
    """
    from autoal.checkup import check_folder, check_machine, show_memory

    if run is not None:
        if not check_folder(run, keep):
            raise typer.Exit(FAILED)
        return
    if keep:
        raise InvalidInput("--keep is for a folder; name one, as in autoal doctor runs/leaves --keep")
    from autoal.memory import memory_estimate

    check_machine(device, seed)
    parts = memory_estimate(pool, dim, classes, batch_size, samples)
    show_memory(parts, f"memory for N={pool:,}, D={dim}, C={classes}, b={batch_size}, K={samples}")


def _adjusted(config: ExperimentConfig, seed: int | None, device: str | None) -> ExperimentConfig:
    """`config` with what the options say; a device that is not there is refused here."""
    from autoal.compute import resolve_device

    resolve_device(device or config.device)
    changes: dict[str, Any] = {}
    if seed is not None:
        changes["seeds"] = list(range(seed, seed + len(config.seeds)))
    if device is not None:
        changes["device"] = device
    return config.changed(**changes) if changes else config


def _compare(
    config: ExperimentConfig,
    folder: Path,
    workers: int | None,
    quiet: bool,
    *,
    engine: str = "local",
    shard: str | None = None,
) -> None:
    from autoal.experiment.plugins import make_selector
    from autoal.experiment.runner import run
    from autoal.experiment.shards import Shard, missing_cells
    from autoal.session.folder import is_session

    if is_session(folder):
        raise InvalidInput(f"{folder} holds a session, of autoal query or label; name another folder with --out")
    part = Shard.parse(shard) if shard else None
    with _live(quiet) as progress:
        result = run(
            config,
            make_selector,
            folder,
            workers=workers,
            engine=engine,  # type: ignore[arg-type]  # run refuses a wrong name
            shard=part,
            progress=progress,
        )
    if result.missing:
        what = f"shard {part}: {result.cells - len(result.failures)} of {result.cells} cells are there. "
        Console(highlight=False).print(escape(what + missing_cells(folder, result.missing)), soft_wrap=True)
    elif len(result.failures) < result.cells or part:
        _report(folder)
    if result.failures:
        Console(stderr=True, soft_wrap=True, highlight=False).print(escape(result.failure_message()), style="red")
        raise typer.Exit(FAILED)


def _report(folder: Path) -> None:
    from autoal.disk import read_jsonl, write_atomic
    from autoal.experiment.lines import read_run
    from autoal.experiment.shards import compile_journal, missing_cells
    from autoal.experiment.store import RunStore
    from autoal.report.curves import learning_curves
    from autoal.report.page import findings, read_report, write_page
    from autoal.report.records import overhead_table
    from autoal.report.stopping import chosen_rules, rule_table, scenario_stops, stops
    from autoal.report.tables import rich_table, score_table, to_markdown
    from autoal.stopping import parse_rule

    if (
        (folder / "manifest.json").exists()
        and not RunStore(folder).journal.exists()
        and (missing := compile_journal(folder))
    ):
        raise RunError(missing_cells(folder, missing))
    report = read_report(folder)
    console = _tables_console()
    title = f"AUBC in points; gain over {report.reference}, paired by seed, with its 95 % interval"
    console.print(rich_table(report.by_scenario, title, console.width))
    said = findings(report)
    texts = [title + ".\n", to_markdown(report.by_scenario)]
    if report.overall is not None and report.by_scenario["dataset"].nunique() > 1:
        console.print(rich_table(report.overall, "over all scenarios", console.width))
        texts += ["Over all scenarios.\n", to_markdown(report.overall)]
    if report.comparison is not None and len(report.comparison.rivals):
        rivals = report.comparison.rivals.dropna(axis=1, how="all")
        texts += [f"{report.focus} against each; what the columns mean: `report.html`.\n", to_markdown(rivals)]
    if not report.shortfall.empty:
        texts += ["How far below the best single candidate of each scenario.\n", to_markdown(report.shortfall)]
    rules = chosen_rules(map(parse_rule, report.manifest.get("stopping", [])))
    stopped = stops(read_run(folder), rules, report.focus)
    if stopped["told"].any():
        texts += [f"Where each rule would have stopped {report.focus}.\n", to_markdown(rule_table(stopped))]
        texts += ["In each scenario: labels saved / points lost.\n", to_markdown(scenario_stops(stopped))]
    overhead = overhead_table(read_jsonl(folder / "timings.jsonl")[0], report.focus)
    if not overhead.empty:
        texts += [f"What {report.focus} takes beside one training of the model, a round.\n", to_markdown(overhead)]
    head = [f"# {report.manifest['config']['name']}\n", f"**{report.answer.headline}** {report.answer.detail}\n"]
    lines = [f"- {report.verdict}", *(f"- {line}" for line in (*said, *report.notes)), ""]
    write_atomic(folder / "report.md", "\n".join([*head, *lines, *texts]))
    write_atomic(folder / "scores.csv", score_table(report.journal).to_csv(index=False, lineterminator="\n"))
    plot = learning_curves(report.journal, folder / "curves.png", reference=report.reference, only=report.shown)
    page = write_page(report)
    for line in (*said, *report.notes):
        console.print(escape(line), soft_wrap=True)
    console.print(escape(report.verdict), soft_wrap=True)
    console.print(f"\n{escape(report.answer.headline)}", style="bold", soft_wrap=True)
    if report.answer.detail:
        console.print(escape(report.answer.detail), soft_wrap=True)
    console.print(escape(f"report: {page}; tables: {folder / 'report.md'}; plot: {plot}"), soft_wrap=True)


def _tables_console() -> Console:
    """Wide enough for the tables where the output is a file and nobody's window sets the width."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=140, highlight=False)


LOG_EVERY_S = 60.0


@contextlib.contextmanager
def _live(quiet: bool) -> Iterator[Callable[[Standing], None] | None]:
    """A line on stderr that follows a run: rounds, cells done, failed and under way, and the time left.

    Where stderr is not a terminal, a line a minute instead.
    """
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    if quiet:
        yield None
        return
    shown = console.is_terminal
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rounds | {task.fields[cells]} | {task.description}"),
        TimeElapsedColumn(),
    )
    written = time.monotonic()
    with Progress(*columns, console=console, transient=shown, disable=not shown) as bar:
        task = bar.add_task("starting", total=None, cells="")

        def follow(now: Standing) -> None:
            nonlocal written
            text = standing_text(now)
            running = ", ".join(now.running[:1]) + (f" and {len(now.running) - 1} more" if now.running[1:] else "")
            bar.update(task, completed=now.rounds_done, total=now.rounds, cells=text, description=escape(running))
            if not shown and time.monotonic() - written > LOG_EVERY_S:
                written = time.monotonic()
                console.print(escape(text))

        yield follow


def standing_text(now: Standing) -> str:
    """How a run stands, in one line."""
    left = "" if now.left_s is None else f", about {duration(now.left_s)} left"
    return f"{now.done} of {now.cells} cells done, {now.failed} failed, {len(now.running)} running{left}"


def duration(seconds: float) -> str:
    """`40 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


@contextlib.contextmanager
def _progress(unit: str, quiet: bool) -> Iterator[Callable[[int, int, str], None] | None]:
    """A bar on stderr with the time that is left; one line where stderr is not a terminal."""
    console = Console(stderr=True)
    if quiet:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    # Rounds differ in length, and cells more so: the estimate looks back over ten minutes, not half of one.
    shown = console.is_terminal
    with Progress(*columns, console=console, transient=shown, disable=not shown, speed_estimate_period=600) as bar:
        task = bar.add_task("starting", total=None)

        def advance(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total)
            if what:
                bar.update(task, description=escape(what))

        yield advance


def _one_example_a_line(text: str) -> str:
    """Click joins the lines of a paragraph; \\b before one keeps them."""
    return text.replace("Example:", "\b\nExample:", 1)


for _command in app.registered_commands:
    _command.help = _one_example_a_line(inspect.cleandoc(getattr(_command.callback, "__doc__", None) or ""))
