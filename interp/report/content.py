"""What a report says, before it is HTML: plain values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from interp.figures.drawing import Drawing
from interp.summaries import Phase


@dataclass(frozen=True)
class Finding:
    """A measure's sentence. Numbers between ** and ** are underlined and link to the section `label`."""

    label: str
    sentence: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Panel:
    """A drawing, the arrays it shows (name -> DataArray-like table) and the lines of Python that draw it."""

    drawing: Drawing
    code: str


@dataclass(frozen=True)
class Variable:
    """One array of a result, for the page's data: `values` has the axes `dims`."""

    name: str
    dims: tuple[str, ...]
    values: np.ndarray
    coords: dict[str, list]  # labels of each axis
    long_name: str = ""
    units: str = ""


@dataclass(frozen=True)
class Section:
    """One measure in one run: caption, formulas, panels, arrays."""

    label: str  # the node's name, unique in the run
    heading: str  # in words
    claim: str  # the docstring's first line
    caption: str  # the rest of its prose; paragraphs split by a blank line
    formulas: tuple[str, ...]  # LaTeX
    paper: str
    panels: tuple[Panel, ...]
    variables: tuple[Variable, ...]
    note: str = ""  # what could not be said here, and why


@dataclass(frozen=True)
class RunPage:
    """Everything the report says about one run."""

    name: str
    facts: tuple[tuple[str, str], ...]  # (strong, plain) pairs: ("a + b mod 113", "30 % of pairs")
    findings: tuple[Finding, ...]
    phases: tuple[Phase, ...]
    steps: np.ndarray  # [step]
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Page:
    """A report."""

    title: str
    source: str  # "analyses/fourier.yaml"
    text: str
    runs: tuple[RunPage, ...]  # those of which there is something to say one by one
    across: tuple[Section, ...] = ()  # measures of all runs together
    facts: tuple[tuple[str, str], ...] = ()  # what those runs have in common
    findings: tuple[Finding, ...] = ()  # of the measures of all runs together
    versions: dict[str, str] = field(default_factory=dict)
