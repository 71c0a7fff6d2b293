"""The result of one measure as a netCDF file: labelled arrays, and for each row what it was made from.

The rows stand on named axes in front of the measure's own: [step, freq], [run, predictor], or on none where there is
one row. A row without an answer is blank in every array, and its reason is kept. Arrays carry HDF5's own checksum of
every chunk; what cannot be chunked (texts, single numbers) has a digest beside it, and so have all attributes together:
a flipped bit is noticed when the rows are read. For the same rows the file is the same, byte for byte.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import xarray as xr

from interp.errors import InterpError
from interp.files import netcdf
from interp.provenance import Reads
from interp.results.rows import Key, Row
from interp.results.schema import Field, Schema

ABOUT = "_rows"
"""The variable that holds, as JSON in bytes, what each row was made from and why some are blank."""
DIGEST = "digest"
TEXTS = "texts"
"""The attribute that holds a digest of all others, of the file and of its variables."""
RECORD = "record"
ROOM = 4096
"""Bytes that HDF5 may need beside what is added."""
ROWS_AT_ONCE = 64
MOST_IN_MEMORY = 2**27
"""Bytes of rows of many runs that are collected before they are written: a write for each run takes longer."""
READ_AT_ONCE = 2**22
"""Bytes of a file that is read whole when it is opened."""
MOST_AT_ONCE = 2**24
"""Bytes that are read at once where all are looked at."""
LONG_NAMES = {"step": "training step", "run": "run"}


def opened(path: Path) -> xr.Dataset:
    """A stored result; of a large one the arrays are read when they are used."""
    if path.stat().st_size > READ_AT_ONCE:
        return xr.open_dataset(path, engine="h5netcdf", drop_variables=[ABOUT], decode_timedelta=False)
    return netcdf.read(path, leaving_out=ABOUT)


class Layout:
    """Where rows stand: their keys over the axes in front, and the pattern of values that each of them has."""

    def __init__(
        self,
        axes: Sequence[str],
        keys: Sequence[Key],
        schema: Schema,
        pattern: Row | None,
        labels: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        """`labels` are those along the first of the axes, a grid's, of which some places may be empty."""
        self.axes, self.keys, self.schema = tuple(axes), list(keys), schema
        self.runs = tuple(labels or ())
        """The axes on which runs stand; none where there is one run."""
        self.labels = {axis: list(dict.fromkeys(key[place] for key in keys)) for place, axis in enumerate(axes)}
        if labels:
            self.labels |= {axis: list(along) for axis, along in labels.items()}
            if axes[-1] == "step":
                self.labels["step"].sort()
        self._places = {axis: {label: place for place, label in enumerate(one)} for axis, one in self.labels.items()}
        self.values = pattern.values if pattern and pattern.values is not None else {}
        self.record = pattern.record if pattern else ""

    def place(self, key: Key) -> tuple[int, ...]:
        """The row's place along each axis in front."""
        return tuple(self._places[axis][label] for axis, label in zip(self.axes, key, strict=True))

    def place_of_run(self, key: Key) -> tuple[int, ...]:
        """The place of a run along the axes of runs; `key` may go on with a step."""
        return tuple(self._places[axis][label] for axis, label in zip(self.runs, key, strict=False))

    def lead_of(self, schema: Schema, field: Field) -> tuple[str, ...]:
        """The axes of a field that a whole run has one of."""
        return field.axes if field.name in schema.axes else self.runs + field.axes

    def lead(self, field: Field) -> tuple[str, ...]:
        """The axes in front of a field's own: none of what labels an axis."""
        return () if field.name in self.schema.axes else self.axes

    @property
    def count(self) -> int:
        """The rows that there is room for."""
        return math.prod(map(len, self.labels.values()))

    @property
    def sizes(self) -> dict[str, int]:
        own = {
            axis: size
            for field in self.schema.fields
            if field.name in self.values
            for axis, size in zip(field.axes, self.values[field.name].shape, strict=True)
        }
        return {axis: len(labels) for axis, labels in self.labels.items()} | own


def write(path: Path, layout: Layout, rows: Iterator[tuple[Key, Row]], attributes: Mapping[str, str]) -> None:
    """Write the rows, in the order of the layout's keys; `complete` ends the file.

    Raises InterpError where one is unlike the others.
    """
    about: dict[Key, tuple[Reads, str]] = {}
    values = layout.values.values()
    netcdf.make_room(path, ROOM * (len(values) + 1) + layout.count * sum(array.nbytes for array in values))
    with netcdf.editing(path, "w") as file:
        file.dimensions = layout.sizes
        for name, text in ({RECORD: layout.record} | dict(attributes)).items():
            file.attrs[name] = text
        for axis, labels in layout.labels.items():
            long_name = LONG_NAMES.get(axis, axis.replace("_", " "))
            _create(file, Field(axis, (axis,), _kind_of(labels), long_name, ""), (axis,), labels)
        fields = layout.schema.fields if layout.values else ()
        labels = [field for field in fields if field.name in layout.schema.axes and field.name not in layout.axes]
        stacked = [field for field in fields if field.name not in layout.schema.axes]
        for field in labels:
            _create(file, field, field.axes, layout.values[field.name])
        for field in stacked:
            chunked = _chunk_of_runs if layout.runs else _chunk_shape
            _create(file, field, layout.axes + field.axes, None, layout.values[field.name].dtype, chunked)
        filler = _Filler(file, layout, stacked) if layout.runs else None
        for chunk in _by_run(rows, len(layout.runs)) if layout.runs else _chunks(rows):
            about |= {key: (row.reads, row.reason) for key, row in chunk}
            _check(layout, labels, stacked, [row for _, row in chunk], attributes["measure"])
            if filler:
                filler.fill(chunk)
                continue
            for field in stacked:
                _fill(file.variables[field.name], layout, field, chunk)
        if filler:
            filler.finish()
        for field in stacked:
            _seal(file.variables[field.name])
        _write_about(file, layout.axes, about)


def complete(
    path: Path,
    layout: Layout,
    records: Sequence[tuple[Schema, Mapping[str, np.ndarray]]],
    texts: Mapping[str, str],
) -> None:
    """Add what is had from all rows, and seal the file.

    These are the fields of other records, which are of the whole result, or of the whole of each run, and attributes.
    """
    arrays = [array for _, values in records for array in values.values()]
    size = sum(array.nbytes for array in arrays) + 2 * sum(len(text.encode()) for text in texts.values())
    netcdf.make_room(path, ROOM * (len(arrays) + 1) + size)
    with netcdf.editing(path, "r+") as file:
        for schema, values in records:
            for field in schema.fields:
                axes = layout.lead_of(schema, field)
                for axis, size in zip(axes, values[field.name].shape, strict=True):
                    if axis not in file.dimensions:
                        file.dimensions[axis] = size
                _create(file, field, axes, values[field.name])
        for name, text in texts.items():
            file.attrs[name] = text
        file.attrs[TEXTS] = _texts(file)


class ResultFile:
    """A stored result, its rows read one at a time."""

    def __init__(self, path: Path, schemas: Mapping[str, Schema]) -> None:
        """Raises whatever comes of a file that is damaged, or not of ours."""
        self._held = contextlib.ExitStack()
        with self._closing_where_it_fails():
            opened_by_h5py = self._held.enter_context(h5py.File(path, "r"))  # which refuses what is not HDF5 at once
            self._file = self._held.enter_context(h5netcdf.File(opened_by_h5py, "r", decode_vlen_strings=True))
            content = json.loads(bytes(self._file[ABOUT][...]))
            notes = [tuple(note) for note in content["notes"]]
            self.about: dict[Key, tuple[Reads, str | None]] = {
                tuple(key): (dict(notes[number] for number in numbers), reason)
                for key, numbers, reason in content["rows"]
            }
            self.attributes = {name: str(value) for name, value in self._file.attrs.items()}
            self._schema = schemas.get(self.attributes.get(RECORD, ""))
            self._axes = tuple(content["axes"])
            self._places = {key: place for place, key in enumerate(self.about)}
            self._check_axes()

    @contextlib.contextmanager
    def _closing_where_it_fails(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _check_axes(self) -> None:
        answered = any(reason is None for _, reason in self.about.values())
        if answered and self._schema is None:
            raise ValueError("it holds another record")
        for field in self._schema.fields if self._schema and answered else ():
            labels = field.name in self._schema_axes
            expected = field.axes if labels else self._axes + field.axes
            if field.name in self._axes:
                continue
            if self._file.variables[field.name].dimensions != expected:
                raise ValueError(f"{field.name} has other axes")
        grid = [np.asarray(self._file.variables[axis][...]).tolist() for axis in self._axes]
        self._numbers = [{label: place for place, label in enumerate(labels)} for labels in grid]
        if any(label not in known for key in self.about for label, known in zip(key, self._numbers, strict=True)):
            raise ValueError("its rows are not those of its axes")
        self._grid = grid
        self._read: dict[str, tuple[tuple[int, ...], np.ndarray]] = {}

    def holds(self, schema: Schema, runs: tuple[str, ...]) -> bool:
        """Whether every field of a record that is of the whole result, or of the whole of each run, stands in it."""
        variables = self._file.variables
        lead = {field.name: () if field.name in schema.axes else runs for field in schema.fields}
        return all(
            field.name in variables and variables[field.name].dimensions == lead[field.name] + field.axes
            for field in schema.fields
        )

    def has_labels(self, labels: Mapping[str, Sequence[Any]]) -> bool:
        """Whether these stand along its first axes."""
        found = dict(zip(self._axes, self._grid, strict=True))
        return all(found.get(axis) == list(along) for axis, along in labels.items())

    def row(self, key: Key) -> Row:
        """Raises whatever comes of damage."""
        reads, reason = self.about[key]
        if reason is not None:
            return Row(None, reads, reason=reason)
        assert self._schema is not None
        place = self._place(key)
        values = {}
        for field in self._schema.fields:
            if field.name in self._axes:
                values[field.name] = np.asarray([key[self._axes.index(field.name)]])
                continue
            found = np.asarray(self._at(field.name, () if field.name in self._schema.axes else place))
            values[field.name] = found.astype({"b": np.bool_, "U": np.str_}.get(field.kind, found.dtype))
        return Row(values, reads, self._schema.record)

    def _place(self, key: Key) -> tuple[int, ...]:
        return tuple(places[label] for label, places in zip(key, self._numbers, strict=True))

    def _at(self, name: str, place: tuple[int, ...]) -> Any:
        """The values of a variable at a place, () for all; what is read together with them is remembered."""
        known = self._read.get(name)
        if known is None or known[0] != place[: len(known[0])]:
            self._read[name] = known = self._read_with(self._file.variables[name], place)
        return known[1][place[len(known[0]) :] or ...]

    def _read_with(self, variable: h5netcdf.Variable, place: tuple[int, ...]) -> tuple[tuple[int, ...], np.ndarray]:
        """A row; of several axes the whole of a small variable, or what stands along the last; and where that is."""
        if len(place) > 1:
            small = math.prod(variable.shape) * variable.dtype.itemsize <= MOST_AT_ONCE
            lead = () if small else place[:-1]
            with contextlib.suppress(Exception):  # where another row is damaged, this one is read alone
                return lead, np.asarray(variable[lead or ...])
        return place, np.asarray(variable[place or ...])

    @property
    def has_digest_of_texts(self) -> bool:
        """Results of earlier versions have none, and are no worse for it."""
        return TEXTS in self.attributes

    def damaged(self) -> set[Key] | None:
        """The rows that cannot be read as they were written; None where the rest of the file is damaged alone."""
        bad: set[Key] = set()
        whole = not self.has_digest_of_texts or self.attributes[TEXTS] == _texts(self._file)
        own = {field.name for field in self._schema.fields} if self._schema else set()
        for name, variable in self._file.variables.items():
            try:
                _verify(variable)
            except Exception:  # damaged HDF5 can raise anything
                whole = False
                if name in own and name not in self._schema_axes:
                    bad |= {key for key in self.about if not self._is_readable(variable, key)}
                elif name in (*own, *self._axes, ABOUT):
                    return set(self.about)
        return None if not whole and not bad else bad

    @property
    def _schema_axes(self) -> tuple[str, ...]:
        return self._schema.axes if self._schema else ()

    def _is_readable(self, variable: h5netcdf.Variable, key: Key) -> bool:
        place = self._place(key)
        with contextlib.suppress(Exception):  # damaged HDF5 can raise anything
            variable[place]
            return DIGEST not in variable.attrs  # a digest is of the whole variable
        return False

    def close(self) -> None:
        self._held.close()


def _create(
    file: h5netcdf.File,
    field: Field,
    axes: tuple[str, ...],
    data: Any,
    dtype: Any = None,
    chunked: Callable[[tuple[int, ...], int], tuple[int, ...]] | None = None,
) -> None:
    """A variable with its checksum; its values, where they are given."""
    values = None if data is None else _storable(np.asarray(data), field.kind)
    dtype = dtype if values is None else values.dtype
    stored = {"U": h5py.string_dtype(), "b": np.dtype(np.int8)}.get(field.kind, dtype)
    shape = tuple(file.dimensions[axis].size for axis in axes)
    checked: dict[str, Any] = {}
    if shape and all(shape) and field.kind != "U":
        checked = {"fletcher32": True, "chunks": (chunked or _chunk_shape)(shape, np.dtype(stored).itemsize)}
    variable = file.create_variable(field.name, axes, stored, **checked)
    if field.kind == "b":
        variable.attrs["dtype"] = "bool"
    variable.attrs["long_name"] = field.long_name
    if field.units:
        variable.attrs["units"] = field.units
    if values is not None:
        variable[...] = values
        _seal(variable)


def _chunk_of_runs(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """As much of the last axes as makes a megabyte."""
    chunk: list[int] = []
    for size in reversed(shape):
        chunk.insert(0, max(1, min(size, 2**20 // (itemsize * math.prod(chunk)))))
    return tuple(chunk)


def _chunk_shape(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Whole rows, at most about a megabyte of them, of the same number in each chunk."""
    row = max(itemsize * math.prod(shape[1:]), 1)
    most = max(1, min(ROWS_AT_ONCE, 2**20 // row, shape[0]))
    return (math.ceil(shape[0] / math.ceil(shape[0] / most)), *shape[1:])


def _seal(variable: h5netcdf.Variable) -> None:
    """Put a digest beside what HDF5 keeps no checksum of."""
    if not variable.fletcher32:
        variable.attrs[DIGEST] = _digest(variable)


def _digest(variable: h5netcdf.Variable) -> str:
    values = np.asarray(variable[...]).ravel().tolist()
    texts = [value.decode() if isinstance(value, bytes) else value for value in values]  # as the file was opened
    return hashlib.blake2b(repr(texts).encode(), digest_size=16).hexdigest()


def _texts(file: h5netcdf.File) -> str:
    """HDF5 keeps no checksum of texts."""
    own = {name: str(value) for name, value in sorted(file.attrs.items()) if name != TEXTS}
    others = {
        name: {each: str(value) for each, value in sorted(variable.attrs.items())}
        for name, variable in sorted(file.variables.items())
    }
    return hashlib.blake2b(json.dumps([own, others]).encode(), digest_size=16).hexdigest()


def _verify(variable: h5netcdf.Variable) -> None:
    """Raises where a checksum or a digest does not hold."""
    if DIGEST in variable.attrs:
        if variable.attrs[DIGEST] != _digest(variable):
            raise ValueError("it is not what was written")
        return
    rows, row = variable.shape[0], math.prod(variable.shape[1:]) * variable.dtype.itemsize
    at_once = max(ROWS_AT_ONCE if row * ROWS_AT_ONCE <= MOST_AT_ONCE else 1, MOST_AT_ONCE // max(row, 1))
    for start in range(0, rows, at_once):
        variable[start : start + at_once]


class _Filler:
    """Writes rows of many runs: each array at once where all of them are small together, else a run at a time."""

    def __init__(self, file: h5netcdf.File, layout: Layout, fields: Sequence[Field]) -> None:
        self._file, self._layout, self._fields = file, layout, fields
        sizes = [len(layout.labels[axis]) for axis in layout.axes]
        self._runs, self._steps = tuple(sizes[: len(layout.runs)]), tuple(sizes[len(layout.runs) :])
        self._empty = set(itertools.product(*map(range, self._runs)))
        at_once = math.prod(sizes) * sum(layout.values[field.name].nbytes for field in fields) <= MOST_IN_MEMORY
        self._whole = {field.name: self._blank(field, self._runs) for field in fields} if at_once else {}

    def fill(self, rows: list[tuple[Key, Row]]) -> None:
        """Write all rows of a run."""
        place = self._layout.place_of_run(rows[0][0])
        self._empty.discard(place)
        for field in self._fields:
            values, lead = (self._whole[field.name], place) if self._whole else (self._blank(field), ())
            for key, row in rows:
                if row.values is not None:
                    own = (*lead, *self._layout.place(key)[len(self._runs) :])
                    given = row.values[field.name]
                    values[own or ...] = given.tolist() if field.kind == "U" else given
            if not self._whole:
                self._file.variables[field.name][place] = _storable(values, field.kind)

    def finish(self) -> None:
        """Write what was collected, and blanks where no run is."""
        for field in self._fields:
            variable = self._file.variables[field.name]
            if self._whole:
                variable[...] = _storable(self._whole[field.name], field.kind)
            else:
                for place in sorted(self._empty):
                    variable[place] = _storable(self._blank(field), field.kind)

    def _blank(self, field: Field, runs: tuple[int, ...] = ()) -> np.ndarray:
        like = self._layout.values[field.name]
        dtype = object if field.kind == "U" else like.dtype
        return np.full((*runs, *self._steps, *like.shape), field.blank, dtype)


def _fill(variable: h5netcdf.Variable, layout: Layout, field: Field, chunk: list[tuple[Key, Row]]) -> None:
    like = layout.values[field.name]
    blank = np.full(like.shape, field.blank, like.dtype)
    rows = [blank if row.values is None else row.values[field.name] for _, row in chunk]
    places = [layout.place(key) for key, _ in chunk]
    if len(layout.axes) == 1:
        variable[places[0][0] : places[-1][0] + 1] = _storable(np.stack(rows), field.kind)
        return
    for place, values in zip(places, rows, strict=True):
        variable[place or ...] = _storable(values, field.kind)


class UnlikeRunsError(InterpError):
    """Rows of different runs that cannot stand in one array: their labels or sizes differ."""


def _check(layout: Layout, labels: Sequence[Field], stacked: Sequence[Field], rows: list[Row], measure: str) -> None:
    """Raises InterpError where a row's labels, shapes or types are not those of the others."""
    many = bool(layout.runs)
    places = "runs" if many else "steps"
    unlike = UnlikeRunsError if many else InterpError
    remedy = "choose runs in which they are the same: sweep.sel(…)" if many else "it should be the same at all"
    for row in rows:
        if row.values is None:
            continue
        if row.record != layout.record:
            raise unlike(f"measure {measure}: it answers with {layout.record} at one place, {row.record} at another")
        for field in labels:
            if not np.array_equal(row.values[field.name], layout.values[field.name]):
                raise unlike(
                    f"measure {measure}: the labels {field.name!r} differ between {places}" + f"; {remedy}" * many
                )
        for field in stacked:
            array, like = row.values[field.name], layout.values[field.name]
            if array.shape != like.shape or (array.dtype != like.dtype and array.dtype.kind != "U"):
                one, other = (f"{each.dtype} {list(each.shape)}" for each in (like, array))
                raise unlike(
                    f"measure {measure}: {field.name} is {one} at one {places[:-1]} and {other} at another; {remedy}"
                )


def _storable(array: np.ndarray, kind: str) -> np.ndarray:
    return array.astype({"b": np.int8, "U": object}.get(kind, array.dtype), copy=False)


def _kind_of(labels: Sequence[int | float | str]) -> str:
    if any(isinstance(label, str) for label in labels):
        return "U"
    return "f" if any(isinstance(label, float) for label in labels) else "i"


def _by_run(rows: Iterator[tuple[Key, Row]], axes: int) -> Iterator[list[tuple[Key, Row]]]:
    """The rows of each run together."""
    for _, of_run in itertools.groupby(rows, lambda one: one[0][:axes]):
        yield list(of_run)


def _chunks(rows: Iterator[tuple[Key, Row]]) -> Iterator[list[tuple[Key, Row]]]:
    chunk: list[tuple[Key, Row]] = []
    for one in rows:
        chunk.append(one)
        if len(chunk) == ROWS_AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _write_about(file: h5netcdf.File, axes: Sequence[str], about: Mapping[Key, tuple[Reads, str]]) -> None:
    numbers: dict[tuple[str, str], int] = {}
    rows = [
        [list(key), [numbers.setdefault(note, len(numbers)) for note in sorted(reads.items())], reason or None]
        for key, (reads, reason) in about.items()
    ]
    text = json.dumps({"axes": list(axes), "notes": list(numbers), "rows": rows}).encode()
    file.dimensions["_rows_byte"] = len(text)
    data = np.frombuffer(text, np.uint8)
    file.create_variable(ABOUT, ("_rows_byte",), np.uint8, data=data, fletcher32=True, chunks=(len(text),))
