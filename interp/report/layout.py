"""A page -> its sections and panels as the template and the script need them, under their addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from interp.report.blocks import ArrayStore
from interp.report.content import Page, Panel, RunPage, Section
from interp.report.json_values import plain
from interp.report.markup import paragraphs, sentence, short_reference
from interp.report.panel_specs import PageDrawing, budget_for, page_drawing

ROW_SHARES = {"third": 2, "half": 3}  # sixths of a row that panels of these widths take
ANSWERS = 4
"""So many findings stand in large type, in the order of the measures; the others follow in the text's own size."""
TELLING_PHASE = "circuit formation"  # a report opens where it ends


@dataclass(frozen=True)
class PagePanel:
    """A panel under its address."""

    id: str
    panel: Panel
    drawing: PageDrawing


@dataclass(frozen=True)
class PageSection:
    """A section under its address; the panels of a row stand side by side."""

    id: str
    section: Section
    rows: list[list[PagePanel]]
    first: list[str]  # the caption's first paragraph, if it has one
    more: list[str]  # and the others, which fold out together with formulas and paper
    more_label: str


@dataclass(frozen=True)
class PageGroup:
    """Sections that share a time axis: those of one run, or of all runs together."""

    id: str
    run: RunPage | None
    findings: Markup
    more_findings: Markup
    sections: list[PageSection]
    spec: dict[str, Any]  # for the script


def outline(page: Page, store: ArrayStore) -> tuple[list[PageGroup], PageGroup | None]:
    """The runs of a page and, if there are any, the measures across them."""
    sections = [section for run in page.runs for section in run.sections] + list(page.across)
    budget = budget_for([panel.drawing for section in sections for panel in section.panels])
    names = _addresses([run.name for run in page.runs])
    runs = [_run_group(run, name, store, budget) for run, name in zip(page.runs, names, strict=True)]
    return runs, _across_group(page, store, budget) if page.across else None


def _run_group(run: RunPage, name: str, store: ArrayStore, budget: int) -> PageGroup:
    sections = [_section(section, name, store, budget) for section in run.sections]
    addresses = {view.section.label: view.id for view in sections}
    sentences = [sentence(finding, addresses.get(finding.label)) for finding in run.findings]
    findings, more = (Markup(" ").join(part) for part in (sentences[:ANSWERS], sentences[ANSWERS:]))
    spec = {
        "id": name,
        "steps": plain(run.steps),
        "start": _opening_step(run),
        "phases": [{"name": p.name, "start": int(p.start), "end": int(p.end)} for p in run.phases],
        "extent": _extent([run.steps]),
        "panels": _panel_specs(sections),
    }
    return PageGroup(name, run, findings, more, sections, spec)


def _across_group(page: Page, store: ArrayStore, budget: int) -> PageGroup:
    sections = [_section(section, "across", store, budget) for section in page.across]
    addresses = {view.section.label: view.id for view in sections}
    findings = Markup(" ").join(sentence(finding, addresses.get(finding.label)) for finding in page.findings)
    extent = _extent(run.steps for run in page.runs)
    spec = {"id": "across", "phases": [], "extent": extent, "panels": _panel_specs(sections)}
    return PageGroup("across", None, findings, Markup(), sections, spec)


def _section(section: Section, group: str, store: ArrayStore, budget: int) -> PageSection:
    address = f"{group}-{section.label}"
    panels = [
        PagePanel(f"{address}-{number}", panel, page_drawing(panel.drawing, store, budget))
        for number, panel in enumerate(section.panels)
    ]
    first, *more = paragraphs(section.caption) or [""]
    label = " · ".join(
        ["formula"] * bool(section.formulas)
        + ["more"] * bool(more)
        + [short_reference(section.paper)] * bool(section.paper)
    )
    return PageSection(address, section, _rows(panels), [first] * bool(first), more, label[:1].upper() + label[1:])


def _rows(panels: Sequence[PagePanel]) -> list[list[PagePanel]]:
    """Consecutive narrow panels share a row while there is room."""
    rows: list[list[PagePanel]] = []
    room = 0
    for panel in panels:
        share = ROW_SHARES.get(panel.panel.drawing.width, 6)
        if share <= room:
            rows[-1].append(panel)
            room -= share
        else:
            rows.append([panel])
            room = 6 - share
    return rows


def _panel_specs(sections: Iterable[PageSection]) -> list[dict[str, Any]]:
    return [
        {"id": panel.id, "title": panel.panel.drawing.title, **panel.drawing.spec}
        for view in sections
        for row in view.rows
        for panel in row
    ]


def _opening_step(run: RunPage) -> int | None:
    telling = [phase.end for phase in run.phases if phase.name == TELLING_PHASE]
    return int(telling[0]) if telling else int(run.steps[-1]) if len(run.steps) else None


def _extent(steps: Iterable[np.ndarray]) -> list[int] | None:
    """The training time that all time axes of a group show."""
    known = [array for array in steps if len(array)]
    return [int(min(array[0] for array in known)), int(max(array[-1] for array in known))] if known else None


def _addresses(names: Sequence[str]) -> list[str]:
    """Names that may stand in an address, all different."""
    found = ["across"]
    for name in names:
        wanted = re.sub(r"[^\w.-]+", "-", name).strip("-") or "run"
        same = sum(other == wanted or other.startswith(f"{wanted}~") for other in found)
        found.append(f"{wanted}~{same + 1}" if same else wanted)
    return found[1:]
