"""An analysis, computed and written: results in `<keep>/<run>/`, the report beside them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from interp.checkpoints import Run
from interp.errors import NoNumbersError
from interp.files.writing import write_text
from interp.recipes.analysis_recipe import Analysis
from interp.report import from_results, html
from interp.report.content import Page
from interp.report.from_results import Results
from interp.results import over_steps, schema

Progress = Callable[[str, int, int], None]


def report(
    analysis: Analysis,
    runs: Sequence[Run],
    path: Path,
    keep: Path | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Page:
    """Compute the analysis over `runs` and write the report to `path`; results are kept in `keep`/<run>.

    `progress(run, done, of)` is called as checkpoints finish. Of several runs those without finite weights are left
    out, with a warning. Raises InterpError. A mistake in a measure's `figure` or `summary` is among the page's
    `problems`.
    """
    across = [ask for ask in analysis.asks if schema.subject(ask.measure) == "runs"]
    own = [ask for ask in analysis.asks if ask not in across]
    found: list[tuple[Run, Results]] = []
    without: list[NoNumbersError] = []
    for run in runs if own else ():
        folder = keep / run.name if keep else None
        try:
            tree = over_steps.over_steps(own, run, analysis.steps, folder, jobs, _named(progress, run.name))
        except NoNumbersError as error:
            without.append(error)
        else:
            found.append((run, {ask.label: tree[ask.label].to_dataset() for ask in own}))
    if without and not found:
        raise without[0]
    for error in without:
        warnings.warn(f"{error}; it is left out", stacklevel=2)
    together = {ask.label: over_steps.of_runs(ask, runs, keep) for ask in across}
    page = from_results.page(analysis, found, together, runs)
    write_text(path, html.render(page))
    return page


def _named(progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    return (lambda done, of: progress(name, done, of)) if progress else None
