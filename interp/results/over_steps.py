"""Measures over a run: labelled arrays, computed once, kept on disk, resumed.

Each checkpoint is visited once for all the measures asked for, and its forward pass is shared. Rows are
written as they are finished, so a killed analysis goes on where it was.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import json
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from interp import provenance
from interp.catalogue.names import current_digest, find, module_of
from interp.checkpoints import Checkpoint, Run
from interp.errors import DamagedError, InterpError
from interp.files.lock import locked
from interp.machine import denormals, workers
from interp.recipes import step_choice
from interp.recipes.asks import Ask, asks
from interp.results import schema, warm_starts
from interp.results.rows import Row
from interp.results.stored import CALL, WHOLE_RUN, Kept, Work, opened
from interp.results.warm_starts import Link

if TYPE_CHECKING:
    from interp.summaries import Summary

ATTEMPTS = 3
"""At an analysis whose files are replaced while it runs."""


def over_steps(
    measures: str | Iterable[Any] | Mapping[str, Any],
    run: Run,
    steps: step_choice.Steps = "all",
    keep: str | Path | None = None,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Any:
    """Measures over a run, as labelled arrays.

    One measure by name gives an `xarray.Dataset`; a list or a mapping gives an `xarray.DataTree` with a
    node per measure, `results.embedding_dft.power`. With `keep`, a folder, results are stored there and
    only what is missing or was made from something else is computed. `jobs` worker processes share the
    work; the numbers do not depend on how many. `progress(done, of)` is called as checkpoints finish.

    Checkpoints that cannot be read are left out, with a warning; those that are added meanwhile are for the
    next time, and where one is replaced meanwhile its rows are computed again.

    Raises InterpError where a measure, option or step is not there, or `keep` is in use.
    """
    if not isinstance(run, Run):
        raise InterpError(f"{run!r} is not a run; open it first: interp.open_run({str(run)!r})")
    wanted = asks(measures)
    for one in wanted:
        if schema.subject(one.measure) == "runs":
            raise InterpError(f"{one.measure} measures several runs together: name it, and them, in an analysis")
    if keep is None:
        with tempfile.TemporaryDirectory() as folder:
            found = {
                label: result.load()
                for label, result in _over(wanted, run, steps, Path(folder), jobs, progress).items()
            }
    else:
        with locked(Path(keep), "an analysis"):
            found = _over(wanted, run, steps, Path(keep), jobs, progress)
    return found[wanted[0].label] if isinstance(measures, str) else xr.DataTree.from_dict(found, name=run.name)


def _over(
    wanted: list[Ask],
    run: Run,
    steps: step_choice.Steps,
    folder: Path,
    jobs: int,
    progress: Callable[[int, int], None] | None,
) -> dict[str, xr.Dataset]:
    workers.wait_for_those_left(folder)
    kept = {one.label: Kept(folder, one.label, one.measure, one.options) for one in wanted}
    for attempt in range(1, ATTEMPTS + 1):
        try:
            now = run.snapshot()
            now = now.visited_at(step_choice.choose(steps, now.steps, now.name))
            _bring_up_to_date(kept, wanted, now, steps, folder, jobs, progress)
            break
        except DamagedError:
            if attempt == ATTEMPTS:
                raise
    return {label: opened(result.file) for label, result in kept.items()}


def _bring_up_to_date(
    kept: Mapping[str, Kept],
    wanted: list[Ask],
    run: Run,
    steps: step_choice.Steps,
    folder: Path,
    jobs: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Compute what is missing. Raises DamagedError where that was in vain: a file was replaced or lost meanwhile."""
    rows = {one.label: _steps_of(one, run, steps) for one in wanted}
    good = {label: result.good(run, rows[label]) for label, result in kept.items()}
    blocks = _blocks(kept, rows, good)
    _visit_all(run, wanted, folder, blocks, jobs, progress)
    after = run.renewed() if blocks else run
    blank: set[int] = set()
    for one in wanted:
        result = kept[one.label]
        places = result.good(after, rows[one.label]) if blocks else good[one.label]
        if not places.keys() >= set(rows[one.label]):
            raise DamagedError(f"{run.name}: files changed while {one.label} was computed; start again to go on")
        if not result.is_made_of(rows[one.label], places):
            blank.update(result.merge(run, rows[one.label], places, _attributes(one, run)))
    if blank:
        warnings.warn(f"{run.name}: the weights at {step_choice.listed(sorted(blank))} are not finite", stacklevel=4)


def _steps_of(one: Ask, run: Run, steps: step_choice.Steps) -> list[int]:
    if schema.subject(one.measure) != "checkpoint":
        return [WHOLE_RUN]
    if one.steps is not None:
        return step_choice.choose(one.steps, run.steps, run.name)
    asked = step_choice.choose(steps, run.steps, run.name)
    own = getattr(module_of("measures", one.measure), "steps", None)
    if own is None or isinstance(steps, list):  # listed steps are meant
        return asked
    chosen = set(own(run))
    return [step for step in asked if step in chosen] or asked[-1:]


def _blocks(
    kept: Mapping[str, Kept], rows: Mapping[str, list[int]], good: Mapping[str, Mapping[int, Path]]
) -> list[dict[str, Work]]:
    """The work by label, in pieces that share no checkpoint."""
    blocks: dict[int, dict[str, Work]] = {}
    for label, result in kept.items():
        for number, steps in itertools.groupby(rows[label], warm_starts.block):
            if work := result.work(list(steps), good[label]):
                blocks.setdefault(number, {})[label] = work
    return [blocks[number] for number in sorted(blocks)]


def _visit_all(
    run: Run,
    wanted: list[Ask],
    folder: Path,
    blocks: list[dict[str, Work]],
    jobs: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Compute and store the rows of all blocks."""
    total = sum(len(_visited(block)) for block in blocks)
    done = 0

    def finished(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    if jobs <= 1 or len(blocks) <= 1:
        for block in blocks:
            _visit(run, wanted, folder, block, finished)
        return
    with workers.pool(min(jobs, len(blocks)), folder) as pool:
        try:
            futures = {pool.submit(_visit, run, wanted, folder, block): block for block in blocks}
            for future in concurrent.futures.as_completed(futures):
                future.result()
                finished(len(_visited(futures[future])))
        except concurrent.futures.process.BrokenProcessPool:
            raise InterpError(
                "a worker process was killed (out of memory?); what was finished is kept: start again to go on"
            ) from None
        except BaseException:  # Ctrl-C too: without this the pool would first compute every block that waits
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _visited(block: dict[str, Work]) -> list[int]:
    """The checkpoints a block needs, ascending."""
    return sorted({step for work in block.values() for step in work.steps} - {WHOLE_RUN})


def _visit(
    run: Run,
    wanted: list[Ask],
    folder: Path,
    block: dict[str, Work],
    finished: Callable[[int], None] | None = None,
) -> None:
    """Compute and store the rows of one block."""
    todo = [one for one in wanted if one.label in block]
    results = {one.label: Kept(folder, one.label, one.measure, one.options) for one in todo}
    before = {
        label: result.chain(block[label].steps[0]).link() if block[label].goes_on else Link()
        for label, result in results.items()
        if result.chained
    }
    with _one_thread():
        for step in _visited(block) or [WHOLE_RUN]:
            subject = run if step == WHOLE_RUN else run[step]
            for one in todo:
                if step not in block[one.label].steps:
                    continue
                result = results[one.label]
                with denormals.flushed():
                    row, answer = _row(run, subject, one, result, before.get(one.label))
                result.write_part(step, row)
                if result.chained:
                    before[one.label] = result.chain(step).keep(step, row.reads, answer)
            if finished and step != WHOLE_RUN:
                finished(1)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """The same sums in the same order, however many jobs there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _row(run: Run, subject: Run | Checkpoint, one: Ask, kept: Kept, before: Link | None) -> tuple[Row, Any]:
    """One measure's answer, and what it was made from."""
    asked = {CALL: kept.call} | (
        {warm_starts.BEFORE: before.lineage} if before else {}
    )  # not what a measure around it was
    with provenance.recording() as reads:
        provenance.note("recipe", run.recipe_digest)
        for call in (run.task_call, run.model_call):
            provenance.note(f"{call.kind}/{call.name}", current_digest(call.kind, call.name))
        if isinstance(subject, Checkpoint):
            provenance.note(f"step {subject.step}", subject.digest)
            if not subject.finite:
                find("measures", one.measure)
                return Row(None, reads | asked), None
        options = dict(one.options) | ({"previous": before.answer} if before else {})
        try:
            if isinstance(subject, Checkpoint) and not before:
                record = subject.measure(one.measure, **options)
            else:
                record = find("measures", one.measure)(subject, **options)
        except Exception as error:  # whatever a measure raises, told where it was
            error.add_note(f"in measure {one.label} on {subject!r}")
            raise
    return Row(schema.values(kept.schema, record, one.measure), reads | asked), record


def _attributes(one: Ask, run: Run) -> dict[str, str]:
    caption = schema.caption("measures", one.measure)
    return {
        "measure": one.measure,
        "options": json.dumps(one.options, sort_keys=True, default=str),
        "run": run.name,
        "claim": caption.claim,
        "caption": caption.prose,
        "formula": "\n".join(caption.formulas),
        "paper": caption.paper,
    }


def panels(measure: str, result: xr.Dataset) -> list[Any]:
    """The measure's own `figure(result)`, or a panel per array, chosen by its axes."""
    from interp.figures import panels

    own = getattr(module_of("measures", measure), "figure", None)
    return list(own(result)) if own else panels.default(result)


def summary(measure: str, result: xr.Dataset) -> Summary | None:
    """What the measure's `summary(result)` says of the whole run, from the steps at which it has numbers."""
    own = getattr(module_of("measures", measure), "summary", None)
    blank = blank_steps(result)
    return own(result if blank.all() else result.isel(step=~blank)) if own else None


def blank_steps(result: xr.Dataset) -> np.ndarray:
    """[step] True where a result has no numbers at all: the weights were not finite, or the measure says nothing."""
    numbers = [array for array in result.data_vars.values() if array.dtype.kind == "f" and "step" in array.dims]
    if not numbers:
        return np.zeros(result.sizes.get("step", 0), bool)
    return np.all([array.isnull().all([dim for dim in array.dims if dim != "step"]) for array in numbers], axis=0)


def of_runs(one: Ask, runs: Sequence[Run], keep: Path | None) -> xr.Dataset:
    """A measure of several runs together, called once."""
    with tempfile.TemporaryDirectory() as temporary, _one_thread(), denormals.flushed():
        kept = Kept(keep or Path(temporary), one.label, one.measure, one.options)
        record = find("measures", one.measure)(list(runs), **one.options)
        row = Row(schema.values(kept.schema, record, one.measure), {CALL: kept.call})
        kept.write_part(WHOLE_RUN, row)
        kept.merge(runs[0], [WHOLE_RUN], kept.good(runs[0], [WHOLE_RUN]), _attributes(one, runs[0]))
        return opened(kept.file).load()
