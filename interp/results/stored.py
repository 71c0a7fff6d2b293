"""One measure's rows on disk: part files while they are computed, one netCDF file at the end.

Each row carries what it was made from, so that a later visit keeps what is still good and computes the rest.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import itertools
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from interp.catalogue.caption import caption
from interp.errors import DamagedError
from interp.files.writing import writing
from interp.provenance import Reads
from interp.recipes.asks import Ask
from interp.recipes.grid import portable
from interp.results import account, result_file, schema
from interp.results.account import FINDINGS, NOTHING, NOTHING_AT_END
from interp.results.result_file import Layout, ResultFile, opened
from interp.results.rows import Key, Row, read_rows, write_row, write_rows
from interp.results.warm_starts import BEFORE, LastAnswer, block_of, lineage, unbroken

CALL = "call"
"""Among what a row was made from, the measure and its options."""
PARTS, LAST = ".parts", ".last"
"""Folders beside the results: of rows that are not merged yet, and of the last answers that the next start from."""

Answered = Callable[[Key, str, str], bool]
"""Whether the present answer to a question that a row was made from is still the one that was noted."""


@dataclass(frozen=True)
class Good:
    """The rows that need not be computed."""

    places: dict[Key, Path]
    """Where each lies"""
    whole: bool
    """Whether the result file holds these rows and no others, as they would be written now"""


class Stored:
    """The rows of one measure, in `folder`, over the named axes in front."""

    def __init__(
        self, folder: Path, ask: Ask, axes: tuple[str, ...], labels: Mapping[str, Sequence[Any]] | None = None
    ) -> None:
        """`labels` are those along the first of the axes, where they are known beside the rows: a grid's."""
        self.ask, self.axes, self.labels = ask, axes, dict(labels or {})
        self.file = folder / f"{ask.label}.nc"
        self.parts = folder / PARTS / ask.label
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
                    question in (CALL, BEFORE) or answer(key, question, digest) for question, digest in reads.items()
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
        write_row(self.parts / f"{_name(key) or 'run'}.safetensors", row, key)

    def write_parts(self, rows: Mapping[Key, Row]) -> None:
        """Store finished rows together in one file."""
        write_rows(self.parts / f"{_name(next(iter(rows))) or 'run'}.safetensors", rows)

    def last_answer(self, block: Key, computing: bool = False) -> LastAnswer:
        """The last answer of a block; that of an earlier visit where there is no other, unless one is `computing`."""
        own = self._chain(block)
        return LastAnswer(own if computing or own.exists() else self._last(block), self.ask.measure)

    def _chain(self, block: Key) -> Path:
        """Where the last answer of a block lies while its rows are computed."""
        return self.parts / ("-".join([*map(portable, block[:-1]), str(block[-1])]) + ".chain")

    def _last(self, block: Key) -> Path:
        """Where the last answer of a run stays."""
        name = (
            f"{self.ask.label}.safetensors" if len(block) == 1 else f"{self.ask.label}/{_name(block[:-1])}.safetensors"
        )
        return self.file.parent / LAST / name

    def merge(self, keys: Sequence[Key], good: Good, attributes: Mapping[str, str]) -> dict[Key, str]:
        """Write the result file from the rows at `keys`, and remove the parts. Why rows are blank, by key."""
        for left in self.file.parent.glob(f".{glob.escape(self.file.name)}.*"):  # of a process killed while it wrote
            left.unlink(missing_ok=True)
        with contextlib.closing(_Rows(self.schemas, good.places)) as rows:
            pattern = next((row for row in (rows[key] for key in keys) if row.values is not None), None)
            own = self.schemas[pattern.record] if pattern else next(iter(self.schemas.values()))
            layout = Layout(self.axes, keys, own, pattern, self.labels)
            with writing(self.file) as temporary:
                result_file.write(temporary, layout, ((key, rows[key]) for key in keys), attributes)
                joined, told = self._had_from_all(temporary, layout, rows.reasons) if pattern else ([], {})
                result_file.complete(temporary, layout, joined, told)
            reasons = {key: rows.reasons[key] for key in keys if key in rows.reasons}
        if self.goes_on:
            for _, of_run in itertools.groupby(keys, lambda key: key[:-1]):
                self._keep_last(list(of_run)[-1], good)
        shutil.rmtree(self.parts, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.parts.parent.rmdir()  # where this was the last measure with parts
        return reasons

    def says_the_same(self) -> bool:
        """Whether the findings in the result file are those that its measure has to tell now; of many runs none."""
        if self.labels:
            return True
        with opened(self.file) as result:
            return result.attrs.get(FINDINGS) == account.records(self.ask.measure, result)

    def reasons(self) -> dict[Key, str]:
        """Why rows of the result file are blank, by key."""
        with contextlib.closing(ResultFile(self.file, self.schemas)) as file:
            return {key: reason for key, (_, reason) in file.about.items() if reason is not None}

    def _had_from_all(
        self, path: Path, layout: Layout, reasons: Mapping[Key, str]
    ) -> tuple[list[tuple[schema.Schema, dict[str, np.ndarray]]], dict[str, str]]:
        """What all the rows together tell: `over_run`; and in words, by attribute, findings and why rows are blank."""
        at_end = "" if self.labels else reasons.get(layout.keys[-1], "")
        told = {NOTHING: account.told(reasons.values()), NOTHING_AT_END: at_end}
        told = {name: text for name, text in told.items() if text}
        with opened(path) as result:
            joined = self._joined(result, layout, reasons)
            for own, values in joined:
                arrays = {
                    field.name: (layout.lead_of(own, field), values[field.name], field.attributes)
                    for field in own.fields
                }
                result = result.assign(arrays)
            if not self.labels:  # a summary is of one run
                told[FINDINGS] = account.records(self.ask.measure, result.assign_attrs(told))
        return joined, told

    def _joined(
        self, result: xr.Dataset, layout: Layout, reasons: Mapping[Key, str]
    ) -> list[tuple[schema.Schema, dict[str, np.ndarray]]]:
        """The fields of the measure's `over_run` or `over_runs`, if it has one, which sees the rows with answers."""
        function = schema.joined(self.ask.measure)
        if function is None:
            return []
        if self.labels:
            return self._joined_by_run(function, result, layout, reasons)
        if len(layout.axes) == 1:
            places = [layout.place(key)[0] for key in layout.keys if key not in reasons]
            result = result.isel({layout.axes[0]: places})
        record = function(result)
        own = schema.schema_of(type(record))
        return [(own, schema.values(own, record, self.ask.measure))]

    def _joined_by_run(
        self, function: Callable[..., Any], result: xr.Dataset, layout: Layout, reasons: Mapping[Key, str]
    ) -> list[tuple[schema.Schema, dict[str, np.ndarray]]]:
        """The same of each run by itself; nothing, with a warning, where their sizes differ from run to run."""
        found: dict[tuple[int, ...], tuple[schema.Schema, dict[str, np.ndarray]]] = {}
        for run, keys in itertools.groupby((key for key in layout.keys if key not in reasons), self._run_of):
            place = layout.place_of_run(run)
            steps = [layout.labels["step"].index(key[-1]) for key in keys] if self.axes[-1] == "step" else None
            one = result.isel(dict(zip(self.labels, place, strict=True)))
            record = function(one if steps is None else one.isel(step=steps))
            own = schema.schema_of(type(record))
            found[place] = own, schema.values(own, record, self.ask.measure)
        if not found:
            return []
        own, like = next(iter(found.values()))
        shapes = {name: array.shape for name, array in like.items()}
        if any(each is not own or {n: a.shape for n, a in values.items()} != shapes for each, values in found.values()):
            warnings.warn(
                f"{self.ask.label}: what is said of a whole run has other sizes from run to run", stacklevel=2
            )
            return []
        sizes = tuple(map(len, self.labels.values()))
        joined: dict[str, np.ndarray] = {}
        for field in own.fields:
            if field.name in own.axes:
                joined[field.name] = like[field.name]
                continue
            kind = max((values[field.name].dtype for _, values in found.values()), key=lambda one: one.itemsize)
            joined[field.name] = np.full((*sizes, *shapes[field.name]), field.blank, kind)
            for place, (_, values) in found.items():
                joined[field.name][place] = values[field.name]
        return [(own, joined)]

    def _run_of(self, key: Key) -> Key:
        return key[: len(self.labels)]

    def _keep_last(self, key: Key, good: Good) -> None:
        """The last answer of a run's last block stays, so that a run that grows goes on from it."""
        own, kept = self._chain(block_of(key)), self._last(block_of(key))
        if own.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            os.replace(own, kept)
        if LastAnswer(kept, self.ask.measure).leads_to() != (key, lineage(self._reads_at(good.places[key], key))):
            kept.unlink(missing_ok=True)

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
                lead = tuple(self.labels)
                complete = not (joined and answered) or any(file.holds(own, lead) for own in joined)
                as_now = damaged == set() and complete and file.has_digest_of_texts
                as_now = as_now and attributes.items() <= file.attributes.items() and file.has_labels(self.labels)
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
                yield path, {key: row.reads for key, row in read_rows(path, self.schemas).items()}

    def _reads_at(self, path: Path, key: Key) -> Reads:
        if path.suffix == ".nc":
            with contextlib.closing(ResultFile(path, self.schemas)) as file:
                return file.about[key][0]
        return read_rows(path, self.schemas)[key].reads


def _name(key: Key) -> str:
    """A place as the name of a file."""
    return "-".join(f"{one:09d}" if isinstance(one, int) else portable(one) for one in key)


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


class _Rows:
    """Rows read back from part files and from the file of an earlier visit, a few at a time."""

    def __init__(self, schemas: Mapping[str, schema.Schema], places: Mapping[Key, Path]) -> None:
        self._schemas, self._places = schemas, places
        self._file: ResultFile | None = None
        self._part: tuple[Path, dict[Key, Row]] | None = None
        self.reasons: dict[Key, str] = {}
        """Why there is no answer, by the key of the row, for the rows read so far."""

    def __getitem__(self, key: Key) -> Row:
        path = self._places[key]
        try:
            row = self._from_file(path, key) if path.suffix == ".nc" else self._from_part(path, key)
        except Exception as error:  # damaged HDF5 can raise anything, MemoryError too where it lies about a size
            path.unlink(missing_ok=True)
            raise DamagedError(f"{path} could not be read ({error}); start again to compute it anew") from error
        if row.values is None:
            self.reasons[key] = row.reason
        return row

    def _from_part(self, path: Path, key: Key) -> Row:
        if self._part is None or self._part[0] != path:
            self._part = path, read_rows(path, self._schemas)
        return self._part[1][key]

    def _from_file(self, path: Path, key: Key) -> Row:
        if self._file is None:
            self._file = ResultFile(path, self._schemas)
        return self._file.row(key)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
