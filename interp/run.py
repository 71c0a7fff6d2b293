"""interp run fourier --run FOLDER: compute an analysis and write its report.

The console command `interp` enters here: `interp train FOLDER` is `python -m interp.train FOLDER`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interp import terminal
from interp.catalogue.listing import listings
from interp.catalogue.names import KINDS, check_name
from interp.errors import InterpError, NothingToSay, command_line

if TYPE_CHECKING:
    from interp.checkpoints import Sweep
    from interp.recipes.analysis_recipe import Analysis
    from interp.recipes.run_paths import Source


def main(
    analysis: Annotated[
        Path | None, typer.Argument(help="A shipped one by its name, such as fourier, or a file.")
    ] = None,
    run: Annotated[
        list[Path], typer.Option(help="Point the analysis at this run instead of its own; repeated, at several.")
    ] = [],  # noqa: B006 (typer reads the default)
    importer: Annotated[
        str | None,
        typer.Option(help='What reads --run, where it is not one of ours: a name, or "{name: {option: value}}".'),
    ] = None,
    set_: Annotated[list[str], typer.Option("--set", help="Change an option: measure.option=value.")] = [],  # noqa: B006
    jobs: Annotated[
        int, typer.Option(min=1, help="Worker processes; the numbers do not depend on it.")
    ] = os.cpu_count() or 1,
    executor: Annotated[
        str | None, typer.Option(help="What works the pieces off, a name of --list; else by the number of jobs.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="The dask cluster that works the pieces off: tcp://… of its scheduler.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where tensors live: cpu, cuda, mps.")] = "cpu",
    csv: Annotated[bool, typer.Option("--csv", help="Write a table too: a row a run of each sweep.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Train first what is not there, in the place of results that ship.")
    ] = False,
    ship: Annotated[
        bool, typer.Option("--ship", help="Write small results into the runs' own folders, to travel without weights.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="Every name there is, by kind, with its options.")] = False,
) -> None:
    """Compute an analysis over its runs and write the report, reports/<analysis>.html.

    Results are kept in reports/<analysis>/<run>/; what is there already is not computed again. The folder reports is
    that of the folder in which the command is given. Of a run whose weights are not there the report tells what lies
    in RUN/results, which --ship wrote where they were.
    """
    if list_:
        _print_names()
        return
    if analysis is None:
        raise InterpError(f"which analysis? for example: {command_line('run', 'fourier', '--run', 'FOLDER')}")
    if importer and not run:
        raise InterpError("--importer says how to read --run PATH; give that too")
    if executor:
        check_name("executors", executor)
    if scheduler and ("://" not in scheduler or executor not in (None, "dask")):
        raise InterpError(f"--scheduler {scheduler} is for --executor dask, and an address such as tcp://host:8786")
    way = _Way(jobs, scheduler or executor, device, csv, again, ship)
    _run(analysis, tuple(run), importer, tuple(set_), way)


@dataclass(frozen=True)
class _Way:
    """What the work is done on, and what is done before and after the report."""

    jobs: int
    executor: str | None
    device: str
    csv: bool
    again: bool
    ship: bool


def _run(path: Path, runs: tuple[Path, ...], importer: str | None, overrides: tuple[str, ...], way: _Way) -> None:
    """Print what the report says: remembered where it is fresh, else computed."""
    from interp.recipes import analysis_recipe, shipped
    from interp.recipes.document import parse_value
    from interp.recipes.run_paths import report_file, source
    from interp.report import freshness

    path = shipped.locate(path)
    given = [source(run, parse_value(importer) if importer else None) for run in runs]
    if way.again:
        _train(given or analysis_recipe.read(path, overrides).sources, way)
    _check_sources(given)
    report = report_file(path, runs)
    asked = freshness.question(path, given, overrides, way.device)
    said, problems = None if way.csv or way.ship else freshness.remembered(report, asked), ()
    if said is None:
        if runs and (other := freshness.another_run(report, *runs)):
            print(
                f"warning: {report} was a report on {terminal.printable(other)}, which has the same name",
                file=sys.stderr,
            )
        analysis = analysis_recipe.read(path, overrides, given)
        _check_sources(analysis.sources)
        said, problems = _compute(analysis, way, report)
        if way.ship:
            said = "\n".join([said, *_ship(analysis, report)])
        elif not problems:
            freshness.remember(report, asked, said, *runs)
    print(f"{said}\n\nreport: {report}")
    if problems:
        raise InterpError("\n".join(problems))


def _check_sources(sources: Sequence[Source]) -> None:
    """Raises InterpError, before torch is loaded, where there is nothing to analyse."""
    from interp.recipes.run_paths import nothing_to_analyse

    if reasons := [reason for source in sources if (reason := nothing_to_analyse(source))]:
        raise InterpError("\n".join(reasons))


def _train(sources: Sequence[Source], way: _Way) -> None:
    """Train what is not there of the runs. Raises InterpError where they are not trained here."""
    from interp import train

    for one in sources:
        if one.importer:
            raise InterpError(f"--again is for what is trained here; {one.path} is read by {one.importer}")
        train.train_what_is_left(one.path, way.jobs, way.executor)


def _ship(analysis: Analysis, report: Path) -> list[str]:
    """Write what travels of the results that were just computed; a line for each file.

    Raises InterpError where the runs have no weights, are not of one recipe, or have no such result.
    """
    from interp.checkpoints import Sweep
    from interp.checkpoints.opening import open_runs
    from interp.results import shipping
    from interp.results.computing import is_across
    from interp.results.of_members import is_of_results
    from interp.train import minutes_to_train

    said = []
    runs = open_runs(analysis.sources, "cpu")
    for run in runs:
        trained = run.trained(minutes_to_train(run.path))
        axes = tuple(run.axes) if isinstance(run, Sweep) else ()
        for ask in analysis.asks:
            if is_of_results(ask):
                continue  # told anew from what the others found
            if is_across(ask) and len(runs) > 1:
                raise InterpError(f"{ask.label} is of several runs together: --ship it of one sweep, with --run")
            kept = report.with_suffix("") if is_across(ask) else report.with_suffix("") / run.name
            file = run.path / shipping.RESULTS / f"{ask.label}.nc"
            if len(runs) > 1 and not (kept / f"{ask.label}.nc").is_file():
                said.append(f"not shipped: {ask.label} of {run.path}, whose runs differ in its labels or sizes")
                continue
            shipped = shipping.ship(kept, ask, trained, analysis.steps, axes)
            before = run.beside if isinstance(run, Sweep) else None
            result, made_from, left_out = shipping.joined(*shipped, before, ask, axes)
            if not shipping.says_anything(result):
                said.append(f"not shipped: {ask.label} of {run.path}, which has no single number a run or a step")
                continue
            shipping.write(file, result, made_from)
            said.append(
                f"shipped: {file} ({file.stat().st_size / 1e3:,.0f} kB)" + (f"; {left_out}" if left_out else "")
            )
    return said


def _compute(analysis: Analysis, way: _Way, report: Path) -> tuple[str, tuple[str, ...]]:
    """Write the report; what it says, as plain text, and the mistakes of measures in telling their results."""
    from interp.checkpoints import Sweep
    from interp.checkpoints.opening import open_runs
    from interp.files.writing import ABANDONED, remove_abandoned
    from interp.machine import devices
    from interp.report import write
    from interp.report.plain_text import findings_text
    from interp.results.progress import Progress

    device = way.device
    devices.check(device)
    runs = open_runs(analysis.sources, device)
    for run in runs:
        if way.ship and run.shipped:
            raise InterpError(f"{run.path} has no weights here, and what ships is there; --again trains anew")
    if device != "cpu":
        for one, other in zip(runs, open_runs(analysis.sources, "cpu"), strict=True):
            if one.shipped:
                continue
            on_device, on_cpu = (next(iter(each)) if isinstance(each, Sweep) else each for each in (one, other))
            with contextlib.suppress(NothingToSay):  # weights of which nobody knows what they answer
                devices.compare(f"{on_device.name} on {device}", on_device.final.logits, on_cpu.final.logits)
    remove_abandoned(report.parent, ABANDONED)
    line = terminal.ProgressLine()

    def progress(now: Progress) -> None:
        left = "" if now.seconds_left is None else f", {terminal.duration(now.seconds_left)} left"
        done = f"{now.done:,} of {now.total:,} rows{left}"
        line.show(f"{now.run}: {now.measure}   {done}", last=now.done == now.total)

    page = write.report(analysis, runs, report, report.with_suffix(""), way.jobs, progress, way.executor)
    said = terminal.printable(findings_text(page))
    if way.csv:
        written = _write_tables(analysis, [run for run in runs if isinstance(run, Sweep)], report)
        said = "\n".join([said, *(f"table: {file}" for file in written)])
    return said, page.problems


def _write_tables(analysis: Analysis, sweeps: Sequence[Sweep], report: Path) -> list[Path]:
    """A row a run of each sweep, with the last values of what was measured; where they were written.

    Raises InterpError where there is no sweep.
    """
    from interp.files.writing import write_text
    from interp.results.computing import is_across
    from interp.results.of_members import is_of_results
    from interp.results.over_steps import over_steps

    if not sweeps:
        raise InterpError(f"--csv writes a row a run of a sweep, and {analysis.path} is of single runs")
    asks = [ask for ask in analysis.asks if not is_across(ask) and not is_of_results(ask)]
    written = []
    for sweep in sweeps:
        folder = report.with_suffix("") / sweep.name
        results = over_steps(asks, sweep, analysis.steps, folder) if asks else None
        file = folder.with_suffix(".csv") if len(sweeps) > 1 else report.with_suffix(".csv")
        write_text(file, sweep.to_dataframe(results).to_csv(index=False))
        written.append(file)
    return written


def _print_names() -> None:
    from interp.recipes import shipped

    print("analyses")
    for name, title in shipped.titles().items():
        print(f"  {name}\n      {title}")
    for kind in KINDS:
        print(kind)
        found = list(listings(kind))
        if not found:
            print("  none yet")
        for listing in found:
            print(f"  {listing.name}({listing.options})\n      {listing.claim}")


def console() -> None:
    """The console command: `interp run`, `interp train`, `interp describe`."""
    from interp import describe, train

    terminal.commands({"run": main, "train": train.main, "describe": describe.main})


if __name__ == "__main__":
    terminal.command(main)
