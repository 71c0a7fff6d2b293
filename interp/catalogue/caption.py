"""A measure's docstring, taken apart: the caption of its section in a report."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

from interp.catalogue.names import find


@dataclass(frozen=True)
class Caption:
    """A measure's docstring, taken apart."""

    claim: str
    prose: str
    formulas: tuple[str, ...]
    paper: str


def caption(kind: str, name: str) -> Caption:
    """First line, prose, lines that begin "Formula:" (LaTeX) and the one that begins "Paper:"."""
    text = inspect.getdoc(find(kind, name)) or ""
    claim, _, rest = text.partition("\n")
    prose, formulas, paper = [], [], ""
    for paragraph in re.split(r"\n\s*\n", rest.strip()):
        if paragraph.startswith("Formula:"):
            formulas += [" ".join(formula.split()) for formula in paragraph.split("Formula:") if formula.strip()]
        elif paragraph.startswith("Paper:"):
            paper = " ".join(paragraph.removeprefix("Paper:").split())
        elif paragraph:
            prose.append(" ".join(paragraph.split()))
    return Caption(claim, "\n\n".join(prose), tuple(formulas), paper)
