"""What a report says, before it is HTML: plain values, and the panels as their measures drew them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from interp.figures import DrawnPanel
from interp.findings import CHAPTERS, Finding
from interp.summaries import Phase

Facts = tuple[tuple[str, str], ...]
"""Pairs of what stands out and what follows it: ("x+y mod 113", "30% of 12,769 pairs")."""


@dataclass(frozen=True)
class Told:
    """What the measure of the section `label` found; its numbers link to the panels in which they can be seen."""

    label: str
    finding: Finding
    is_problem: bool = False
    """Whether the measure's `summary` failed, and the sentence says how."""

    @property
    def sentence(self) -> str:
        return self.finding.text

    @property
    def place(self) -> tuple[bool, int, int]:
        """Where it stands among others: problems last, then by chapter and by rank."""
        return self.is_problem, CHAPTERS.index(self.finding.chapter), self.finding.rank


@dataclass(frozen=True)
class Silence:
    """Measures that have nothing to say at any step, and why."""

    labels: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Variable:
    """One array of a result, for the page's data: `values` has the axes `dims`."""

    name: str
    dims: tuple[str, ...]
    values: np.ndarray
    coords: dict[str, list]
    """The labels of each axis."""
    long_name: str = ""
    units: str = ""


@dataclass(frozen=True)
class Section:
    """One measure in one run, or in all runs together: caption, formulas, panels, arrays."""

    label: str
    """The name of the measure or of its call, unique in the run."""
    heading: str
    claim: str
    """The docstring's first line."""
    caption: str
    """The rest of its prose; paragraphs are split by a blank line."""
    formulas: tuple[str, ...]
    """In LaTeX."""
    paper: str
    panels: tuple[DrawnPanel, ...]
    variables: tuple[Variable, ...]
    note: str = ""
    """What could not be said here, and why."""
    problems: tuple[str, ...] = ()
    """Mistakes in the measure's `figure`, each in the place of what it did not draw."""


@dataclass(frozen=True)
class RunPage:
    """Everything the report says about one run."""

    name: str
    facts: Facts
    findings: tuple[Told, ...]
    phases: tuple[Phase, ...]
    steps: np.ndarray
    """[step], every checkpoint that a measure visited."""
    sections: tuple[Section, ...]
    silences: tuple[Silence, ...] = ()
    before: np.ndarray = field(default_factory=lambda: np.array([], int))
    """[step], the checkpoints of its parent that curves show."""
    remarks: tuple[str, ...] = ()
    """What is to be known of where the numbers are from, a sentence each."""


@dataclass(frozen=True)
class Page:
    """A report."""

    title: str
    source: str
    """What asked for it: "analyses/fourier.yaml"."""
    text: str
    runs: tuple[RunPage, ...]
    """Those of which there is something to say one by one."""
    across: tuple[Section, ...] = ()
    """The measures of all runs together."""
    facts: Facts = ()
    """What those runs have in common."""
    findings: tuple[Told, ...] = ()
    """What the measures of all runs together say."""
    silences: tuple[Silence, ...] = ()
    """Which of them say nothing."""
    remarks: tuple[str, ...] = ()
    """What is to be known of where their numbers are from, a sentence each."""
    paper: str = ""
    """Whose claims it tries; "" where it tries none."""
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def sections(self) -> Iterator[Section]:
        """Every section, of the runs one by one and of all together."""
        for run in self.runs:
            yield from run.sections
        yield from self.across

    @property
    def problems(self) -> tuple[str, ...]:
        """The mistakes in measures' `summary` and `figure`; the report stands without what they would have said."""
        findings = [finding for run in self.runs for finding in run.findings] + list(self.findings)
        return tuple(finding.sentence for finding in findings if finding.is_problem) + tuple(
            problem for section in self.sections for problem in section.problems
        )
