"""Where everything stands on the page: sections and panels under their addresses, narrow panels side by side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from interp.figures import DrawnPanel
from interp.report.blocks import ArrayStore
from interp.report.content import Finding, Page, RunPage, Section, Silence
from interp.report.json_values import plain
from interp.report.markup import paragraphs, sentence, short_reference
from interp.report.panel_specs import PanelSpec, budget_for, panel_spec

ROW_SHARES = {"third": 2, "half": 3}
"""Sixths of a row that panels of these widths take."""
ANSWERS = 4
"""So many findings stand in large type, in the order of the measures; the others follow in the text's own size."""
TELLING_PHASE = "circuit formation"
"""A report opens where this phase ends."""


@dataclass(frozen=True)
class PlacedPanel:
    """A drawn panel under its address, and what the script makes it of."""

    id: str
    panel: DrawnPanel
    spec: PanelSpec


@dataclass(frozen=True)
class PlacedSection:
    """A section under its address."""

    id: str
    section: Section
    rows: list[list[PlacedPanel]]
    """Its panels; those of a row stand side by side."""
    first: list[str]
    """The caption's first paragraph, if it has one."""
    more: list[str]
    """The others, which fold out together with formulas and paper."""
    more_label: str


@dataclass(frozen=True)
class Group:
    """Sections that share a time axis: those of one run, or of all runs together."""

    id: str
    run: RunPage | None
    findings: Markup
    more_findings: Markup
    sections: list[PlacedSection]
    silences: tuple[Silence, ...]
    spec: dict[str, Any]
    """What the script reads."""


def place(page: Page, store: ArrayStore) -> tuple[list[Group], Group | None]:
    """The runs of a page, each a group, and the measures across them, if there are any; arrays go into `store`."""
    budget = budget_for(panel for section in page.sections for panel in section.panels)
    names = _addresses([run.name for run in page.runs])
    runs = [_run_group(run, name, store, budget) for run, name in zip(page.runs, names, strict=True)]
    return runs, _across_group(page, store, budget) if page.across or page.silences else None


def _run_group(run: RunPage, name: str, store: ArrayStore, budget: int) -> Group:
    sections = [_section(section, name, store, budget) for section in run.sections]
    sentences = _sentences(run.findings, sections)
    findings, more = (Markup(" ").join(part) for part in (sentences[:ANSWERS], sentences[ANSWERS:]))
    spec = {
        "id": name,
        "steps": plain(run.steps),
        "start": _opening_step(run),
        "phases": [{"name": p.name, "start": int(p.start), "end": int(p.end)} for p in run.phases],
        "extent": _extent([run.steps]),
        "panels": _scripts(sections),
    }
    return Group(name, run, findings, more, sections, run.silences, spec)


def _across_group(page: Page, store: ArrayStore, budget: int) -> Group:
    sections = [_section(section, "across", store, budget) for section in page.across]
    findings = Markup(" ").join(_sentences(page.findings, sections))
    extent = _extent(run.steps for run in page.runs)
    spec = {"id": "across", "phases": [], "extent": extent, "panels": _scripts(sections)}
    return Group("across", None, findings, Markup(), sections, page.silences, spec)


def _sentences(findings: Iterable[Finding], sections: Iterable[PlacedSection]) -> list[Markup]:
    """The findings, each linked to the section of its measure."""
    addresses = {placed.section.label: placed.id for placed in sections}
    return [sentence(finding, addresses.get(finding.label)) for finding in findings]


def _section(section: Section, group: str, store: ArrayStore, budget: int) -> PlacedSection:
    address = f"{group}-{section.label}"
    panels = [
        PlacedPanel(f"{address}-{number}", panel, panel_spec(panel, store, budget))
        for number, panel in enumerate(section.panels)
    ]
    first, *more = paragraphs(section.caption) or [""]
    label = " · ".join(
        ["formula"] * bool(section.formulas)
        + ["more"] * bool(more)
        + [short_reference(section.paper)] * bool(section.paper)
    )
    return PlacedSection(address, section, _rows(panels), [first] * bool(first), more, label[:1].upper() + label[1:])


def _rows(panels: Sequence[PlacedPanel]) -> list[list[PlacedPanel]]:
    """The panels in rows: consecutive narrow ones share a row while there is room."""
    rows: list[list[PlacedPanel]] = []
    room = 0
    for placed in panels:
        share = ROW_SHARES.get(placed.panel.width, 6)
        if share <= room:
            rows[-1].append(placed)
            room -= share
        else:
            rows.append([placed])
            room = 6 - share
    return rows


def _scripts(sections: Iterable[PlacedSection]) -> list[dict[str, Any]]:
    return [{"id": placed.id, **placed.spec.script} for section in sections for row in section.rows for placed in row]


def _opening_step(run: RunPage) -> int | None:
    telling = [phase.end for phase in run.phases if phase.name == TELLING_PHASE]
    return int(telling[0]) if telling else int(run.steps[-1]) if len(run.steps) else None


def _extent(steps: Iterable[np.ndarray]) -> list[int] | None:
    """First and last step of the training time that all time axes of a group show."""
    known = [array for array in steps if len(array)]
    return [int(min(array[0] for array in known)), int(max(array[-1] for array in known))] if known else None


def _addresses(names: Sequence[str]) -> list[str]:
    """The names as they may stand in an address, all different."""
    found = ["across"]
    for name in names:
        wanted = re.sub(r"[^\w.-]+", "-", name).strip("-") or "run"
        same = sum(other == wanted or other.startswith(f"{wanted}~") for other in found)
        found.append(f"{wanted}~{same + 1}" if same else wanted)
    return found[1:]
