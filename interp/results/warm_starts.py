"""Answers of which each starts from the one before: what they came of, and the last of them, for the next to start."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.errors import DamagedError
from interp.provenance import Reads
from interp.results import schema
from interp.results.rows import Row, read_about_row, read_row, write_row

STEPS_PER_BLOCK = 1000
"""Blocks are cut by step number, so that added checkpoints touch only their own: the first answer of each starts from
nothing."""
BEFORE = "before"
"""Among what an answer was made from, the lineage of the answer before."""


def block(step: int) -> int:
    return step // STEPS_PER_BLOCK


def lineage(reads: Reads) -> str:
    """A fingerprint of what an answer was made from, the answer before included, and so of all that led to it."""
    return hashlib.blake2b(json.dumps(sorted(reads.items())).encode(), digest_size=16).hexdigest()


def unbroken(steps: Sequence[int], reads: Mapping[int, Reads]) -> list[int]:
    """Of the steps, ascending, those whose answer started from the answer at the step before, as that is now."""
    found: list[int] = []
    for _, of_block in itertools.groupby(steps, block):
        before = ""
        for step in of_block:
            if step not in reads or reads[step].get(BEFORE) != before:
                break
            found.append(step)
            before = lineage(reads[step])
    return found


@dataclass(frozen=True)
class Link:
    """What the next answer starts from; the first of a block from nothing."""

    lineage: str = ""
    answer: Any = None


class Chain:
    """The last answer in a block, whole, with the fields that begin with "_", in a file while the next are computed."""

    def __init__(self, file: Path, measure: str) -> None:
        self._file = file
        self._schema = schema.of_measure(measure, whole=True)
        self._measure = measure

    def keep(self, step: int, reads: Reads, answer: Any) -> Link:
        """The answer at a step, None where the weights were not finite, as the next one finds it.

        It comes out of the file, so that the next starts from the same whether the process lives or not.
        """
        values = None if answer is None else schema.values(self._schema, answer, self._measure)
        write_row(self._file, self._schema, Row(values, reads), step)
        return self.link()

    def link(self) -> Link:
        """Raises DamagedError where there is none that can be read, and removes it."""
        try:
            row = read_row(self._file, self._schema)
            answer = None if row.values is None else schema.restored(self._measure, row.values)
            return Link(lineage(row.reads), answer)
        except Exception as error:  # of a file of others, anything
            self._file.unlink(missing_ok=True)
            raise DamagedError(f"{self._file} could not be read ({error}); start again to go on") from error

    def leads_to(self) -> tuple[int, str] | None:
        """Step and lineage of the last answer; None where there is none that can be read."""
        with contextlib.suppress(Exception):  # of a file of others, anything
            step, reads = read_about_row(self._file)
            return int(step), lineage(reads)
        return None
