"""A report -> one machine-readable dictionary; large arrays stand beside it as blocks."""

from __future__ import annotations

from typing import Any

import numpy as np

from interp.report.blocks import ArrayStore
from interp.report.content import Page, RunPage, Section, Silence, Told, Variable
from interp.report.json_values import plain

INLINE_ELEMENTS = 2000
"""Larger arrays that are not just a series over training become blocks."""
BLOCK_BYTES = 700_000
"""Still larger ones stay out of the page."""
PAGE_BYTES = 20_000_000
"""For the blocks of all variables together."""
ELSEWHERE = "too large for the page: see the result's .nc file"


def report_data(page: Page, store: ArrayStore) -> dict[str, Any]:
    """The whole report for programs: texts, findings with their values, and every variable of every measure."""
    large = sum(not _is_inline(variable) for section in page.sections for variable in section.variables)
    budget = min(BLOCK_BYTES, PAGE_BYTES // max(large, 1))
    return {
        "title": page.title,
        "source": page.source,
        "text": page.text,
        "paper": page.paper,
        "versions": page.versions,
        "runs": [_run(run, store, budget) for run in page.runs],
        "facts": [" ".join(fact).strip() for fact in page.facts],
        "remarks": list(page.remarks),
        "findings": _findings(page.findings),
        "across": _measures(page.across, store, budget),
        "nothing_to_say": _reasons(page.silences),
        "problems": list(page.problems),
    }


def _run(run: RunPage, store: ArrayStore, budget: int) -> dict[str, Any]:
    return {
        "name": run.name,
        "facts": [" ".join(fact).strip() for fact in run.facts],
        "remarks": list(run.remarks),
        "findings": _findings(run.findings),
        "phases": [{"name": p.name, "start": int(p.start), "end": int(p.end)} for p in run.phases],
        "steps": plain(run.steps),
        "measures": _measures(run.sections, store, budget),
        "nothing_to_say": _reasons(run.silences),
    }


def _findings(findings: tuple[Told, ...]) -> list[dict[str, Any]]:
    return [
        {"label": told.label, **plain(told.finding.plain()), "values": plain(told.finding.values)} for told in findings
    ]


def _reasons(silences: tuple[Silence, ...]) -> dict[str, str]:
    """Label -> why the measure has nothing to say."""
    return {label: silence.reason for silence in silences for label in silence.labels}


def _measures(sections: tuple[Section, ...], store: ArrayStore, budget: int) -> dict[str, Any]:
    return {
        section.label: {
            "heading": section.heading,
            "claim": section.claim,
            "caption": section.caption,
            "formulas": list(section.formulas),
            "paper": section.paper,
            "note": section.note,
            "variables": {v.name: _variable(v, store, budget) for v in section.variables},
        }
        for section in sections
    }


def _variable(variable: Variable, store: ArrayStore, budget: int) -> dict[str, Any]:
    values = np.asarray(variable.values)
    described = {
        "dims": list(variable.dims),
        "shape": list(values.shape),
        "units": variable.units,
        "long_name": variable.long_name,
        "coords": {name: plain(np.asarray(labels)) for name, labels in variable.coords.items()},
    }
    if _is_inline(variable):
        return {**described, "values": plain(values)}
    if values.size * min(values.dtype.itemsize, 4) <= budget:
        return {**described, "block": store.add(values)}
    return {**described, "elsewhere": ELSEWHERE}


def _is_inline(variable: Variable) -> bool:
    return variable.dims == ("step",) or np.size(variable.values) <= INLINE_ELEMENTS
