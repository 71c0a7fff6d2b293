"""A piece of an analysis: the rows of one block of steps of one run, each checkpoint visited once for all measures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interp import provenance
from interp.catalogue.names import current_words, find
from interp.contracts.executor import Tell
from interp.errors import DamagedError, NothingToSay
from interp.machine import process
from interp.recipes.asks import Ask
from interp.results import schema
from interp.results.code_notes import WORDS
from interp.results.rows import Key, Row
from interp.results.series import Moment, Series
from interp.results.stored import CALL, Stored
from interp.results.warm_starts import BEFORE, Start, block_of

NOT_FINITE = "the weights are not finite numbers"


@dataclass(frozen=True)
class Work:
    """Rows of one measure that are to be computed."""

    ask: Ask
    keys: list[Key]
    """In order"""
    goes_on: bool = False
    """Whether the first starts from the last answer that was kept"""


@dataclass(frozen=True)
class Piece:
    """Work on one run, or on several together, that is done in one go."""

    runs: tuple[Series, ...]
    axes: tuple[str, ...]
    """The named axes that the keys stand on."""
    folder: Path
    """Where the results lie."""
    works: tuple[Work, ...]
    labels: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Those of the axes on which runs stand."""

    @property
    def keys(self) -> list[Key]:
        """Every place of a row, in order."""
        return sorted({key for work in self.works for key in work.keys})


@dataclass(frozen=True)
class Visited:
    """What became of a piece: nothing wrong, or a file that could not be read."""

    run: str
    damage: DamagedError | None = None


def visit(piece: Piece, tell: Tell) -> Visited:
    """Compute and store the rows of a piece."""
    stored = {work.ask.label: Stored(piece.folder, work.ask, piece.axes, piece.labels) for work in piece.works}
    together: dict[str, dict[Key, Row]] = {label: {} for label in stored if piece.labels}
    name = piece.runs[0].name
    try:
        starts = {
            label: stored[label].last_answer(block_of(work.keys[0])).start() if work.goes_on else Start()
            for label, work in ((work.ask.label, work) for work in piece.works)
            if stored[label].goes_on
        }
        with process.measuring():
            for key in piece.keys:
                subject = _subject(piece, key)
                for work in piece.works:
                    if key not in work.keys:
                        continue
                    label = work.ask.label
                    tell({"run": name, "measure": label})
                    begun = time.perf_counter()
                    row, answer = compute_row(piece.runs, subject, stored[label], starts.get(label))
                    if label in together:
                        together[label][key] = row
                    else:
                        stored[label].write_part(key, row)
                    if stored[label].goes_on:
                        kept = stored[label].last_answer(block_of(key), computing=True)
                        starts[label] = kept.keep(key, row.reads, answer)
                    tell({"run": name, "measure": label, "seconds": time.perf_counter() - begun})
        for label, rows in together.items():
            stored[label].write_parts(rows)
    except DamagedError as error:
        return Visited(name, error)
    return Visited(name)


def _subject(piece: Piece, key: Key) -> Any:
    """What a measure is called on at a place."""
    if piece.axes[-1:] == ("step",):
        return piece.runs[0][key[-1]]
    return list(piece.runs) if schema.subject(piece.works[0].ask.measure) == "runs" else piece.runs[0]


def compute_row(runs: Sequence[Series], subject: Any, stored: Stored, start: Start | None) -> tuple[Row, Any]:
    """One measure's answer with what it was made from, and the record as the measure gave it."""
    ask = stored.ask
    own = {CALL: stored.call} | ({BEFORE: start.lineage} if start else {})  # not those of a measure around it
    with provenance.recording() as reads:
        for run in runs:
            for question, answer in run.origin.items():
                provenance.note(f"{scope_of(run) if len(runs) > 1 else ''}{question}", answer)
        if isinstance(subject, Moment):
            provenance.note(f"step {subject.step}", subject.digest)
            if not subject.finite:
                find("measures", ask.measure)
                return Row(None, reads | own, reason=NOT_FINITE), None
        try:
            if isinstance(subject, Moment) and start is None:
                record = subject.measure(ask.measure, **ask.options)
            else:
                previous = {} if start is None else {"previous": start.answer}
                record = find("measures", ask.measure)(subject, **ask.options, **previous)
        except NothingToSay as reason:
            provenance.note(f"{WORDS}measures/{ask.measure}", current_words("measures", ask.measure))
            return Row(None, reads | own, reason=str(reason)), None
        except Exception as error:  # whatever a measure raises is told with where it was
            error.add_note(f"in measure {ask.label} on {subject!r}")
            raise
    name = type(record).__name__
    if name not in stored.schemas:
        expected = " or ".join(stored.schemas)
        raise TypeError(f"measure {ask.measure} answered with {name}; its annotation says {expected}")
    return Row(schema.values(stored.schemas[name], record, ask.measure), reads | own, name), record


def scope_of(run: Series) -> str:
    """What stands before a question that was noted of one run of several."""
    return f"{run.name}: "
