"""Results over many runs -> what the page says of them: a table of the runs, and how each number goes over training.

A page holds a bounded part of the numbers, whatever the number of runs: steps are thinned, and it says so; all of them
stand in the result files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from interp.checkpoints import Sweep
from interp.checkpoints.run import described
from interp.errors import command_line
from interp.figures import ManyCurves, Mosaic, Panel, PhaseDiagram, Table
from interp.figures.choice import of_array
from interp.figures.many_curves import SPARE_COLOURS
from interp.recipes.analysis_recipe import Analysis
from interp.recipes.asks import Ask
from interp.recipes.grid import text_of
from interp.recipes.run_paths import report_file
from interp.recipes.shipped import as_written
from interp.report import word_shares
from interp.report.content import Facts, RunPage, Section, Told
from interp.report.over_runs import REPLICATES, over_the_runs, short_title
from interp.report.sections import section, silences, variable
from interp.results.account import NOTHING, Silent
from interp.results.of_members import is_of_results
from interp.results.shipping import THINNED
from interp.summaries import number

MOST_NUMBERS = 20_000
"""Those of one array, in the page's data."""
MOST_STEPS = 200
"""Along a curve."""
MOST_WORDS = 8
"""So many colours are told apart."""
FEWEST_NUMBERS = 4
"""Fewer are read off a table; a drawing of them says no more."""
WORDS = {
    "grokked": "generalised",
    "grokking": "generalised",
    "generalised": "plateau",
    "comprehension": "plateau",
    "together": "train",
    "memorised": "test",
    "memorisation": "test",
    "high test loss": "test",
    "neither": "quiet",
    "confusion": "quiet",
    "high train loss": "quiet",
}
"""The colours of what becomes of a run, the same in every definition."""

Results = Mapping[str, xr.Dataset | Silent]


def sweep_page(
    sweep: Sweep, analysis: Analysis, asks: Sequence[Ask], results: Results, compared: Mapping[str, Section]
) -> RunPage:
    """What is said of a sweep: a section for each of these measures of an analysis, and its runs in a table.

    `compared` are the sections of the measures that look at what the others found, by label.
    """
    there = {label: result for label, result in results.items() if isinstance(result, xr.Dataset)}
    found = {label: result for label, result in there.items() if label not in compared}
    stepped = [result.step.values for result in found.values() if "step" in result.dims]
    return RunPage(
        name=sweep.name,
        facts=_facts(sweep),
        findings=tuple(
            Told(ask.label, finding)
            for ask in asks
            if ask.label in found
            for shares in _shares(sweep, found[ask.label])
            for finding in word_shares.findings(shares)
        ),
        phases=(),
        steps=np.unique(np.concatenate(stepped)) if stepped else np.array([0]),
        sections=(
            *(compared.get(ask.label) or _section(sweep, ask, found[ask.label]) for ask in asks if ask.label in there),
            _runs(sweep, analysis, found),
        ),
        silences=silences(results),
        remarks=tuple(_remarks(sweep, asks)),
    )


def _remarks(sweep: Sweep, asks: Sequence[Ask]) -> list[str]:
    """Where the numbers are from, where that is not the weights of all its runs."""
    if sweep.shipped:
        return sweep.shipped.remarks(ask for ask in asks if not is_of_results(ask))
    if len(sweep) < len(sweep.members) and sweep.beside:
        return [f"The results that ship with {sweep.name} are not read, for weights of some of its runs are here."]
    return []


def _facts(sweep: Sweep) -> Facts:
    axes = " × ".join(f"{len(labels):,} {axis}" for axis, labels in sweep.axes.items())
    there = len(sweep)
    if sweep.shipped:
        trained = sweep.shipped.trained
        there = sum(tuple(member.labels.values()) in trained.ends for member in sweep.members)
        (task, _), model = trained.described
    else:
        (task, _), model = described(sweep.opened(sweep.places[0]))
    return (sweep.name, ""), (f"{there:,} of {len(sweep.members):,} runs", axes), (task, "the first run's"), model


def _runs(sweep: Sweep, analysis: Analysis, results: Mapping[str, xr.Dataset]) -> Section:
    """The table of the runs: labels, how far each is, the last of what the measures say, and each one's own report."""
    frame = sweep.to_dataframe(xr.DataTree.from_dict(dict(results)))
    names = frame.pop("member").astype(str).to_numpy()
    run = xr.DataArray(names, dims="run", name="run")
    columns = {str(name): xr.DataArray(_column(values), {"run": run}, ("run",)) for name, values in frame.items()}
    text = (
        "A row a run, with the last value of each number; a click on a heading sorts. A name leads to its own report."
    )
    reports = [report_file(analysis.path, [member.path]) for member in sweep.members]
    written = [report.is_file() for report in reports]
    commands = [
        "" if there else command_line("run", as_written(analysis.path), "--run", member.path)
        for there, member in zip(written, sweep.members, strict=True)
    ]
    if sweep.shipped:
        text += f" What is not here is trained first: `{_trains_one(sweep)}`."
    elif not all(written):
        columns["what writes its own report"] = xr.DataArray(commands, {"run": run}, ("run",))
    links = [report.name if there else "" for there, report in zip(written, reports, strict=True)]
    panel = Table("Runs", columns, digits=4, links=xr.DataArray(links, {"run": run}, ("run",))).draw()
    return Section("runs", "Runs", "", text, (), "", (panel,), ())


def _trains_one(sweep: Sweep) -> str:
    """The command that trains the first of its runs."""
    labels = sweep.members[0].labels.items()
    return command_line("train", sweep.path, "--only", ",".join(f"{axis}={text_of(label)}" for axis, label in labels))


def _column(values: pd.Series) -> np.ndarray:
    """Numbers, or texts; what is not there is empty."""
    if pd.api.types.is_numeric_dtype(values):
        whole = pd.api.types.is_integer_dtype(values) and not values.isna().any()
        return values.to_numpy(np.int64) if whole else values.to_numpy(np.float64, na_value=np.nan)
    return values.astype(object).where(values.notna(), "").astype(str).to_numpy()


def _shares(sweep: Sweep, result: xr.Dataset) -> list[xr.Dataset]:
    """The words of each run, counted, for each array of words."""
    found = (word_shares.word_shares(array, tuple(sweep.axes)) for array in result.data_vars.values())
    return [one for one in found if one is not None]


def _section(sweep: Sweep, ask: Ask, result: xr.Dataset) -> Section:
    axes = tuple(sweep.axes)
    of_runs = {str(name): array for name, array in result.data_vars.items() if array.dims == axes}
    curves = {
        str(name): array
        for name, array in result.data_vars.items()
        if array.dims == (*axes, "step") and array.dtype.kind in "fi"
    }
    words = [_of_runs(array) for array in of_runs.values() if array.dtype.kind in "UO"]
    told = {name: array for name, array in of_runs.items() if array.dtype.kind in "fib"}
    constant = {name: value for name, array in (told | curves).items() if (value := _only_value(array)) is not None}
    drawn = [array for name, array in told.items() if array.size >= FEWEST_NUMBERS and name not in constant]
    numbers = [_of_runs(array) for array in drawn]
    over = over_the_runs(of_runs)
    shares = _shares(sweep, result)
    settings = [word_shares.settings_table(one) for one in shares]
    panels: list[Panel] = [panel for panel in (*words, *settings, over, *numbers) if panel]
    panels += [_curves(array, axes) for name, array in curves.items() if name not in constant]
    panels += _aligned(curves, of_runs)
    left_out = [f"`{name}`" for name in result.data_vars if name not in of_runs and name not in curves]
    variables, notes = [], []
    for array in result.data_vars.values():
        if not set(array.dims) <= {*axes, "step"}:
            continue
        thinned, every = _thinned(array)
        variables.append(variable(thinned))
        if every > 1:
            notes.append(f"Of `{array.name}` the page holds every {every}th step.")
    variables += [variable(array) for one in shares for array in one.data_vars.values()]
    if THINNED in result.attrs:
        notes.append(f"{result.attrs[THINNED]}; what is said of each run is that of all of them.")
    if left_out:
        notes.append(f"Not drawn for many runs, and in the result's .nc file: {', '.join(left_out)}.")
    notes += [_of_constant(result[name], value) for name, value in constant.items()]
    if reasons := str(result.attrs.get(NOTHING, "")):
        notes.append(f"Some places are blank: {reasons}.")
    return section(
        ask,
        panels=tuple(panel.draw() for panel in panels),
        variables=tuple(variables),
        note=" ".join(dict.fromkeys(notes)),
    )


def _only_value(array: xr.DataArray) -> float | None:
    """The value that all runs have at all steps, of which a panel would show nothing; None where there are several."""
    known = np.unique(array.values[np.isfinite(array.values)])
    return float(known[0]) if known.size == 1 and array.size > 1 else None


def _of_constant(array: xr.DataArray, value: float) -> str:
    if array.dtype.kind == "b":
        return f"{short_title(array)}: so it is in {'every run' if value else 'no run'}."
    everywhere = "every run, at every step" if "step" in array.dims else "every run that has a number"
    return f"{short_title(array)}: {number(value, 4)} in {everywhere}."


def _thinned(array: xr.DataArray) -> tuple[xr.DataArray, int]:
    """As many of its steps, evenly spaced and the last among them, as the page has room for."""
    if "step" not in array.dims or array.size <= MOST_NUMBERS:
        return array, 1
    every = math.ceil(array.size / MOST_NUMBERS)
    return array.isel(step=_places(array.sizes["step"], every)), every


def _places(count: int, every: int) -> list[int]:
    return sorted({*range(0, count, every), count - 1})


def _curves(array: xr.DataArray, axes: Sequence[str]) -> ManyCurves:
    """How a number goes over training in all runs; by the only axis that is no seed, where its places are few."""
    array = array.isel(step=_places(array.sizes["step"], math.ceil(array.sizes["step"] / MOST_STEPS)))
    numbers = array.where(array != -1) if array.dtype.kind == "i" else array
    numbers.attrs = array.attrs
    known = numbers.values[np.isfinite(numbers.values)]
    log = bool(known.size and known.min() > 0 and known.max() > 1000 * known.min())
    settings = [axis for axis in axes if axis not in REPLICATES]
    by = settings[0] if len(settings) == 1 and array.sizes[settings[0]] <= len(SPARE_COLOURS) else None
    return ManyCurves(short_title(array), numbers, by=by, log=log)


def _aligned(curves: Mapping[str, xr.DataArray], of_runs: Mapping[str, xr.DataArray]) -> list[Panel]:
    """The test accuracies of the runs that generalised, each moved to the step at which it did, where both are told."""
    accuracy, event = curves.get("test_accuracy"), of_runs.get("test_step")
    if accuracy is None or event is None or not np.isfinite(event.values).any():
        return []
    title = f"{short_title(accuracy)}, from where each run generalised"
    return [ManyCurves(title, accuracy, event=event, event_name="where it generalised", percent=True)]


def _of_runs(array: xr.DataArray) -> Panel | None:
    """What suits one number, or one word, of each run; None where it can only stand in a table."""
    if array.dtype.kind in "UO":
        words = array.astype(str)
        return Mosaic(short_title(array), words, WORDS) if 1 < len(np.unique(words.values)) <= MOST_WORDS else None
    settings = sorted((dim for dim in array.dims if dim not in REPLICATES), key=lambda dim: -array.sizes[dim])
    if len(settings) < 2:
        return of_array(array)
    y, x = sorted(settings[:2], key=array.dims.index)
    numbers = array.astype(float)
    numbers.attrs = array.attrs
    return PhaseDiagram(short_title(array), numbers, x=str(x), y=str(y), percent=array.dtype.kind == "b", median=True)
