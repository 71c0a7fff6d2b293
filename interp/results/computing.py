"""An analysis is worked off: which rows are wanted and good, the pieces of work that are left, and the results.

The pieces of all runs go to one executor, which starts its workers once. What is finished lies in files; where files
of a run were replaced, lost or found damaged meanwhile, that run is looked at again.
"""

from __future__ import annotations

import functools
import itertools
import json
import warnings
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xarray as xr

from interp.catalogue.names import module_of
from interp.contracts.executor import Executor
from interp.errors import InterpError, NoNumbersError
from interp.recipes import step_choice
from interp.recipes.asks import Ask
from interp.recipes.step_choice import Steps
from interp.results import schema
from interp.results.account import Silent
from interp.results.code_notes import answer_of_code, is_of_code
from interp.results.progress import Meter, Progress
from interp.results.remembered import OfRun, Remembered, recalled, remember, state_of
from interp.results.result_file import UnlikeRunsError, opened
from interp.results.rows import Key
from interp.results.series import Series, SeriesGrid
from interp.results.shipping import Shipped
from interp.results.stored import Good, Stored, attributes_of
from interp.results.visit import NOT_FINITE, Piece, Visited, Work, scope_of, visit
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
    grid: SeriesGrid | None = None
    """Many runs that stand on axes, in the place of `runs`."""

    @property
    def shipped(self) -> Shipped | None:
        """The results that stand in the place of weights which are not there."""
        of = self.runs[0] if self.grid is None and len(self.runs) == 1 else self.grid
        return None if of is None else of.shipped

    @property
    def labels(self) -> dict[str, tuple[int | float | str, ...]]:
        """The labels of the runs along each axis of the grid; empty where there is none."""
        return {} if self.grid is None else {axis: tuple(along) for axis, along in self.grid.axes.items()}


@dataclass
class _Rows:
    """The rows of one measure: where they stand, and what is good of them."""

    stored: Stored
    keys: list[Key]
    attributes: dict[str, str]
    answers: _Answers
    good: Good


@dataclass
class _Job:
    """A request under way."""

    request: Request
    runs: tuple[Series, ...]
    results: dict[str, Result] = field(default_factory=dict)
    error: NoNumbersError | None = None
    on_grid: dict[Key, Series] = field(default_factory=dict)
    """The runs of a grid that were opened, by place."""
    stamps: dict[Key, str] = field(default_factory=dict)
    """Those of all of them, before anything is computed."""
    known: dict[str, Remembered] = field(default_factory=dict)
    """What is remembered of each measure's rows, and holds still."""

    @property
    def trusted(self) -> set[Key]:
        """The places of runs that are as they were when the rows were made."""
        if set(self.known) != {ask.label for ask in self.request.asks}:
            return set()
        return {
            place
            for place, stamp in self.stamps.items()
            if stamp and all(place in one.runs and one.runs[place].stamp == stamp for one in self.known.values())
        }

    def run_at(self, place: Key) -> Series:
        """The run at a place of the grid, opened once. Raises InterpError where it cannot be opened."""
        if place not in self.on_grid:
            assert self.request.grid is not None
            run = self.request.grid.opened(place)
            self.on_grid[place] = run.visiting(step_choice.choose(self.request.steps, run.steps, run.name))
        return self.on_grid[place]


def is_across(ask: Ask) -> bool:
    """Whether a measure is of several runs: it has a row for each, or looks at all together."""
    return schema.subject(ask.measure) == "runs" or schema.is_over_runs(ask.measure)


def compute(
    requests: Sequence[Request], executor: Executor, jobs: int, progress: Callable[[Progress], None] | None = None
) -> list[dict[str, Result] | NoNumbersError]:
    """The results of each request, by label; NoNumbersError in the place of those of a run without finite weights."""
    under_way = [_Job(request, request.runs) for request in requests]
    for job in under_way:
        _recall(job)
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
    if request.grid is not None:
        return _plan_grid(job, request.grid)
    if not request.across:
        (run,) = job.runs
        visited = step_choice.choose(request.steps, run.steps, run.name)
        job.runs = (run.visiting(visited),)
    planned = {}
    for ask in request.asks:
        axes, keys = _places(ask, job, request.steps)
        stored = Stored(request.folder, ask, axes)
        attributes = attributes_of(ask, ", ".join(run.name for run in job.runs))
        answers = _Answers(job, axes)
        planned[ask.label] = _Rows(stored, keys, attributes, answers, stored.good(keys, answers, attributes))
    return planned


def _recall(job: _Job) -> None:
    """What is remembered of the rows over a grid; where it is of all of them, or ships, the results are there."""
    request, grid = job.request, job.request.grid
    if request.shipped:
        job.results = _of_those_that_ship(request, request.shipped)
        return
    if grid is None:
        return
    job.stamps = {place: grid.stamp(place) for place in grid.places}
    if not job.stamps:
        raise InterpError(f"{grid.name} has no runs with checkpoints yet; train them first")
    for ask in request.asks:
        _check_names(ask, grid)
        stored = Stored(request.folder, ask, (), request.labels)
        known = recalled(request.folder, ask.label)
        if (
            known
            and known.asked == _asked(stored, request)
            and known.state == state_of(stored.file)
            and all(answer_of_code(question) == answer for question, answer in known.code.items())
        ):
            job.known[ask.label] = known
    trusted = job.trusted
    labels = json.dumps(request.labels)
    whole = all(one.runs.keys() == trusted and one.labels == labels for one in job.known.values())
    if trusted == job.stamps.keys() and whole:
        for ask in request.asks:
            known, file = job.known[ask.label], request.folder / f"{ask.label}.nc"
            job.results[ask.label] = Silent(ask.label, ask.measure, known.silent) if known.silent else opened(file)


def _of_those_that_ship(request: Request, shipped: Shipped) -> dict[str, Result]:
    """The results as they ship, nothing computed. Raises InterpError where none of those asked for does."""
    found = {ask.label: shipped.result(ask, request.steps) for ask in request.asks}
    if not any(shipped.has(ask) for ask in request.asks):
        (first, *_) = found.values()
        assert isinstance(first, Silent)
        raise InterpError(f"{shipped.folder} has no weights here, and {first.reason}")
    return found


def _asked(stored: Stored, request: Request) -> str:
    """What a result over a grid is the answer to, and what its file says of itself."""
    assert request.grid is not None
    told = attributes_of(stored.ask, request.grid.name)
    axes = list(request.labels)
    return json.dumps([stored.call, request.steps, stored.ask.steps, axes, told], sort_keys=True, default=str)


def _check_names(ask: Ask, grid: SeriesGrid) -> None:
    """Raises InterpError where a measure has an axis or an array that is called like an axis of the grid."""
    for own in (*schema.schemas_of(ask.measure).values(), *schema.schemas_joined(ask.measure)):
        for name in ({one.name for one in own.fields} | {*own.axes}) & grid.axes.keys():
            raise InterpError(
                f"{ask.measure} has an array or an axis {name!r} of its own, and so has {grid.name}; "
                f"give that of the grid another name: grid: {{zip: {{other_{name}: {{key: values}}}}}}"
            )


def _plan_grid(job: _Job, grid: SeriesGrid) -> dict[str, _Rows]:
    """The rows over a grid: runs that are as they were are not opened."""
    request, trusted = job.request, job.trusted
    for place in list(job.stamps):
        if place in trusted:
            continue
        try:
            job.run_at(place)
        except InterpError as error:
            warnings.warn(f"{grid.name}: a run is left out: {error}", stacklevel=5)
            del job.stamps[place]
    if not job.stamps:
        raise InterpError(f"{grid.name} has no run that can be opened")
    job.runs = tuple(job.on_grid.values())
    planned = {}
    for ask in request.asks:
        stepped = schema.subject(ask.measure) == "checkpoint"
        keys: list[Key] = []
        for place in job.stamps:
            if place in trusted:
                keys += job.known[ask.label].runs[place].keys
            elif stepped:
                keys += [(*place, step) for step in _steps_of(ask, job.on_grid[place], request.steps)]
            else:
                keys.append(place)
        stored = Stored(request.folder, ask, (*grid.axes, *(["step"] if stepped else [])), request.labels)
        attributes = attributes_of(ask, grid.name)
        answers = _Answers(job, stored.axes)
        planned[ask.label] = _Rows(stored, keys, attributes, answers, stored.good(keys, answers, attributes))
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

    def __init__(self, job: _Job, axes: tuple[str, ...]) -> None:
        self._runs = {run.name: run for run in job.runs}
        self._by_run = axes == ("run",)
        self._job, self._trusted, self._lead = job, job.trusted, len(job.request.labels)
        self._known: dict[tuple[Any, str], str] = {}
        self.code: dict[str, str] = {}
        """Question -> answer, of those that are about no run."""

    def __call__(self, key: Key, question: str, digest: str) -> bool:
        """Whether the answer is still what was noted."""
        if not self._lead:
            return self._answer(key, question) == digest
        if is_of_code(question):
            if question not in self.code:
                self.code[question] = answer_of_code(question)
            return self.code[question] == digest
        place = key[: self._lead]
        if place in self._trusted:
            return True
        run = self._job.on_grid.get(place)
        if run is None:
            return False
        if (place, question) not in self._known:
            self._known[place, question] = run.answer(question)
        return self._known[place, question] == digest

    def _answer(self, key: Key, question: str) -> str:
        name = str(key[0]) if self._by_run else next(iter(self._runs))
        if not self._by_run and len(self._runs) > 1:
            scope = next((run for run in self._runs.values() if question.startswith(scope_of(run))), None)
            name, question = (scope.name, question.removeprefix(scope_of(scope))) if scope else (name, question)
        if (name, question) not in self._known:
            self._known[name, question] = _answer(self._runs[name], question)
        return self._known[name, question]


def _answer(run: Series, question: str) -> str:
    return answer_of_code(question) if is_of_code(question) else run.answer(question)


def _pieces(job: _Job, planned: Mapping[str, _Rows]) -> Iterator[Piece]:
    """The work that is left, in pieces that share no checkpoint."""
    blocks: dict[tuple[tuple[str, ...], Key], dict[str, Work]] = {}
    whole = bool(job.request.labels) and not any(rows.stored.goes_on for rows in planned.values())
    for label, rows in planned.items():
        axes = rows.stored.axes
        together = functools.partial(_together, axes, whole)
        for block, of_block in itertools.groupby(rows.keys, together):
            keys = list(of_block)
            if missing := rows.stored.missing(keys, rows.good):
                apart = axes or (label,)
                goes_on = rows.stored.goes_on and missing[0] != keys[0]
                blocks.setdefault((apart, block), {})[label] = Work(rows.stored.ask, missing, goes_on)
    for works in blocks.values():
        axes = planned[next(iter(works))].stored.axes
        runs = _runs_of(job, axes, works)
        yield Piece(runs, axes, job.request.folder, tuple(works.values()), job.request.labels)


def _together(axes: tuple[str, ...], whole: bool, key: Key) -> Key:
    """Rows with the same answer are computed in one go: those of one block of steps, or of one (`whole`) run."""
    if axes[-1:] != ("step",):
        return key
    return key[:-1] if whole else block_of(key)


def _runs_of(job: _Job, axes: tuple[str, ...], works: Mapping[str, Work]) -> tuple[Series, ...]:
    if labels := job.request.labels:
        return (job.run_at(next(iter(works.values())).keys[0][: len(labels)]),)
    if axes == ("run",):
        ((name,),) = next(iter(works.values())).keys
        return tuple(run for run in job.runs if run.name == name)
    return tuple(run.scoped(scope_of(run)) for run in job.runs) if len(job.runs) > 1 else job.runs


def _work_off(
    pieces: Sequence[Piece], executor: Executor, jobs: int, progress: Callable[[Progress], None] | None
) -> list[Visited]:
    """Compute and store the rows of all pieces; those that met a file that could not be read."""
    rows: dict[str, int] = {}
    for work in (work for piece in pieces for work in piece.works):
        rows[work.ask.label] = rows.get(work.ask.label, 0) + len(work.keys)
    meter = Meter(rows, jobs, progress)
    return [outcome for outcome in executor.run(visit, pieces, meter.tell) if outcome.damage] if pieces else []


def _looked_at_again(job: _Job, damaged: Sequence[Visited], worked: bool) -> InterpError | None:
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
    job.on_grid = dict(zip(job.on_grid, fresh, strict=True)) if job.request.grid is not None else {}
    name = job.runs[0].name
    return own[0] if own else InterpError(f"{name}: files changed while it was analysed; start again to go on")


def _finish(job: _Job, planned: Mapping[str, _Rows], worked: Container[str]) -> None:
    """Merge what is there, and open the results; `worked` are the labels of which rows were computed."""
    silent: dict[str, str] = {}
    not_finite: set[int] = set()
    name = job.request.grid.name if job.request.grid is not None else job.runs[0].name
    for label, rows in planned.items():
        good, answers = rows.good, rows.answers
        if label in worked:
            answers = _Answers(job, rows.stored.axes)
            good = rows.stored.good(rows.keys, answers, rows.attributes)
        if not good.places.keys() >= set(rows.keys):
            raise InterpError(f"{name}: files changed while {label} was computed; start again to go on")
        as_told = good.whole and rows.stored.says_the_same()
        try:
            reasons = rows.stored.reasons() if as_told else rows.stored.merge(rows.keys, good, rows.attributes)
        except UnlikeRunsError as unlike:
            rows.stored.file.unlink(missing_ok=True)
            job.results[label] = Silent(label, rows.stored.ask.measure, str(unlike))
            continue
        not_finite |= {int(key[-1]) for key, reason in reasons.items() if reason == NOT_FINITE and key}
        if len(reasons) == len(rows.keys):
            silent[label] = "; ".join(dict.fromkeys(reasons.values()))
            job.results[label] = Silent(label, rows.stored.ask.measure, silent[label])
        else:
            job.results[label] = opened(rows.stored.file)
        if job.request.grid is not None:
            _remember(job, rows, answers.code, silent.get(label, ""))
    if silent and set(silent) == set(planned) and set(silent.values()) == {NOT_FINITE}:
        job.error = NoNumbersError(f"{name}: the weights are not finite numbers at any of the steps asked for")
    elif not_finite:
        count = f"{len(not_finite):,} steps of its runs" if job.request.grid is not None else ""
        warnings.warn(
            f"{name}: the weights at {count or listed_steps(sorted(not_finite))} are not finite", stacklevel=6
        )


def _remember(job: _Job, rows: _Rows, code: Mapping[str, str], silent: str) -> None:
    """Note of which runs the rows over a grid are, so that those that stay as they are need not be opened again."""
    lead = len(job.request.labels)
    keys = {place: tuple(own) for place, own in itertools.groupby(rows.keys, lambda key: key[:lead])}
    known = Remembered(
        asked=_asked(rows.stored, job.request),
        runs={place: OfRun(job.stamps[place], own) for place, own in keys.items() if job.stamps[place]},
        code=code,
        state=state_of(rows.stored.file),
        labels=json.dumps(job.request.labels),
        silent=silent,
    )
    remember(job.request.folder, rows.stored.ask.label, known)
