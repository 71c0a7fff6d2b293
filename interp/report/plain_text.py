"""A report as plain text: what it says, and where every measure ended."""

from __future__ import annotations

import textwrap

import numpy as np

from interp.report.content import Page, RunPage, Section, Variable
from interp.report.markup import paragraphs, unmarked

WIDTH = 100


def report_text(page: Page) -> str:
    """The report in paragraphs of plain text."""
    parts = [page.title, page.source, _wrapped(page.text)]
    parts += [_run(run) for run in page.runs]
    if page.across:
        facts = "; ".join(" ".join(fact).strip() for fact in page.facts)
        findings = " ".join(unmarked(finding.sentence) for finding in page.findings)
        parts += ["All runs together", _wrapped(facts), _wrapped(findings), *map(_section, page.across)]
    if page.versions:
        parts.append("Made with " + ", ".join(f"{name} {version}" for name, version in page.versions.items()))
    return "\n\n".join(part for part in parts if part)


def _run(run: RunPage) -> str:
    facts = "; ".join(" ".join(fact).strip() for fact in run.facts)
    findings = " ".join(unmarked(finding.sentence) for finding in run.findings)
    parts = [f"Run {run.name}", _wrapped(facts), _wrapped(findings), *map(_section, run.sections)]
    return "\n\n".join(part for part in parts if part)


def _section(section: Section) -> str:
    lines = [f"{section.heading} ({section.label})", _wrapped(section.claim), _wrapped(section.note)]
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
        return f"{_number(values[()])} {variable.units}".strip() + moment
    size = " × ".join(f"{length} {dim}" for length, dim in zip(values.shape, dims, strict=True))
    if values.dtype.kind not in "biuf" or not np.isfinite(values.astype(float)).any():
        return size + moment
    if values.dtype.kind == "b":
        return f"{int(values.sum())} of {size} true{moment}"
    finite = values[np.isfinite(values.astype(float))]
    return f"{size}, from {_number(finite.min())} to {_number(finite.max())} {variable.units}".rstrip() + moment


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)


def _wrapped(text: str) -> str:
    return "\n\n".join(textwrap.fill(part, WIDTH) for part in paragraphs(text))
