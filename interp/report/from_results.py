"""Results -> a page: what the run is, what was found, and every measure with its panels.

A measure that says nothing at any step has no section: it stands in a list with the others and the reason. A mistake in
a measure's `figure` or `summary` is told in the place of what it would have given, and the page stands all the same.
"""

from __future__ import annotations

import functools
import os
import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import numpy as np
import xarray as xr

from interp.catalogue.names import PACKAGE, module_of
from interp.catalogue.options import changed_options
from interp.checkpoints import Run, Sweep
from interp.errors import InterpError, shown
from interp.figures import Curves, DrawnPanel, Panel
from interp.findings import Finding
from interp.recipes import shipped, step_choice
from interp.recipes.analysis_recipe import Analysis
from interp.recipes.asks import Ask
from interp.report.content import Facts, Page, RunPage, Section, Told
from interp.report.of_sweep import sweep_page
from interp.report.parents import Before
from interp.report.sections import section, silences, variable
from interp.results import account
from interp.results.account import NOTHING, Silent
from interp.results.of_members import is_of_results
from interp.results.shipping import THINNED, Shipped
from interp.summaries import listed_steps, number, plural, without_capital
from interp.training.outcome import early_end

Results = Mapping[str, xr.Dataset | Silent]
"""Label -> what was measured, or why it says nothing."""
OF_SPLIT = re.compile("train|test|novel")
"""In the name of an array that is about the training examples or the others."""
T = TypeVar("T")


def page(
    analysis: Analysis,
    of_runs: Sequence[tuple[Run | Sweep, Results]],
    across: Results,
    runs: Sequence[Run],
    read_from: Shipped | None = None,
    before: Mapping[str, Before] | None = None,
) -> Page:
    """The report on an analysis: the results of each run or sweep by itself, and `across`, those of all `runs`.

    `read_from` is what those across were read from, where that is not their weights; `before` is, by the name of a run
    that has a parent, what is known of that.
    """
    earlier = before or {}
    own = [ask for ask in analysis.asks if ask.label not in across]
    together = [ask for ask in analysis.asks if ask.label in across]
    told = _told(together, across)
    return Page(
        title=analysis.title,
        source=shipped.as_written(analysis.path),
        text=analysis.text,
        paper=analysis.paper,
        runs=tuple(
            _sweep_page(run, analysis, own, results)
            if isinstance(run, Sweep)
            else _run_page(run, own, results, earlier.get(run.name, {}))
            for run, results in of_runs
        ),
        across=_sections(together, across, None),
        facts=_common_facts(runs) if across and runs else (),
        findings=told,
        silences=silences(across),
        remarks=tuple(read_from.remarks(together)) if read_from else (),
        versions={name: version(name) for name in ("interp", "torch", "xarray", "plotly")},
    )


def _sweep_page(sweep: Sweep, analysis: Analysis, asks: Sequence[Ask], results: Results) -> RunPage:
    of_results = [ask for ask in asks if is_of_results(ask) and ask.label in results]
    sections = {one.label: one for one in _sections(of_results, results, None)}
    page = sweep_page(sweep, analysis, asks, results, sections)
    findings = sorted([*_told(of_results, results), *page.findings], key=lambda one: one.place)
    return replace(page, findings=tuple(findings))


def _run_page(run: Run, asks: Sequence[Ask], results: Results, before: Before) -> RunPage:
    told = _told(asks, results)
    stepped = [one.step.values for one in results.values() if isinstance(one, xr.Dataset) and "step" in one.dims]
    phases = (one.finding.phases for one in told if one.finding.phases)
    return RunPage(
        name=run.name,
        facts=_facts(run),
        findings=told,
        phases=next(phases, ()),
        steps=np.unique(np.concatenate(stepped)) if stepped else np.array(_steps(run)),
        sections=_sections(asks, results, run, before),
        silences=silences(results),
        before=np.unique(np.concatenate([one.step.values for one in before.values()] or [np.array([], int)])),
        remarks=tuple(run.shipped.remarks(asks)) if run.shipped else (),
    )


def _sections(
    asks: Iterable[Ask], results: Results, run: Run | None, before: Before | None = None
) -> tuple[Section, ...]:
    found = ((ask, results[ask.label]) for ask in asks)
    return tuple(
        _section(ask, result, run, (before or {}).get(ask.label))
        for ask, result in found
        if isinstance(result, xr.Dataset)
    )


def _told(asks: Iterable[Ask], results: Results) -> tuple[Told, ...]:
    """What the measures found, in the order in which a report tells it; the same sentence once."""
    told: dict[str, Told] = {}
    for ask in asks:
        result = results[ask.label]
        if not isinstance(result, xr.Dataset):
            continue
        said = _attempt(f"The summary of `{ask.label}`", ask, functools.partial(account.findings, ask.measure, result))
        if isinstance(said, str):
            told[said] = Told(ask.label, Finding.without_records(said), is_problem=True)
        else:
            for finding in said:
                told.setdefault(finding.text, Told(ask.label, finding))
    return tuple(sorted(told.values(), key=lambda one: one.place))


def _attempt(what: str, ask: Ask, make: Callable[[], T]) -> T | str:
    """What `make` gives; where it fails, one line that says so, with the place in the measure's code."""
    try:
        return make()
    except Exception as error:  # whatever a measure's own code raises
        home = Path(module_of("measures", ask.measure).__file__ or "")
        own = home.parent if home.stem == "__init__" else home
        frames = traceback.extract_tb(error.__traceback__)
        inside = [frame for frame in frames if Path(frame.filename).is_relative_to(own)]
        place = f"{_short(inside[-1].filename)}:{inside[-1].lineno}" if inside else _short(str(home))
        return f"{what} could not be made ({place}): {type(error).__name__}: {shown(error)}"


def _short(path: str) -> str:
    root = PACKAGE.parent
    return str(Path(path).relative_to(root)) if Path(path).is_relative_to(root) else path


def _steps(run: Run) -> list[int]:
    """Those with weights; the last that was trained, where results ship in the place of all of them."""
    return [run.shipped.trained.ends[()][0]] if run.shipped else run.steps


def _facts(run: Run) -> Facts:
    train, steps = run.task.train, [] if run.shipped else run.steps
    split = (
        "split unknown"
        if train is None
        else f"{float(train.double().mean()):.0%} of {len(train):,} {plural(run.task.noun)}"
    )
    facts = [(run.name, ""), (run.task.description, split), (run.model_call.name, run.architecture.description)]
    if run.training:
        options = run.training.optimiser.options
        rates = [f"{name} {number(options[name], 4)}" for name in ("lr", "weight_decay") if name in options]
        facts.append((run.training.optimiser.name, ", ".join([*rates, run.training.dtype])))
    several = len(steps) > 1
    if steps:
        extent = f"steps {steps[0]:,}–{steps[-1]:,}" if several else f"step {steps[0]:,}"
        facts.append((f"{len(steps):,} checkpoint{'s' * several}", extent))
    facts += [(f"{listed_steps(gone.steps)} left out:", gone.reason) for gone in run.left_out]
    facts += [("", note) for note in (*_early_end(run), *run.notes)]
    return tuple(facts)


def _common_facts(runs: Sequence[Run]) -> Facts:
    """How many runs there are, and what is true of each."""
    first, *others = [_facts(run) for run in runs]
    name = os.path.commonprefix([run.name for run in runs])  # noqa: RUF071 (of letters: seed=0, seed=1)
    shared = [fact for fact in first[1:] if all(fact in facts for facts in others)]
    return (f"{len(runs)} run{'s' * (len(runs) > 1)}", f"{name}…" if others and name else name), *shared


def _section(ask: Ask, result: xr.Dataset, run: Run | None, before: xr.Dataset | None = None) -> Section:
    panels, problems = _panels(ask, result, run, before)
    note = _note(result, run)
    if run is not None and run.child_of and any(panel.shows_before for panel in panels):
        parent = run.child_of
        note = " ".join(filter(None, [note, f"In grey, up to step {parent.step:,}, its parent, {parent.run}."]))
    if result.sizes.get("step") == 1:
        note = " ".join(filter(None, [note, _at_the_only_step(result, [p.title for p in panels if p.time_axis])]))
        panels = [panel for panel in panels if not panel.time_axis]
    return section(
        ask,
        panels=tuple(panels),
        variables=tuple(variable(array) for array in result.data_vars.values()),
        note=note,
        problems=tuple(problems),
    )


def _panels(
    ask: Ask, result: xr.Dataset, run: Run | None, before: xr.Dataset | None
) -> tuple[list[DrawnPanel], list[str]]:
    """The measure's panels, and how those failed that could not be drawn."""
    asked = _attempt(f"The figure of `{ask.label}`", ask, functools.partial(_asked, ask, result))
    if isinstance(asked, str):
        return [], [asked]
    if before is not None:
        earlier = _attempt("The parent's figure", ask, functools.partial(_asked, ask, before))
        asked = asked if isinstance(earlier, str) else _after(asked, earlier)
    drawn = [_attempt(f"The panel {panel.title!r}", ask, panel.draw) for panel in asked]
    panels = [replace(panel, code=_code(ask, panel.title, run)) for panel in drawn if isinstance(panel, DrawnPanel)]
    return panels, [problem for problem in drawn if isinstance(problem, str)]


def _asked(ask: Ask, result: xr.Dataset) -> list[Panel]:
    asked = account.panels(ask.measure, result)
    for panel in asked:
        if not isinstance(panel, Panel):
            raise TypeError(f"it holds a {type(panel).__name__}; return panels, such as interp.figures.Curves")
    return asked


def _after(asked: Iterable[Panel], earlier: Iterable[Panel]) -> list[Panel]:
    """The panels, those of curves over training with what the parent's of the same title show."""
    of_parent = {panel.title: panel for panel in earlier if isinstance(panel, Curves)}
    return [
        panel.after(of_parent[panel.title]) if isinstance(panel, Curves) and panel.title in of_parent else panel
        for panel in asked
    ]


def _note(result: xr.Dataset, run: Run | None) -> str:
    """At how many checkpoints it was measured, where not at all of them; and where there are no numbers, and why."""
    blank = account.blank_steps(result)
    said = []
    if THINNED in result.attrs:
        said.append(f"{result.attrs[THINNED]}; what is said of the run is that of all of them.")
    elif run is not None and not run.shipped and 0 < len(blank) < len(run.steps):
        close = step_choice.close_together(result.step.values.tolist(), run.steps)
        closely = f", most closely {' and '.join(f'from step {a:,} to {b:,}' for a, b in close)}" if close else ""
        said.append(f"Measured at {len(blank)} of the {len(run.steps)} checkpoints{closely}.")
    reasons = str(result.attrs.get(NOTHING, ""))
    if blank.any():
        why = f": {reasons}" if reasons else ""
        said.append(f"There are no numbers at {blank.sum()} of {len(blank)} steps{why}.")
    elif reasons:
        said.append(f"It has nothing to say everywhere: {reasons}.")
    empty = [str(name) for name, array in result.data_vars.items() if array.dtype.kind == "f" and not array.count()]
    unknown = run is not None and run.task.train is None
    of_split = [name for name in empty if unknown and OF_SPLIT.search(name)]
    others = [name for name in empty if name not in of_split]
    if of_split:
        listed_names = ", ".join(f"`{name}`" for name in of_split)
        said.append(f"The train and test examples are unknown, so there are no numbers for {listed_names}.")
    if others:
        said.append(f"No numbers for {', '.join(_and_what_it_is(result[name]) for name in others)}.")
    return " ".join(said)


def _and_what_it_is(array: xr.DataArray) -> str:
    """A variable's name, and in brackets what it would be, by which one sees why it may have no number."""
    what = str(array.attrs.get("long_name", ""))
    return f"`{array.name}` ({without_capital(what)})" if what else f"`{array.name}`"


def _early_end(run: Run) -> list[str]:
    """That the training ended before its last step, and why: the curves alone do not tell it."""
    if run.training is None:
        return []
    try:
        ended = early_end(run.path)
    except InterpError:  # the next training finds out
        return []
    if ended is None:
        return []
    if ended.end == "diverged":
        return [f"It diverged: its loss was not finite at step {ended.step:,}. What is told is of the steps before."]
    return [f"It ended early, at step {ended.step:,}, where what its recipe waits for was reached."]


def _at_the_only_step(result: xr.Dataset, over_training: list[str]) -> str:
    """What stands in the place of the panels over training, given by their titles, where there is one checkpoint."""
    if not over_training:
        return ""
    numbers = [
        f"{without_capital(str(array.attrs.get('long_name', array.name))).partition('; NaN')[0]} "
        f"{number(float(array[0]), 4)} "
        f"{array.attrs.get('units', '')}".rstrip()
        for array in result.data_vars.values()
        if array.dims == ("step",) and array.dtype.kind == "f" and array.count()
    ]
    at_its_step = f" At its step: {'; '.join(numbers)}." if numbers else ""
    return f"There is one checkpoint: {', '.join(over_training)} would need more.{at_its_step}"


def _code(ask: Ask, title: str, run: Run | None) -> str:
    """The three lines of Python that show a panel."""
    if run is None:
        return ""
    changed = changed_options("measures", ask.measure, ask.options)
    options = "".join(f", {name}={value!r}" for name, value in changed.items())
    return f"import interp\nrun = {run.opening}\nrun.show({ask.measure!r}, panel={title!r}{options})"
