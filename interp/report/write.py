"""An analysis, computed and written: results below `reports/<analysis>/<run>/`, the report beside them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import xarray as xr

from interp.checkpoints import Run
from interp.errors import NoNumbersError
from interp.files.writing import write_text
from interp.recipes.asks import Ask
from interp.recipes.step_choice import Steps
from interp.report import from_results, html
from interp.report.content import Page
from interp.results import over_steps, schema

Progress = Callable[[str, int, int], None]


def report(
    title: str,
    source: str,
    text: str,
    asks: Sequence[Ask],
    runs: Sequence[Run],
    steps: Steps,
    path: Path,
    keep: Path | None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Page:
    """Compute `asks` over `runs` and write the report to `path`; results are kept in `keep`/<run>.

    `progress(run, done, of)` is called as checkpoints finish. Of several runs those without finite weights are left
    out, with a warning. Raises InterpError.
    """
    per_run = [ask for ask in asks if schema.subject(ask.measure) != "runs"]
    found: dict[str, tuple[Run, dict[str, xr.Dataset]]] = {}
    without: list[NoNumbersError] = []
    for run in runs if per_run else ():
        own = keep / run.name if keep else None
        try:
            tree = over_steps.over_steps(per_run, run, steps, own, jobs, _named(progress, run.name))
        except NoNumbersError as error:
            without.append(error)
        else:
            found[run.name] = run, {ask.label: tree[ask.label].to_dataset() for ask in per_run}
    if without and not found:
        raise without[0]
    for error in without:
        warnings.warn(f"{error}; it is left out", stacklevel=2)
    across = {ask.label: over_steps.of_runs(ask, runs, keep) for ask in asks if ask not in per_run}
    page = from_results.page(title, source, text, asks, found, across, runs)
    write_text(path, html.render(page))
    return page


def _named(progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    return (lambda done, of: progress(name, done, of)) if progress else None
