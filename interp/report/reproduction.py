"""REPRODUCTION.md: every claim of a paper that an analysis tries, its number beside ours, and whether it holds.

`python -m interp.report.reproduction`, in the repository's folder, computes the analyses in `analyses/papers`, writes
their reports, and the file from what they say. Nothing in it is written by hand.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from interp import terminal
from interp.checkpoints.opening import open_runs
from interp.errors import command_line
from interp.files.writing import write_text
from interp.recipes import analysis_recipe, shipped
from interp.recipes.run_paths import nothing_to_analyse
from interp.report import write
from interp.report.tables import Table, tables

FILE = Path("REPRODUCTION.md")
MEASURE = "paper_table"
UNDER_CONDITION, NO_VERDICT = "holds under a condition", "no verdict"
OUTCOMES = ("holds", UNDER_CONDITION, "does not hold", "not tried", NO_VERDICT)
INTRODUCTION = """\
# What was tried of the papers

Each claim below is a row of an analysis in `analyses/papers`, which anybody can run: `interp run NAME` writes the
report with the figures from the results that ship with the recipes, `interp run NAME --again` trains everything anew.
This file is made from the same results by `make reproduction`; numbers are those of the runs here, with 95% intervals
over the runs of a row where there are several. A row has no verdict where the paper gives no number to hold ours
against. Minutes are those on two cores, half the processor's, as they were estimated where the runs were trained.
"""


@dataclass(frozen=True)
class Tried:
    """What an analysis says of a paper's claims."""

    name: str
    title: str
    paper: str
    text: str
    minutes: float
    """On two cores; NaN where nobody noted them."""
    tables: tuple[tuple[str, Table], ...]
    """Heading -> claims; none where nothing is there to judge by."""
    lack: str = ""
    """Why there are none."""

    @property
    def outcomes(self) -> Counter[str]:
        """How many claims came out how, by the words of `OUTCOMES`."""
        rows = [dict(zip(table.heads, row.cells, strict=True)) for _, table in self.tables for row in table.rows]
        return Counter(_outcome(row.get("verdict", "")) for row in rows)


def tried(path: Path, reports: Path) -> Tried:
    """What the analysis at `path` says, whose report is written into the folder `reports`. Raises InterpError."""
    analysis = analysis_recipe.read(path)
    told = (path.stem, analysis.title, analysis.paper, analysis.text)
    lacks = [reason for source in analysis.sources if (reason := nothing_to_analyse(source))]
    if lacks:
        return Tried(*told, minutes=math.nan, tables=(), lack="; ".join(lacks))
    runs = open_runs(analysis.sources, "cpu")
    page = write.report(analysis, runs, reports / f"{path.stem}.html", reports / path.stem)
    minutes = [run.shipped.trained.minutes / 2 if run.shipped else math.nan for run in runs]
    measures = {ask.label: ask.measure for ask in analysis.asks}
    found = [
        (section.label.replace("_", " "), table)
        for section in page.sections
        if measures.get(section.label) == MEASURE
        for panel in section.panels
        for table in tables(panel)
    ]
    return Tried(*told, minutes=sum(minutes), tables=tuple(found))


def document(found: Sequence[Tried]) -> str:
    """The file's text."""
    heads = ("paper", "analysis", *OUTCOMES, "minutes")
    overview = [
        (
            f"[{_escaped(one.paper or one.title)}](#{one.name})",
            f"`{one.name}`",
            *(str(one.outcomes[outcome]) for outcome in OUTCOMES),
            _minutes(one.minutes),
        )
        for one in found
    ]
    parts = [INTRODUCTION, "\n".join(_markdown(heads, overview)), *(part for one in found for part in _section(one))]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def main(
    reports: Annotated[
        Path | None, typer.Option(help="The folder into which the papers' reports are written; without it, none stays.")
    ] = None,
) -> None:
    """Compute the analyses of papers from what ships, and write REPRODUCTION.md."""
    papers = [path for name, path in shipped.analyses().items() if name.startswith("papers/")]
    with contextlib.ExitStack() as held:
        folder = reports or Path(held.enter_context(tempfile.TemporaryDirectory()))
        found = []
        for path in papers:
            print(f"{path.stem}", flush=True)
            found.append(tried(path, folder))
    write_text(FILE, document(found))
    print(f"written: {FILE}")


def _section(one: Tried) -> Iterator[str]:
    yield f'<a id="{one.name}"></a>\n## {_escaped(one.paper or one.title)}'
    yield f"**{_escaped(one.title)}** `{command_line('run', one.name)}`"
    if one.text:
        yield _escaped(one.text)
    if one.lack:
        yield f"Not tried yet: {_escaped(one.lack)}."
    for heading, table in one.tables:
        yield f"### {_escaped(heading)}"
        rows = [[_escaped(cell) for cell in row.cells] for row in table.rows]
        yield "\n".join(_markdown(["claim", *table.heads[1:]], rows))


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for cells in (heads, ["---"] * len(heads), *rows):
        yield f"| {' | '.join(cells)} |"


def _outcome(verdict: str) -> str:
    if not verdict:
        return NO_VERDICT
    return verdict if verdict in OUTCOMES else UNDER_CONDITION


def _minutes(minutes: float) -> str:
    return "" if math.isnan(minutes) else f"{max(1, round(minutes)):,}"


def _escaped(text: str) -> str:
    """Text as Markdown shows it as it is, in a cell too."""
    for mark in ("\\", "|", "*", "_", "`", "<", "["):
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


if __name__ == "__main__":
    terminal.command(main)
