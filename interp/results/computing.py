"""An analysis is worked off: which rows are wanted and good, the pieces of work that are left, and the results.

The pieces of all runs go to one executor, which starts its workers once. What is finished lies in files; where files
of a run were replaced, lost or found damaged meanwhile, that run is looked at again.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import xarray as xr

from interp.catalogue.names import current_digest, current_words, module_of
from interp.contracts.executor import Executor
from interp.errors import InterpError, NoNumbersError
from interp.recipes import step_choice
from interp.recipes.asks import Ask
from interp.recipes.step_choice import Steps
from interp.results import schema
from interp.results.account import Silent
from interp.results.progress import Meter, Progress
from interp.results.result_file import opened
from interp.results.rows import Key
from interp.results.series import Series
from interp.results.stored import Good, Stored, attributes_of
from interp.results.visit import NOT_FINITE, WORDS, Outcome, Piece, Work, scope_of, visit
from interp.results.warm_starts import block_of
from interp.summaries import listed_steps

ATTEMPTS = 3
"""At a run whose files are replaced while it is analysed."""

Result = xr.Dataset | Silent


@dataclass(frozen=True)
class Request:
    """What is computed of one run, or of several, into one folder."""

    asks: tuple[Ask, ...]
    runs: tuple[Series, ...]
    folder: Path
    steps: Steps = "all"
    across: bool = False
    """Whether the measures are of several runs."""


@dataclass
class _Rows:
    """The rows of one measure: where they stand, and what is good of them."""

    stored: Stored
    keys: list[Key]
    attributes: dict[str, str]
    good: Good


@dataclass
class _Job:
    """A request under way."""

    request: Request
    runs: tuple[Series, ...]
    results: dict[str, Result] = field(default_factory=dict)
    error: NoNumbersError | None = None


def is_across(ask: Ask) -> bool:
    """Whether a measure is of several runs: it has a row for each, or looks at all together."""
    return schema.subject(ask.measure) == "runs" or schema.is_over_runs(ask.measure)


def compute(
    requests: Sequence[Request], executor: Executor, jobs: int, progress: Callable[[Progress], None] | None = None
) -> list[dict[str, Result] | NoNumbersError]:
    """The results of each request, by label; NoNumbersError in the place of those of a run without finite weights."""
    under_way = [_Job(request, request.runs) for request in requests]
    for attempt in range(1, ATTEMPTS + 1):
        open_jobs = [job for job in under_way if not job.results and not job.error]
        planned = [(job, _plan(job)) for job in open_jobs]
        pieces = [piece for job, rows in planned for piece in _pieces(job, rows)]
        damaged = _work_off(pieces, executor, jobs, progress)
        for job, rows in planned:
            again = _looked_at_again(job, damaged, bool(pieces))
            if again is None:
                _finish(job, rows, {work.ask.label for piece in pieces for work in piece.works})
            elif attempt == ATTEMPTS:
                raise again
    return [job.error or job.results for job in under_way]


def _plan(job: _Job) -> dict[str, _Rows]:
    """The rows that are wanted, by label, and what is good of them."""
    request = job.request
    if not request.across:
        (run,) = job.runs
        visited = step_choice.choose(request.steps, run.steps, run.name)
        job.runs = (run.visiting(visited),)
    planned = {}
    for ask in request.asks:
        axes, keys = _places(ask, job, request.steps)
        stored = Stored(request.folder, ask, axes)
        attributes = attributes_of(ask, ", ".join(run.name for run in job.runs))
        planned[ask.label] = _Rows(stored, keys, attributes, stored.good(keys, _Answers(job.runs, axes), attributes))
    return planned


def _places(ask: Ask, job: _Job, steps: Steps) -> tuple[tuple[str, ...], list[Key]]:
    """The named axes in front of a measure's own, and the rows on them."""
    if schema.is_over_runs(ask.measure) and job.request.across:
        return ("run",), [(run.name,) for run in job.runs]
    if schema.subject(ask.measure) != "checkpoint":
        return (), [()]
    return ("step",), [(step,) for step in _steps_of(ask, job.runs[0], steps)]


def _steps_of(ask: Ask, run: Series, steps: Steps) -> list[int]:
    if ask.steps is not None:
        return step_choice.choose(ask.steps, run.steps, run.name)
    asked = step_choice.choose(steps, run.steps, run.name)
    own = getattr(module_of("measures", ask.measure), "steps", None)
    if own is None or isinstance(steps, list):  # listed steps are meant
        return asked
    chosen = set(own(run))
    return [step for step in asked if step in chosen] or asked[-1:]


class _Answers:
    """The present answers to the questions that rows were made from, each asked once."""

    def __init__(self, runs: Sequence[Series], axes: tuple[str, ...]) -> None:
        self._runs = {run.name: run for run in runs}
        self._by_run = axes == ("run",)
        self._known: dict[tuple[str, str], str] = {}

    def __call__(self, key: Key, question: str) -> str:
        name = str(key[0]) if self._by_run else next(iter(self._runs))
        if not self._by_run and len(self._runs) > 1:
            scope = next((run for run in self._runs.values() if question.startswith(scope_of(run))), None)
            name, question = (scope.name, question.removeprefix(scope_of(scope))) if scope else (name, question)
        if (name, question) not in self._known:
            self._known[name, question] = _answer(self._runs[name], question)
        return self._known[name, question]


def _answer(run: Series, question: str) -> str:
    kind, slash, name = question.removeprefix(WORDS).partition("/")
    if not slash or " " in kind:
        return run.answer(question)
    return current_words(kind, name) if question.startswith(WORDS) else current_digest(kind, name)


def _pieces(job: _Job, planned: Mapping[str, _Rows]) -> Iterator[Piece]:
    """The work that is left, in pieces that share no checkpoint."""
    blocks: dict[tuple[tuple[str, ...], int | Key], dict[str, Work]] = {}
    for label, rows in planned.items():
        axes = rows.stored.axes
        for block, of_block in itertools.groupby(rows.keys, _together):
            keys = list(of_block)
            if missing := rows.stored.missing(keys, rows.good):
                apart = axes or (label,)
                goes_on = rows.stored.goes_on and missing[0] != keys[0]
                blocks.setdefault((apart, block), {})[label] = Work(rows.stored.ask, missing, goes_on)
    for works in blocks.values():
        axes = planned[next(iter(works))].stored.axes
        yield Piece(_runs_of(job, axes, works), axes, job.request.folder, tuple(works.values()))


def _together(key: Key) -> int | Key:
    """Rows with the same answer are computed in one go: those of one block of steps, or of one run."""
    return key if key and isinstance(key[-1], str) else block_of(key)


def _runs_of(job: _Job, axes: tuple[str, ...], works: Mapping[str, Work]) -> tuple[Series, ...]:
    if axes == ("run",):
        ((name,),) = next(iter(works.values())).keys
        return tuple(run for run in job.runs if run.name == name)
    return tuple(run.scoped(scope_of(run)) for run in job.runs) if len(job.runs) > 1 else job.runs


def _work_off(
    pieces: Sequence[Piece], executor: Executor, jobs: int, progress: Callable[[Progress], None] | None
) -> list[Outcome]:
    """Compute and store the rows of all pieces; those that met a file that could not be read."""
    rows: dict[str, int] = {}
    for work in (work for piece in pieces for work in piece.works):
        rows[work.ask.label] = rows.get(work.ask.label, 0) + len(work.keys)
    meter = Meter(rows, jobs, progress)
    return [outcome for outcome in executor.run(visit, pieces, meter.tell) if outcome.damage] if pieces else []


def _looked_at_again(job: _Job, damaged: Sequence[Outcome], worked: bool) -> InterpError | None:
    """Why the job has to be planned once more, its runs as they are now; None where nothing changed meanwhile."""
    names = {run.name for run in job.runs}
    own = [outcome.damage for outcome in damaged if outcome.run in names and outcome.damage]
    if not own and not (worked and any(run.has_changed() for run in job.runs)):
        return None
    fresh = []
    for run in job.runs:
        for error in own:
            run.remember_damage(error)
        fresh.append(run.refreshed(run.known_steps))
    job.runs = tuple(fresh)
    name = job.runs[0].name
    return own[0] if own else InterpError(f"{name}: files changed while it was analysed; start again to go on")


def _finish(job: _Job, planned: Mapping[str, _Rows], worked: Container[str]) -> None:
    """Merge what is there, and open the results; `worked` are the labels of which rows were computed."""
    silent: dict[str, str] = {}
    not_finite: set[int] = set()
    for label, rows in planned.items():
        good = rows.good
        if label in worked:
            good = rows.stored.good(rows.keys, _Answers(job.runs, rows.stored.axes), rows.attributes)
        if not good.places.keys() >= set(rows.keys):
            raise InterpError(f"{job.runs[0].name}: files changed while {label} was computed; start again to go on")
        as_told = good.whole and rows.stored.says_the_same()
        reasons = rows.stored.reasons() if as_told else rows.stored.merge(rows.keys, good, rows.attributes)
        not_finite |= {int(key[-1]) for key, reason in reasons.items() if reason == NOT_FINITE and key}
        if len(reasons) == len(rows.keys):
            silent[label] = "; ".join(dict.fromkeys(reasons.values()))
            job.results[label] = Silent(label, rows.stored.ask.measure, silent[label])
        else:
            job.results[label] = opened(rows.stored.file)
    name = job.runs[0].name
    if silent and set(silent) == set(planned) and set(silent.values()) == {NOT_FINITE}:
        job.error = NoNumbersError(f"{name}: the weights are not finite numbers at any of the steps asked for")
    elif not_finite:
        warnings.warn(f"{name}: the weights at {listed_steps(sorted(not_finite))} are not finite", stacklevel=6)
