"""Where everything stands on the page: sections and panels under their addresses, narrow panels side by side."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from interp.figures import DrawnPanel
from interp.report.blocks import ArrayStore
from interp.report.content import Page, RunPage, Section, Silence, Told
from interp.report.json_values import plain
from interp.report.links import Links
from interp.report.markup import paragraphs, sentence, short_reference
from interp.report.panel_specs import PanelSpec, budget_for, panel_spec
from interp.report.tables import Table, tables

ROW_SHARES = {"third": 2, "half": 3}
"""Sixths of a row that panels of these widths take."""
LEADING = ("answer", "when")
"""The chapters whose findings stand before all sections; the others stand at the head of their measure's section."""
FEWEST, ANSWERS = 2, 4
"""So many findings at least stand there, and at most so many of them in large type."""


OWN_PARTS: tuple[str, ...] = ("run", "across", "theme", "play", "step", "time")
"""The addresses of the page's own parts; the first, which chooses a run, only where there are several."""


@dataclass(frozen=True)
class PlacedPanel:
    """A drawn panel under its address: what the script makes it of, or tables that need no script."""

    id: str
    panel: DrawnPanel
    spec: PanelSpec | None
    tables: tuple[Table, ...] = ()


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
    findings: Markup
    """What was found and does not stand before all sections."""


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
    last = int(run.steps[-1]) if len(run.steps) else None
    led = _led(run.findings, Links(name, run.sections, last), store, budget)
    spec = {
        "id": name,
        "steps": plain(run.steps),
        "start": last,
        "phases": [{"name": p.name, "start": int(p.start), "end": int(p.end)} for p in run.phases],
        "extent": _extent([run.before, run.steps]),
        "panels": _scripts(led.sections),
    }
    return Group(name, run, led.findings, led.more_findings, led.sections, run.silences, spec)


def _across_group(page: Page, store: ArrayStore, budget: int) -> Group:
    led = _led(page.findings, Links("across", page.across, None), store, budget)
    extent = _extent(run.steps for run in page.runs)
    spec = {"id": "across", "phases": [], "extent": extent, "panels": _scripts(led.sections)}
    return Group("across", None, led.findings, led.more_findings, led.sections, page.silences, spec)


@dataclass(frozen=True)
class _Led:
    """Findings that stand before all sections, in large type and in the text's own, and sections with the others."""

    findings: Markup
    more_findings: Markup
    sections: list[PlacedSection]


def _led(findings: Sequence[Told], links: Links, store: ArrayStore, budget: int) -> _Led:
    """The findings and the sections of a group, each finding at its place."""
    leading = [told for told in findings if told.finding.chapter in LEADING or told.label not in links.sections]
    leading = leading if len(leading) >= FEWEST else list(findings[:FEWEST])

    def words(some: Iterable[Told]) -> Markup:
        return Markup(" ").join(sentence(told, functools.partial(links.link, told.label)) for told in some)

    placed = [
        _section(
            section,
            f"{links.group}-{section.label}",
            words(told for told in findings if told.label == section.label and told not in leading),
            store,
            budget,
        )
        for section in links.sections.values()
    ]
    return _Led(words(leading[:ANSWERS]), words(leading[ANSWERS:]), placed)


def _section(section: Section, address: str, findings: Markup, store: ArrayStore, budget: int) -> PlacedSection:
    panels = [_panel(panel, f"{address}-{number}", store, budget) for number, panel in enumerate(section.panels)]
    first, *more = paragraphs(section.caption) or [""]
    label = " · ".join(
        ["formula"] * bool(section.formulas)
        + ["more"] * bool(more)
        + [short_reference(section.paper)] * bool(section.paper)
    )
    return PlacedSection(
        address, section, _rows(panels), [first] * bool(first), more, label[:1].upper() + label[1:], findings
    )


def _panel(panel: DrawnPanel, address: str, store: ArrayStore, budget: int) -> PlacedPanel:
    found = tables(panel)
    return PlacedPanel(address, panel, None if found else panel_spec(panel, store, budget), found)


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
    placed = [panel for section in sections for row in section.rows for panel in row]
    return [{"id": panel.id, **panel.spec.script} for panel in placed if panel.spec]


def _extent(steps: Iterable[np.ndarray]) -> list[int] | None:
    """First and last step of the training time that all time axes of a group show."""
    known = [array for array in steps if len(array)]
    return [int(min(array[0] for array in known)), int(max(array[-1] for array in known))] if known else None


def _addresses(names: Sequence[str]) -> list[str]:
    """The names as they may stand in an address, all different, and none that of the page's own parts."""
    found = list(OWN_PARTS if len(names) > 1 else OWN_PARTS[1:])
    own = len(found)
    for name in names:
        wanted = re.sub(r"[^\w.-]+", "-", name).strip("-") or "run"
        same = sum(other == wanted or other.startswith(f"{wanted}~") for other in found)
        found.append(f"{wanted}~{same + 1}" if same else wanted)
    return found[own:]
