"""Measures whose answer starts from the one at the checkpoint before: which rows count, and the last whole answer.

Steps are cut into blocks by their number, so that added checkpoints touch only their own block: the first answer of
each block starts from nothing. A row notes the lineage of the row before it, and counts only while that is the row
that is there. The last answer of a block lies whole in a file, private fields too, and the next starts from what that
file holds, so that it makes no difference whether the process lived or was killed between them. The file of the last
block stays when the result is merged: a run that grows goes on from it.
"""

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
from interp.results.rows import Key, Row, read_key, read_row, write_row

STEPS_PER_BLOCK = 1000
BEFORE = "before"
"""Among what a row was made from, the lineage of the row before."""


def block_of(key: Key) -> Key:
    """The block of steps that a row at a step belongs to: the run's place, and the block's number."""
    return (*key[:-1], int(key[-1]) // STEPS_PER_BLOCK)


def lineage(reads: Reads) -> str:
    """A fingerprint of what an answer was made from, the answer before included, and so of all that led to it."""
    return hashlib.blake2b(json.dumps(sorted(reads.items())).encode(), digest_size=16).hexdigest()


def unbroken(keys: Sequence[Key], reads: Mapping[Key, Reads]) -> list[Key]:
    """Those of the keys, in order, whose answer started from the answer of the key before, as that is now."""
    found: list[Key] = []
    for _, of_block in itertools.groupby(keys, block_of):
        before = ""
        for key in of_block:
            if key not in reads or reads[key].get(BEFORE) != before:
                break
            found.append(key)
            before = lineage(reads[key])
    return found


@dataclass(frozen=True)
class Start:
    """What the next answer starts from; the first of a block from nothing."""

    lineage: str = ""
    answer: Any = None


class LastAnswer:
    """The last answer of a block, whole, in a file while the next are computed."""

    def __init__(self, file: Path, measure: str) -> None:
        self._file = file
        self._measure = measure

    def keep(self, key: Key, reads: Reads, answer: Any) -> Start:
        """Store the answer, None where there was none, and give it as the next one finds it: out of the file."""
        record = "" if answer is None else type(answer).__name__
        whole = schema.schemas_of(self._measure, whole=True)
        values = None if answer is None else schema.values(whole[record], answer, self._measure)
        write_row(self._file, Row(values, reads, record), key)
        return self.start()

    def start(self) -> Start:
        """What the next answer starts from. Raises DamagedError where the file cannot be read, and removes it."""
        try:
            row = read_row(self._file, schema.schemas_of(self._measure, whole=True))
            answer = None if row.values is None else schema.restored(self._measure, row.record, row.values)
            return Start(lineage(row.reads), answer)
        except Exception as error:  # a damaged file can raise anything
            self._file.unlink(missing_ok=True)
            raise DamagedError(f"{self._file} could not be read ({error}); start again to go on") from error

    def leads_to(self) -> tuple[Key, str] | None:
        """Place and lineage of the last answer; None where there is none that can be read."""
        with contextlib.suppress(Exception):  # a damaged file can raise anything
            key, reads = read_key(self._file)
            return key, lineage(reads)
        return None
