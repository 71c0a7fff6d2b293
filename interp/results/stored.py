"""One measure's rows on disk: part files while they are computed, one netCDF file at the end.

Each row carries what it was made from, so that a later visit keeps what is still good and computes the rest.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from interp.catalogue.caption import caption
from interp.errors import DamagedError
from interp.files.writing import writing
from interp.provenance import Reads
from interp.recipes.asks import Ask
from interp.results import account, result_file, schema
from interp.results.account import FINDINGS, NOTHING, NOTHING_AT_END
from interp.results.result_file import Layout, ResultFile, opened
from interp.results.rows import Key, Row, read_key, read_row, write_row
from interp.results.warm_starts import BEFORE, LastAnswer, block_of, lineage, unbroken

CALL = "call"
"""Among what a row was made from, the measure and its options."""
PARTS, LAST = ".parts", ".last"
"""Folders beside the results: of rows that are not merged yet, and of the last answers that the next start from."""

Answered = Callable[[Key, str], str]
"""The present answer to a question that a row was made from."""


@dataclass(frozen=True)
class Good:
    """The rows that need not be computed."""

    places: dict[Key, Path]
    """Where each lies"""
    whole: bool
    """Whether the result file holds these rows and no others, as they would be written now"""


class Stored:
    """The rows of one measure, in `folder`, over the named axes in front."""

    def __init__(self, folder: Path, ask: Ask, axes: tuple[str, ...]) -> None:
        self.ask, self.axes = ask, axes
        self.file = folder / f"{ask.label}.nc"
        self.parts = folder / PARTS / ask.label
        self._last = folder / LAST / f"{ask.label}.safetensors"
        self.schemas = schema.schemas_of(ask.measure)
        self.goes_on = schema.takes_previous(ask.measure)

    @property
    def call(self) -> str:
        """The measure and its options."""
        return json.dumps([self.ask.measure, self.ask.options], sort_keys=True, default=str)

    def good(self, keys: Sequence[Key], answer: Answered, attributes: Mapping[str, str]) -> Good:
        """The rows at `keys` that are valid: nothing they were computed from has changed, and no bit of them.

        A row that started from the row before it needs that one to be valid too.
        """
        found: dict[Key, Path] = {}
        made_from: dict[Key, Reads] = {}
        in_file, as_now = self._rows_in_file(attributes)
        for path, rows in [(self.file, in_file), *self._rows_in_parts()]:
            for key, reads in rows.items():
                if reads.get(CALL) == self.call and all(
                    _same(answer, key, question, digest) for question, digest in reads.items()
                ):
                    found[key], made_from[key] = path, reads
        good = unbroken(keys, made_from) if self.goes_on else [key for key in keys if key in found]
        places = {key: found[key] for key in good}
        whole = (
            as_now
            and not self.parts.exists()
            and list(in_file) == list(keys)
            and all(places.get(key) == self.file for key in keys)
        )
        return Good(places, whole)

    def missing(self, keys: Sequence[Key], good: Good) -> list[Key]:
        """What is left to compute of the rows at `keys`, all of one block, in order.

        Of rows that start from one another those after the last answer that was kept; all, where that did not lead to
        the rows that are there.
        """
        missing = [key for key in keys if key not in good.places]
        if not missing or not self.goes_on:
            return missing
        last = self.last_answer(block_of(keys[0])).leads_to()
        if last and last[0] in good.places and last[0] in keys:
            key, came_of = last
            if came_of == lineage(self._reads_at(good.places[key], key)):
                return list(keys[keys.index(key) + 1 :])
        return list(keys)

    def write_part(self, key: Key, row: Row) -> None:
        """Store a finished row in a file of its own."""
        name = "-".join(f"{one:09d}" if isinstance(one, int) else one for one in key) or "run"
        write_row(self.parts / f"{name}.safetensors", row, key)

    def last_answer(self, block: int, computing: bool = False) -> LastAnswer:
        """The last answer of a block; that of an earlier visit where there is no other, unless one is `computing`."""
        own = self.parts / f"{block}.chain"
        return LastAnswer(own if computing or own.exists() else self._last, self.ask.measure)

    def merge(self, keys: Sequence[Key], good: Good, attributes: Mapping[str, str]) -> dict[Key, str]:
        """Write the result file from the rows at `keys`, and remove the parts. Why rows are blank, by key."""
        for left in self.file.parent.glob(f".{glob.escape(self.file.name)}.*"):  # of a process killed while it wrote
            left.unlink(missing_ok=True)
        with contextlib.closing(_Rows(self.schemas, good.places)) as rows:
            pattern = next((row for row in (rows[key] for key in keys) if row.values is not None), None)
            own = self.schemas[pattern.record] if pattern else next(iter(self.schemas.values()))
            layout = Layout(self.axes, keys, own, pattern)
            with writing(self.file) as temporary:
                result_file.write(temporary, layout, ((key, rows[key]) for key in keys), attributes)
                if pattern:
                    self._complete(temporary, layout, rows.reasons)
            reasons = {key: rows.reasons[key] for key in keys if key in rows.reasons}
        self._keep_last(block_of(keys[-1]), keys[-1], good)
        shutil.rmtree(self.parts, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.parts.parent.rmdir()  # where this was the last measure with parts
        return reasons

    def says_the_same(self) -> bool:
        """Whether the findings in the result file are those that its measure has to tell now."""
        with opened(self.file) as result:
            return result.attrs.get(FINDINGS) == account.records(self.ask.measure, result)

    def reasons(self) -> dict[Key, str]:
        """Why rows of the result file are blank, by key."""
        with contextlib.closing(ResultFile(self.file, self.schemas)) as file:
            return {key: reason for key, (_, reason) in file.about.items() if reason is not None}

    def _complete(self, path: Path, layout: Layout, reasons: Mapping[Key, str]) -> None:
        """Add to the rows what is had from all of them: `over_run`, the findings, and why rows are blank."""
        told = {NOTHING: account.told(reasons.values()), NOTHING_AT_END: reasons.get(layout.keys[-1], "")}
        told = {name: text for name, text in told.items() if text}
        with opened(path) as result:
            joined = self._joined(result, layout, reasons)
            for own, values in joined:
                arrays = {field.name: (field.axes, values[field.name], field.attributes) for field in own.fields}
                result = result.assign(arrays)
            told[FINDINGS] = account.records(self.ask.measure, result.assign_attrs(told))
        for own, values in joined:
            result_file.add(path, own, values)
        result_file.describe(path, told)

    def _joined(
        self, result: xr.Dataset, layout: Layout, reasons: Mapping[Key, str]
    ) -> list[tuple[schema.Schema, dict[str, np.ndarray]]]:
        """The fields of the measure's `over_run` or `over_runs`, if it has one, which sees the rows with answers."""
        function = schema.joined(self.ask.measure)
        if function is None:
            return []
        if len(layout.axes) == 1:
            places = [layout.place(key)[0] for key in layout.keys if key not in reasons]
            result = result.isel({layout.axes[0]: places})
        record = function(result)
        own = schema.schema_of(type(record))
        return [(own, schema.values(own, record, self.ask.measure))]

    def _keep_last(self, block: int, key: Key, good: Good) -> None:
        """The last answer of the last block stays, so that a run that grows goes on from it."""
        if not self.goes_on:
            return
        own = self.parts / f"{block}.chain"
        if own.exists():
            self._last.parent.mkdir(exist_ok=True)
            os.replace(own, self._last)
        if LastAnswer(self._last, self.ask.measure).leads_to() != (key, lineage(self._reads_at(good.places[key], key))):
            self._last.unlink(missing_ok=True)

    def _rows_in_file(self, attributes: Mapping[str, str]) -> tuple[dict[Key, Reads], bool]:
        """Each readable row's reads in the result file, and whether the file is as it would be written now."""
        if not self.file.exists():
            return {}, False
        try:
            with contextlib.closing(ResultFile(self.file, self.schemas)) as file:
                damaged = file.damaged()
                rows = {key: reads for key, (reads, _) in file.about.items() if key not in (damaged or ())}
                joined = schema.schemas_joined(self.ask.measure)
                answered = any(reason is None for _, reason in file.about.values())
                complete = not (joined and answered) or any(map(file.holds, joined))
                as_now = damaged == set() and complete and file.has_digest_of_texts
                as_now = as_now and attributes.items() <= file.attributes.items()
        except Exception as error:  # a damaged file, or another's, can raise anything
            warnings.warn(f"{self.file} is damaged ({error}); what it held is computed again", stacklevel=2)
            return {}, False
        if damaged is None or damaged:
            lost = f"{len(damaged)} of its {len(damaged) + len(rows)} rows are" if damaged else "it is"
            warnings.warn(f"{self.file} is damaged; {lost} computed again", stacklevel=2)
        return rows, as_now

    def _rows_in_parts(self) -> Iterator[tuple[Path, dict[Key, Reads]]]:
        for path in sorted(self.parts.glob("*.safetensors")):
            with contextlib.suppress(Exception):  # a damaged file can raise anything: its row is computed again
                read_row(path, self.schemas)
                key, reads = read_key(path)
                yield path, {key: reads}

    def _reads_at(self, path: Path, key: Key) -> Reads:
        if path.suffix == ".nc":
            with contextlib.closing(ResultFile(path, self.schemas)) as file:
                return file.about[key][0]
        return read_key(path)[1]


def attributes_of(ask: Ask, of: str) -> dict[str, str]:
    """What a result file says of itself; `of` names the run, or the runs."""
    told = caption("measures", ask.measure)
    fields = [
        [field.name, field.long_name, field.units]
        for one in (*schema.schemas_of(ask.measure).values(), *schema.schemas_joined(ask.measure))
        for field in one.fields
    ]
    return {
        "measure": ask.measure,
        "options": json.dumps(ask.options, sort_keys=True, default=str),
        "run": of,
        "claim": told.claim,
        "caption": told.prose,
        "formula": "\n".join(told.formulas),
        "paper": told.paper,
        "words": hashlib.blake2b(json.dumps(fields).encode(), digest_size=16).hexdigest(),
    }


def _same(answer: Answered, key: Key, question: str, digest: str) -> bool:
    return question in (CALL, BEFORE) or answer(key, question) == digest


class _Rows:
    """Rows read back from part files and from the file of an earlier visit, a few at a time."""

    def __init__(self, schemas: Mapping[str, schema.Schema], places: Mapping[Key, Path]) -> None:
        self._schemas, self._places = schemas, places
        self._file: ResultFile | None = None
        self.reasons: dict[Key, str] = {}
        """Why there is no answer, by the key of the row, for the rows read so far."""

    def __getitem__(self, key: Key) -> Row:
        path = self._places[key]
        try:
            row = self._from_file(path, key) if path.suffix == ".nc" else read_row(path, self._schemas)
        except Exception as error:  # damaged HDF5 can raise anything, MemoryError too where it lies about a size
            path.unlink(missing_ok=True)
            raise DamagedError(f"{path} could not be read ({error}); start again to compute it anew") from error
        if row.values is None:
            self.reasons[key] = row.reason
        return row

    def _from_file(self, path: Path, key: Key) -> Row:
        if self._file is None:
            self._file = ResultFile(path, self._schemas)
        return self._file.row(key)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
