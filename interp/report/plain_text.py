"""A report as plain text: what it found, for the terminal; and all it says, with where every measure ended."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

import numpy as np

from interp.report.content import Facts, Page, RunPage, Section, Silence, Told, Variable
from interp.report.markup import paragraphs
from interp.summaries import number

WIDTH = 100


def findings_text(page: Page) -> str:
    """What was found, a line for all runs together and one for each run, and what has nothing to say."""
    lines = [_findings(page.findings), *_silences(page.silences), *page.remarks]
    for run in page.runs:
        name = f"{run.name}: " if len(page.runs) > 1 else ""
        said = [_findings(run.findings), *_silences(run.silences), *run.remarks]
        lines += [name + line for line in said if line]
    return "\n".join(line for line in lines if line)


def report_text(page: Page) -> str:
    """The whole report in paragraphs, with the last value of every variable."""
    parts = [page.title, page.source, page.paper, _wrapped(page.text), *map(_run, page.runs)]
    if page.across or page.silences:
        said = _said(page.facts, page.findings, page.across, page.silences)
        parts += ["All runs together", _wrapped(" ".join(page.remarks)), *said]
    if page.versions:
        parts.append("Made with " + ", ".join(f"{name} {version}" for name, version in page.versions.items()))
    return "\n\n".join(part for part in parts if part)


def _run(run: RunPage) -> str:
    remarks = _wrapped(" ".join(run.remarks))
    said = [remarks, *_said(run.facts, run.findings, run.sections, run.silences)]
    return "\n\n".join([f"Run {run.name}", *(part for part in said if part)])


def _said(
    facts: Facts, findings: Iterable[Told], sections: Iterable[Section], silences: Iterable[Silence]
) -> list[str]:
    """What is said of one run, or of all together, in paragraphs."""
    shown = "; ".join(" ".join(fact).strip() for fact in facts)
    return [
        _wrapped(shown),
        _wrapped(_findings(findings)),
        *map(_section, sections),
        *map(_wrapped, _silences(silences)),
    ]


def _findings(findings: Iterable[Told]) -> str:
    return " ".join(told.sentence for told in findings)


def _silences(silences: Iterable[Silence]) -> list[str]:
    return [f"Nothing to say here: {', '.join(silence.labels)}: {silence.reason}." for silence in silences]


def _section(section: Section) -> str:
    lines = [f"{section.heading} ({section.label})"]
    expected = f"Expected: {section.claim}" if section.claim else ""
    lines += [_wrapped(text) for text in (expected, section.note, *section.problems)]
    lines += [f"  {variable.name}: {_final(variable)}" for variable in section.variables]
    return "\n".join(line for line in lines if line)


def _final(variable: Variable) -> str:
    """A variable's value at the last step, or its range there if it is many values."""
    values, dims = np.asarray(variable.values), variable.dims
    moment = ""
    if "step" in dims and values.shape[dims.index("step")]:
        values = np.asarray(np.take(values, -1, axis=dims.index("step")))
        dims = tuple(dim for dim in dims if dim != "step")
        moment = f" at step {variable.coords['step'][-1]:,}" if variable.coords.get("step") else " at the end"
    if values.ndim == 0:
        return _with_units(_number(values[()]), variable.units) + moment
    size = _size(values.shape, dims)
    if values.dtype.kind not in "biuf":
        return size + moment
    if not np.isfinite(values.astype(float)).any():
        return f"{size}, no finite number{moment}"
    if values.dtype.kind == "b":
        return f"{int(values.sum())} of {size}{moment}"
    finite = values[np.isfinite(values.astype(float))]
    return _with_units(f"{size}, from {_number(finite.min())} to {_number(finite.max())}", variable.units) + moment


def _with_units(text: str, units: str) -> str:
    """Numbers and their units, of which what is no number has none."""
    return text if text in (NO_NUMBER, INFINITE) else f"{text} {units}".rstrip()


def _size(shape: Sequence[int], dims: Sequence[str]) -> str:
    return " × ".join(f"{length} {dim}" for length, dim in zip(shape, dims, strict=True))


NO_NUMBER, INFINITE = "no number", "infinite"


def _number(value: object) -> str:
    """A number as sentences write it, whole ones too."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return number(int(value))
    if not isinstance(value, float | np.floating):
        return str(value)
    return number(float(value), 6) if np.isfinite(value) else NO_NUMBER if np.isnan(value) else INFINITE


def _wrapped(text: str) -> str:
    return "\n\n".join(textwrap.fill(part, WIDTH) for part in paragraphs(text))
