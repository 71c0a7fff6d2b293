"""One measure's results over one run, on disk: part files while it is computed, one netCDF file at the end.

Each row (a step, or the whole run) carries what it was made from, so that a later visit keeps what is
still good and computes the rest. For the same rows the file is the same, byte for byte.
"""

from __future__ import annotations

import contextlib
import glob
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import xarray as xr

from interp.catalogue.names import module_of
from interp.checkpoints import Run
from interp.errors import DamagedError, InterpError, NoNumbersError
from interp.files import netcdf
from interp.files.writing import writing
from interp.provenance import Reads
from interp.results import schema, warm_starts
from interp.results.rows import Row, read_about_row, read_row, write_row
from interp.results.schema import Schema
from interp.results.warm_starts import BEFORE, Chain

WHOLE_RUN = -1
"""In the place of a step, for a measure that is called once per run."""

CALL = "call"
"""Among what a row was made from, the measure and its options."""
READS = "_reads"
FILLED: dict[str, Any] = {"f": np.nan, "i": -1, "b": False, "U": ""}
ROWS_AT_ONCE = 64


def opened(path: Path) -> xr.Dataset:
    """A kept result, its arrays read when they are used."""
    return xr.open_dataset(path, engine="h5netcdf", drop_variables=[READS], decode_timedelta=False)


@dataclass(frozen=True)
class Work:
    """Rows of one block that are to be computed."""

    steps: list[int]
    goes_on: bool = False
    """Whether the first starts from the last answer that was kept"""


class Kept:
    """The rows of one measure over one run, in `folder`."""

    def __init__(self, folder: Path, label: str, measure: str, options: dict[str, Any]) -> None:
        self.file = folder / f"{label}.nc"
        self.parts = folder / ".parts" / label
        self.measure = measure
        self.options = options
        self.schema: Schema = schema.of_measure(measure)
        self.stepless = schema.subject(measure) != "checkpoint"
        self.chained = schema.takes_previous(measure)

    def good(self, run: Run, steps: Sequence[int]) -> dict[int, Path]:
        """step -> the file that holds its row, of those of the rows at `steps` whose every read still has the same
        answer, and which started from the row before."""
        found: dict[int, Path] = {}
        made_from: dict[int, Reads] = {}
        answers = {CALL: self.call}
        for path in [self.file, *sorted(self.parts.glob("*.safetensors"))]:
            for step, reads in self._rows_in(path).items():
                if all(_answer(run, question, answers) == reads[question] for question in reads.keys() - {BEFORE}):
                    found[step], made_from[step] = path, reads
        good = warm_starts.unbroken(steps, made_from) if self.chained else [step for step in steps if step in found]
        return {step: found[step] for step in good}

    def work(self, steps: Sequence[int], good: Mapping[int, Path]) -> Work | None:
        """What is left to do of the rows at `steps`, all of one block, where those at `good` are good.

        Of rows that start from one another, those after the last answer that was kept; where that did not lead to them,
        all.
        """
        missing = [step for step in steps if step not in good]
        if not missing or not self.chained:
            return Work(missing) if missing else None
        last = self.chain(steps[0]).leads_to()
        if last and last[0] in good and last[0] in steps:
            step, lineage = last
            if lineage == warm_starts.lineage(_reads_in(good[step])[step]):
                return Work([other for other in steps if other > step], goes_on=True)
        return Work(list(steps))

    def _rows_in(self, path: Path) -> dict[int, Reads]:
        """Each row's reads; none where the file is not what this measure stores."""
        rows = _reads_in(path)
        told = all(CALL in reads and (self.stepless or f"step {step}" in reads) for step, reads in rows.items())
        return rows if rows and told and self._fits(path, list(rows)) else {}

    def _fits(self, path: Path, steps: list[int]) -> bool:
        """Whether the file holds every array of these rows, over the axes it should have."""
        with contextlib.suppress(Exception):  # of damaged HDF5, anything
            if path != self.file:
                values = read_row(path, self.schema).values
                return not values or all(values[field.name].ndim == len(field.axes) for field in self.schema.fields)
            with _netcdf(path) as file:
                axes = {field.name: self._lead(field) + field.axes for field in self.schema.fields}
                axes |= {field.name: field.axes for field in schema.of_over_run(self.measure).fields}
                in_place = all(file.variables[name].dimensions == expected for name, expected in axes.items())
                return in_place and (self.stepless or file.variables["step"][...].tolist() == steps)
        return False

    def _lead(self, field: schema.Field) -> tuple[str, ...]:
        return () if self.stepless or field.name in self.schema.axes else ("step",)

    def is_made_of(self, steps: Sequence[int], places: dict[int, Path]) -> bool:
        """Whether the file holds these rows and no others, the good ones, and no parts wait to be merged."""
        in_file = _reads_in(self.file).keys() == set(steps)
        return in_file and not self.parts.exists() and all(places[step] == self.file for step in steps)

    @property
    def call(self) -> str:
        """The measure and its options."""
        return json.dumps([self.measure, self.options], sort_keys=True, default=str)

    def write_part(self, step: int, row: Row) -> None:
        """Store a finished row in a file of its own."""
        name = "run" if step == WHOLE_RUN else f"{step:09d}"
        write_row(self.parts / f"{name}.safetensors", self.schema, row, step)

    def chain(self, step: int) -> Chain:
        """Of the rows in the block of this step."""
        return Chain(self.parts / f"{warm_starts.block(step)}.chain", self.measure)

    def merge(self, run: Run, steps: Sequence[int], places: dict[int, Path], attributes: dict[str, str]) -> list[int]:
        """Write the file from the rows at `steps`, and remove the parts; of these, the steps without finite weights."""
        for left in self.file.parent.glob(f".{glob.escape(self.file.name)}.*"):  # by a process killed while it wrote
            left.unlink(missing_ok=True)
        rows = _Rows(self.schema, places)
        blank: list[int] = []
        pattern = rows.pattern(steps)
        if pattern is None:
            raise NoNumbersError(f"{run.name}: the weights are not finite numbers at any of the steps asked for")
        with writing(self.file) as temporary:
            with netcdf.editing(temporary, "w") as file:
                self._define(file, steps, pattern, attributes)
                for chunk_start, chunk in _chunks(steps):
                    found = {step: rows[step] for step in chunk}
                    self._fill(file, chunk_start, list(found.values()), pattern)
                    blank += [step for step, row in found.items() if row.values is None]
                rows.close()
                reads = {step: rows.reads[step] for step in steps}
                _write_reads(file, reads)
            self._add_over_run(temporary)
        shutil.rmtree(self.parts, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.parts.parent.rmdir()  # where this was the last measure with parts
        return blank

    def _define(
        self,
        file: h5netcdf.File,
        steps: Sequence[int],
        pattern: dict[str, np.ndarray],
        attributes: dict[str, str],
    ) -> None:
        sizes = {
            axis: size
            for field in self.schema.fields
            for axis, size in zip(field.axes, pattern[field.name].shape, strict=True)
        }
        file.dimensions = ({} if self.stepless else {"step": len(steps)}) | sizes
        for name, text in attributes.items():
            file.attrs[name] = text
        if not self.stepless:
            file.create_variable("step", ("step",), np.int64, data=np.asarray(steps, np.int64))
            file["step"].attrs["long_name"] = "training step"
        for field in self.schema.labels:
            _create(file, field, field.axes, pattern[field.name])
        for field in self.schema.variables:
            _create(file, field, self._lead(field) + field.axes, None, pattern[field.name].dtype)

    def _fill(self, file: h5netcdf.File, start: int, rows: list[Row], pattern: dict[str, np.ndarray]) -> None:
        for field in self.schema.labels:
            for row in rows:
                if row.values is not None and not np.array_equal(row.values[field.name], pattern[field.name]):
                    raise InterpError(f"measure {self.measure}: the labels {field.name!r} differ between steps")
        for field in self.schema.variables:
            like = pattern[field.name]
            for row in rows:
                if row.values is not None and not _alike(row.values[field.name], like):
                    one, other = (f"{array.dtype} {list(array.shape)}" for array in (like, row.values[field.name]))
                    raise InterpError(
                        f"measure {self.measure}: {field.name} is {one} at one step and {other} at another; "
                        "it should be the same at all"
                    )
            blank = np.full(like.shape, FILLED[field.kind], like.dtype)
            stacked = np.stack([blank if row.values is None else row.values[field.name] for row in rows])
            stacked = _storable(stacked, field.kind)
            variable = file.variables[field.name]
            if self.stepless:
                variable[...] = stacked[0]
            else:
                variable[start : start + len(rows)] = stacked

    def _add_over_run(self, path: Path) -> None:
        """Join the fields of the measure's `over_run`, which sees the finished result."""
        extra = schema.of_over_run(self.measure)
        if not extra.fields:
            return
        with opened(path) as result:
            record = module_of("measures", self.measure).over_run(result)
            values = schema.values(extra, record, self.measure)
        with netcdf.editing(path, "r+") as file:
            for field in extra.fields:
                for axis, size in zip(field.axes, values[field.name].shape, strict=True):
                    if axis not in file.dimensions:
                        file.dimensions[axis] = size
                _create(file, field, field.axes, values[field.name])


def _create(
    file: h5netcdf.File,
    field: schema.Field,
    axes: tuple[str, ...],
    data: np.ndarray | None,
    dtype: Any = None,
) -> None:
    dtype = np.asarray(data).dtype if data is not None else dtype
    stored = {"U": h5py.string_dtype(), "b": np.int8}.get(field.kind, dtype)
    variable = file.create_variable(field.name, axes, stored)
    if data is not None:
        variable[...] = _storable(np.asarray(data), field.kind)
    if field.kind == "b":
        variable.attrs["dtype"] = "bool"
    variable.attrs["long_name"] = field.long_name
    if field.units:
        variable.attrs["units"] = field.units


def _answer(run: Run, question: str, answers: dict[str, str]) -> str:
    """The run's, asked once."""
    if question not in answers:
        answers[question] = run.answer(question)
    return answers[question]


def _alike(array: np.ndarray, like: np.ndarray) -> bool:
    """Of one shape and, but for texts, of one type."""
    return array.shape == like.shape and (array.dtype == like.dtype or array.dtype.kind == "U")


def _storable(array: np.ndarray, kind: str) -> np.ndarray:
    return array.astype({"b": np.int8, "U": object}.get(kind, array.dtype), copy=False)


@contextlib.contextmanager
def _netcdf(path: Path) -> Iterator[h5netcdf.File]:
    """Opened by h5py, which refuses what is not HDF5 without a trace."""
    with h5py.File(path, "r") as opened_by_h5py, h5netcdf.File(opened_by_h5py, "r") as file:
        yield file


def _chunks(steps: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    iterator = iter(steps)
    start = 0
    while chunk := list(islice(iterator, ROWS_AT_ONCE)):
        yield start, chunk
        start += len(chunk)


class _Rows:
    """Rows read back from part files and from the file of an earlier visit, a few at a time."""

    def __init__(self, schema: Schema, places: dict[int, Path]) -> None:
        self.schema = schema
        self.places = places
        self.reads: dict[int, Reads] = {}
        self._file: Any = None

    def pattern(self, steps: Sequence[int]) -> dict[str, np.ndarray] | None:
        """The first whole row: every other has its shapes, types and labels."""
        return next((row.values for row in (self[step] for step in steps) if row.values is not None), None)

    def __getitem__(self, step: int) -> Row:
        path = self.places[step]
        try:
            row = self._from_file(path, step) if path.suffix == ".nc" else read_row(path, self.schema)
        except Exception as error:  # of damaged HDF5, anything, MemoryError too where it lies about a size
            path.unlink(missing_ok=True)
            raise DamagedError(f"{path} could not be read ({error}); start again to compute it anew") from error
        self.reads[step] = row.reads
        return row

    def _from_file(self, path: Path, step: int) -> Row:
        if self._file is None:
            file = h5netcdf.File(path, "r", decode_vlen_strings=True)
            stepless = "step" not in file.variables
            index = {WHOLE_RUN: ...} if stepless else {int(s): i for i, s in enumerate(file["step"][...])}
            self._file = file, index, _reads_in(path)
        file, index, reads = self._file
        values = {
            field.name: np.asarray(
                file[field.name][...] if field.name in self.schema.axes else file[field.name][index[step]]
            )
            for field in self.schema.fields
        }
        typed = {
            field.name: values[field.name].astype(
                {"b": np.bool_, "U": np.str_}.get(field.kind, values[field.name].dtype)
            )
            for field in self.schema.fields
        }
        return Row(typed, reads[step])

    def close(self) -> None:
        if self._file is not None:
            self._file[0].close()


def _reads_in(path: Path) -> dict[int, Reads]:
    """Each row's reads; none where the file is not there, damaged, or not of ours: its rows are computed again."""
    try:
        if path.suffix == ".safetensors":
            step, reads = read_about_row(path)
            return {int(step): reads}
        with _netcdf(path) as file:
            content = json.loads(bytes(file[READS][...]))
        notes = content["notes"]
        return {int(step): dict(notes[number] for number in numbers) for step, numbers in content["rows"].items()}
    except Exception:  # of damaged HDF5, anything
        return {}


def _write_reads(file: h5netcdf.File, reads: dict[int, Reads]) -> None:
    numbers: dict[tuple[str, str], int] = {}
    rows = {
        step: [numbers.setdefault(note, len(numbers)) for note in sorted(row.items())] for step, row in reads.items()
    }
    text = json.dumps({"notes": list(numbers), "rows": rows}).encode()
    file.dimensions["_reads_byte"] = len(text)
    file.create_variable(READS, ("_reads_byte",), np.uint8, data=np.frombuffer(text, np.uint8))
