"""An analysis, computed and written: results in `<keep>/<run>/`, the report beside them."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from interp.checkpoints import Run, Sweep
from interp.errors import InterpError, NoNumbersError, command_line
from interp.executors.shared.working import working
from interp.files.writing import write_text
from interp.recipes.analysis_recipe import Analysis
from interp.recipes.asks import Ask
from interp.recipes.step_choice import Steps
from interp.report import from_results, html, parents
from interp.report.content import Page
from interp.results.computing import Request, Result, compute, is_across
from interp.results.of_members import answers, check, is_of_results, of_one_run
from interp.results.progress import Progress
from interp.summaries import listed


def report(
    analysis: Analysis,
    runs: Sequence[Run | Sweep],
    path: Path,
    keep: Path | None = None,
    jobs: int = 1,
    progress: Callable[[Progress], None] | None = None,
    executor: str | None = None,
) -> Page:
    """Compute the analysis over runs and sweeps and write the report to `path`; results are kept in `keep`/<run>.

    `progress(Progress)` is called as rows are begun and finished; `executor` names what works the pieces off. Of
    several runs those without finite weights are left out, with a warning. Raises InterpError. A mistake in a
    measure's `figure` or `summary` is among the page's `problems`.
    """
    across = tuple(ask for ask in analysis.asks if is_across(ask))
    own = tuple(ask for ask in analysis.asks if ask not in across)
    with contextlib.ExitStack() as held:
        folder = keep or Path(held.enter_context(tempfile.TemporaryDirectory()))
        measured = tuple(ask for ask in own if not is_of_results(ask))
        check(own, *(run.axes for run in runs if isinstance(run, Sweep)))
        requests = [_request(measured, run, folder / run.name, analysis.steps) for run in runs if own]
        of_parents = parents.requests(measured, runs, folder, analysis.steps)
        requests += of_parents.values()
        singles = _singles(runs) if across else ()
        requests += [_request_across(across, runs, singles, folder)] if across else []
        with working(folder, "an analysis", jobs, executor) as workers:
            computed = compute(requests, workers, jobs, progress)
        together = computed.pop() if across else {}
        computed, earlier = computed[: len(runs)], computed[len(computed) - len(of_parents) :]
        without = [one for one in (*computed, together) if isinstance(one, NoNumbersError)]
        found = [
            (run, one | _of_results(own, one, run, len(runs) > 1))
            for run, one in zip(runs, computed, strict=False)
            if not isinstance(one, NoNumbersError)
        ]
        if without and not found:
            raise without[0]
        for error in without:
            warnings.warn(f"{error}; it is left out", stacklevel=2)
        read_from = requests[-1].shipped if across else None
        results = {} if isinstance(together, NoNumbersError) else together
        known = [{} if isinstance(one, NoNumbersError) else one for one in earlier]
        before = parents.before(runs, {run.name: one for run, one in found}, dict(zip(of_parents, known, strict=True)))
        page = from_results.page(analysis, found, results, singles, read_from, before)
        write_text(path, html.render(page))
    return page


def _request(asks: tuple[Ask, ...], run: Run | Sweep, folder: Path, steps: Steps) -> Request:
    if isinstance(run, Sweep):
        return Request(asks, (), folder, steps, grid=run)
    return Request(asks, (run,), folder, steps)


def _request_across(
    asks: tuple[Ask, ...], runs: Sequence[Run | Sweep], singles: tuple[Run, ...], folder: Path
) -> Request:
    """What is computed of all runs together. Raises InterpError where the weights of some are not there."""
    without = [run for run in runs if run.shipped]
    if without and len(runs) > 1:
        names = listed([run.name for run in without])
        raise InterpError(
            f"of {names} there are results, but no weights: {listed([ask.label for ask in asks])} looks at all runs "
            f"together and needs them; train first: {command_line('train', without[0].path)}"
        )
    if without and isinstance(without[0], Sweep):
        return Request(asks, (), folder, across=True, grid=without[0])
    return Request(asks, singles, folder, across=True)


def _of_results(
    asks: Sequence[Ask], found: dict[str, Result], run: Run | Sweep, among_others: bool
) -> dict[str, Result]:
    """What the measures among these say that look at what the others found."""
    return answers(asks, found, run.axes, among_others) if isinstance(run, Sweep) else of_one_run(asks)


def _singles(runs: Sequence[Run | Sweep]) -> tuple[Run, ...]:
    """Each run by itself, those of sweeps too."""
    return tuple(one for run in runs for one in (run if isinstance(run, Sweep) else [run]))
