"""Results -> a page: what the run is, what was found, and every measure with its panels."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr

from interp.catalogue.names import module_of
from interp.catalogue.options import default_options
from interp.checkpoints import Run
from interp.recipes import step_choice
from interp.recipes.asks import Ask
from interp.report.content import Finding, Page, Panel, RunPage, Section, Variable
from interp.results import over_steps, schema
from interp.summaries import Phase

SAYS_NOTHING = "This measure says nothing about this run: its caption tells what it needs."


def page(
    title: str,
    source: str,
    text: str,
    asks: Sequence[Ask],
    runs: Mapping[str, tuple[Run, Mapping[str, xr.Dataset]]],
    across: Mapping[str, xr.Dataset],
    together: Sequence[Run] = (),
) -> Page:
    """A report on `runs`, name -> (run, results by label); `across` are the measures of the runs `together`."""
    per_run = [ask for ask in asks if ask.label not in across]
    said = {ask.label: over_steps.summary(ask.measure, across[ask.label]) for ask in asks if ask.label in across}
    return Page(
        title=title,
        source=source,
        text=text,
        runs=tuple(_run_page(run, per_run, found) for run, found in runs.values()),
        across=tuple(_section(ask, across[ask.label], None) for ask in asks if ask.label in across),
        facts=_common_facts(together) if across else (),
        findings=_findings(said),
        versions={name: version(name) for name in ("interp", "torch", "xarray", "plotly")},
    )


def _run_page(run: Run, asks: Sequence[Ask], found: Mapping[str, xr.Dataset]) -> RunPage:
    said = {ask.label: over_steps.summary(ask.measure, found[ask.label]) for ask in asks}
    stepped = [found[ask.label].step.values for ask in asks if "step" in found[ask.label].dims]
    return RunPage(
        name=run.name,
        facts=_facts(run),
        findings=_findings(said),
        phases=_phases(said.values()),
        steps=np.unique(np.concatenate(stepped)) if stepped else np.array(run.steps),
        sections=tuple(_section(ask, found[ask.label], run) for ask in asks),
    )


def _findings(said: Mapping[str, Any]) -> tuple[Finding, ...]:
    """What the measures say, the same sentence once."""
    found = {
        summary.sentence: Finding(label, summary.sentence, summary.values) for label, summary in said.items() if summary
    }
    return tuple(found.values())


def _phases(summaries: Any) -> tuple[Phase, ...]:
    return next((summary.phases for summary in summaries if summary and summary.phases), ())


def _facts(run: Run) -> tuple[tuple[str, str], ...]:
    train = run.task.train
    split = "split unknown" if train is None else f"{float(train.double().mean()):.0%} of {len(train):,} pairs"
    steps = run.steps
    facts = [
        (run.name, ""),
        (run.task.description, split),
        (run.model_call.name, run.architecture.description),
        (
            f"{len(steps):,} checkpoint{'s' * (len(steps) > 1)}",
            f"steps {steps[0]:,}–{steps[-1]:,}" if len(steps) > 1 else f"step {steps[0]:,}",
        ),
    ]
    if run.training:
        options = run.training.optimiser.options
        shown = ", ".join(f"{name} {options[name]:g}" for name in ("lr", "weight_decay") if name in options)
        facts.insert(3, (run.training.optimiser.name, shown))
    facts += [(f"{step_choice.listed(gone.steps)} left out:", gone.reason) for gone in run.left_out]
    facts += [("", note) for note in run.notes]
    return tuple(facts)


def _common_facts(runs: Sequence[Run]) -> tuple[tuple[str, str], ...]:
    """How many runs there are, and what is true of each."""
    first, *others = [_facts(run) for run in runs]
    name = os.path.commonprefix([run.name for run in runs])  # noqa: RUF071 (of letters: seed=0, seed=1)
    shared = [fact for fact in first[1:] if all(fact in facts for facts in others)]
    return (f"{len(runs)} run{'s' * (len(runs) > 1)}", f"{name}…" if others and name else name), *shared


def _section(ask: Ask, result: xr.Dataset, run: Run | None) -> Section:
    caption = schema.caption("measures", ask.measure)
    note = _note(result, run)
    panels = over_steps.panels(ask.measure, result) if note != SAYS_NOTHING else []
    drawn = [Panel(panel.draw(), _code(ask, panel.title, run)) for panel in panels]
    if result.sizes.get("step") == 1:
        drawn, over_training = _apart(drawn)
        note = " ".join(filter(None, [note, _at_the_only_step(result, over_training)]))
    return Section(
        label=ask.label,
        heading=_heading(ask),
        claim=caption.claim,
        caption=caption.prose,
        formulas=caption.formulas,
        paper=caption.paper,
        panels=tuple(drawn),
        variables=tuple(_variable(array) for array in result.data_vars.values()),
        note=note,
    )


def _lower(text: str) -> str:
    """With a small first letter, unless it is a name: L2 norm."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _heading(ask: Ask) -> str:
    """The first line of the measure's file, or its name in words; the label where it has one of its own."""
    first = (module_of("measures", ask.measure).__doc__ or "").strip().partition("\n")[0].rstrip(".")
    heading = first or ask.measure.replace("_", " ").capitalize()
    return heading if ask.label == ask.measure else f"{heading} ({ask.label})"


def _note(result: xr.Dataset, run: Run | None) -> str:
    """Of how many checkpoints, where not of all; and where there are no numbers, that there are none, and why."""
    blank = over_steps.blank_steps(result)
    if len(blank) and blank.all():
        return SAYS_NOTHING
    said = []
    if run is not None and 0 < len(blank) < len(run.steps):
        close = step_choice.close_together(result.step.values.tolist(), run.steps)
        closely = f", most closely {' and '.join(f'from step {a:,} to {b:,}' for a, b in close)}" if close else ""
        said.append(f"Measured at {len(blank)} of the {len(run.steps)} checkpoints{closely}.")
    if blank.any():
        said.append(f"There are no numbers at {blank.sum()} of {len(blank)} steps.")
    empty = [str(name) for name, array in result.data_vars.items() if array.dtype.kind == "f" and not array.count()]
    if empty:
        unknown = run is not None and run.task.train is None
        reason = "Which pairs were trained on is unknown, so there are no numbers for" if unknown else "No numbers for"
        said.append(f"{reason} {', '.join(f'`{name}`' for name in empty)}.")
    return " ".join(said)


def _apart(panels: list[Panel]) -> tuple[list[Panel], list[str]]:
    """The panels of one step, and the titles of those over training."""
    return (
        [panel for panel in panels if not panel.drawing.time_axis],
        [panel.drawing.title for panel in panels if panel.drawing.time_axis],
    )


def _at_the_only_step(result: xr.Dataset, over_training: list[str]) -> str:
    """What stands in the place of curves over training where there is one checkpoint."""
    if not over_training:
        return ""
    numbers = [
        f"{_lower(str(array.attrs.get('long_name', array.name)))} {float(array[0]):.4g} "
        f"{array.attrs.get('units', '')}".rstrip()
        for array in result.data_vars.values()
        if array.dims == ("step",) and array.dtype.kind == "f" and array.count()
    ]
    shown = f" At its step: {'; '.join(numbers)}." if numbers else ""
    return f"There is one checkpoint: {', '.join(over_training)} would need more.{shown}"


def _code(ask: Ask, title: str, run: Run | None) -> str:
    """The three lines of Python that draw a panel."""
    if run is None:
        return ""
    options = "".join(f", {name}={value!r}" for name, value in _changed(ask).items())
    return f"import interp\nrun = {run.opening}\nrun.show({ask.measure!r}, panel={title!r}{options})"


def _changed(ask: Ask) -> dict[str, Any]:
    defaults = default_options("measures", ask.measure)
    return {name: value for name, value in ask.options.items() if defaults.get(name) != value}


def _variable(array: xr.DataArray) -> Variable:
    return Variable(
        name=str(array.name),
        dims=tuple(map(str, array.dims)),
        values=array.values,
        coords={str(dim): array[dim].values.tolist() for dim in array.dims},
        long_name=str(array.attrs.get("long_name", "")),
        units=str(array.attrs.get("units", "")),
    )


def text(page: Page) -> str:
    """The findings as plain text, for the terminal."""
    lines = [finding.sentence.replace("**", "") for finding in page.findings]
    for run in page.runs:
        sentences = " ".join(finding.sentence.replace("**", "") for finding in run.findings)
        lines.append(f"{run.name}: {sentences}" if len(page.runs) > 1 else sentences)
    return "\n".join(lines)
