"""python -m interp.run analyses/fourier.yaml: compute an analysis and write its report."""

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
from interp.errors import InterpError, NothingToSay

if TYPE_CHECKING:
    from interp.recipes.analysis_recipe import Analysis
    from interp.recipes.run_paths import Source


def main(
    analysis: Annotated[Path | None, typer.Argument(help="An analysis, such as analyses/fourier.yaml.")] = None,
    run: Annotated[Path | None, typer.Option(help="Point the analysis at this run instead of its own.")] = None,
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
    device: Annotated[str, typer.Option(help="Where tensors live: cpu, cuda, mps.")] = "cpu",
    list_: Annotated[bool, typer.Option("--list", help="Every name there is, by kind, with its options.")] = False,
) -> None:
    """Compute an analysis over its runs and write the report, reports/<analysis>.html.

    Results are kept in reports/<analysis>/<run>/; what is there already is not computed again.
    """
    if list_:
        _print_names()
        return
    if analysis is None:
        raise InterpError("which analysis? for example: python -m interp.run analyses/fourier.yaml")
    if importer and not run:
        raise InterpError("--importer says how to read --run PATH; give that too")
    if executor:
        check_name("executors", executor)
    _run(analysis, run, importer, tuple(set_), _Machine(jobs, executor, device))


@dataclass(frozen=True)
class _Machine:
    """What the work is done on."""

    jobs: int
    executor: str | None
    device: str


def _run(path: Path, run: Path | None, importer: str | None, overrides: tuple[str, ...], machine: _Machine) -> None:
    """Print what the report says: remembered where it is fresh, else computed."""
    from interp.recipes import analysis_recipe
    from interp.recipes.document import parse_value
    from interp.recipes.run_paths import run_name, source
    from interp.report import freshness

    read_by = source(run, parse_value(importer) if importer else None) if run else None
    _check_sources([read_by] if read_by else [])
    name = f"{path.stem}-{run_name(run)}" if run else path.stem
    report = Path("reports") / f"{name}.html"
    asked = freshness.question(path, read_by, overrides, machine.device)
    said, problems = freshness.remembered(report, asked), ()
    if said is None:
        if run and (other := freshness.another_run(report, run)):
            print(
                f"warning: {report} was a report on {terminal.printable(other)}, which has the same name",
                file=sys.stderr,
            )
        analysis = analysis_recipe.read(path, overrides, read_by)
        _check_sources(analysis.sources)
        said, problems = _compute(analysis, machine, report)
        if not problems:
            freshness.remember(report, asked, said, run)
    print(f"{said}\n\nreport: {report}")
    if problems:
        raise InterpError("\n".join(problems))


def _check_sources(sources: Sequence[Source]) -> None:
    """Raises InterpError, before torch is loaded, where there is nothing to analyse."""
    from interp.recipes.run_paths import nothing_to_analyse

    if reasons := [reason for source in sources if (reason := nothing_to_analyse(source))]:
        raise InterpError("\n".join(reasons))


def _compute(analysis: Analysis, machine: _Machine, report: Path) -> tuple[str, tuple[str, ...]]:
    """Write the report; what it says, as plain text, and the mistakes of measures in telling their results."""
    from interp.checkpoints.opening import open_runs
    from interp.files.writing import ABANDONED, remove_abandoned
    from interp.machine import devices
    from interp.report import write
    from interp.report.plain_text import findings_text
    from interp.results.progress import Progress

    device = machine.device
    devices.check(device)
    runs = open_runs(analysis.sources, device)
    if device != "cpu":
        for on_device, on_cpu in zip(runs, open_runs(analysis.sources, "cpu"), strict=True):
            with contextlib.suppress(NothingToSay):  # weights of which nobody knows what they answer
                devices.compare(f"{on_device.name} on {device}", on_device.final.logits, on_cpu.final.logits)
    remove_abandoned(report.parent, ABANDONED)
    line = terminal.ProgressLine()

    def progress(now: Progress) -> None:
        left = "" if now.seconds_left is None else f", {terminal.duration(now.seconds_left)} left"
        done = f"{now.done:,} of {now.total:,} rows{left}"
        line.show(f"{now.run}: {now.measure}   {done}", last=now.done == now.total)

    page = write.report(analysis, runs, report, report.with_suffix(""), machine.jobs, progress, machine.executor)
    return terminal.printable(findings_text(page)), page.problems


def _print_names() -> None:
    for kind in KINDS:
        print(kind)
        found = list(listings(kind))
        if not found:
            print("  none yet")
        for listing in found:
            print(f"  {listing.name}({listing.options})\n      {listing.claim}")


if __name__ == "__main__":
    terminal.command(main)
