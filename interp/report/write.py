"""An analysis, computed and written: results in `<keep>/<run>/`, the report beside them."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from interp.checkpoints import Run
from interp.errors import NoNumbersError
from interp.files.writing import write_text
from interp.recipes.analysis_recipe import Analysis
from interp.report import from_results, html
from interp.report.content import Page
from interp.results.computing import Request, compute, is_across
from interp.results.over_steps import working
from interp.results.progress import Progress


def report(
    analysis: Analysis,
    runs: Sequence[Run],
    path: Path,
    keep: Path | None = None,
    jobs: int = 1,
    progress: Callable[[Progress], None] | None = None,
    executor: str | None = None,
) -> Page:
    """Compute the analysis over `runs` and write the report to `path`; results are kept in `keep`/<run>.

    `progress(Progress)` is called as rows are begun and finished; `executor` names what works the pieces off. Of
    several runs those without finite weights are left out, with a warning. Raises InterpError. A mistake in a
    measure's `figure` or `summary` is among the page's `problems`.
    """
    across = tuple(ask for ask in analysis.asks if is_across(ask))
    own = tuple(ask for ask in analysis.asks if ask not in across)
    with contextlib.ExitStack() as held:
        folder = keep or Path(held.enter_context(tempfile.TemporaryDirectory()))
        requests = [Request(own, (run,), folder / run.name, analysis.steps) for run in runs if own]
        requests += [Request(across, tuple(runs), folder, across=True)] if across else []
        with working(folder, jobs, executor) as workers:
            computed = compute(requests, workers, jobs, progress)
        together = computed.pop() if across else {}
        without = [one for one in (*computed, together) if isinstance(one, NoNumbersError)]
        found = [(run, one) for run, one in zip(runs, computed, strict=False) if not isinstance(one, NoNumbersError)]
        if without and not found:
            raise without[0]
        for error in without:
            warnings.warn(f"{error}; it is left out", stacklevel=2)
        page = from_results.page(analysis, found, {} if isinstance(together, NoNumbersError) else together, runs)
        write_text(path, html.render(page))
    return page
