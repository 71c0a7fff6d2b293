"""One answer of a measure: a row of its result, in a file of its own until the result is whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interp.files.arrays import packed, read_about, read_arrays
from interp.files.writing import writing
from interp.provenance import Reads
from interp.results.schema import Schema

Key = tuple[int | float | str, ...]
"""Where a row stands on the named axes of its result: (step,), (run,), (seed, weight_decay, step), or () of one row."""


@dataclass(frozen=True)
class Row:
    """What a measure answered, and what that was made from."""

    values: dict[str, np.ndarray] | None
    """Arrays by field; None where there is no answer"""
    reads: Reads
    record: str = ""
    """The name of the dataclass that was answered with"""
    reason: str = ""
    """Why there is no answer"""


def write_row(path: Path, row: Row, key: Key) -> None:
    """Store the row, whose place is `key`; one that a power cut damages is noticed, and computed again."""
    values = row.values or {}
    texts = {name for name, array in values.items() if array.dtype.kind == "U"}
    about = {
        "key": list(key),
        "record": row.record,
        "reason": row.reason,
        "reads": row.reads,
        "texts": {name: array.tolist() for name, array in values.items() if name in texts},
    }
    _write(path, packed({name: array for name, array in values.items() if name not in texts}, about))


def _write(path: Path, content: bytes) -> None:
    with writing(path, outlives="process") as temporary:
        temporary.write_bytes(content)


def read_row(path: Path, schemas: Mapping[str, Schema]) -> Row:
    """The row in a file, of one of these schemas. Raises whatever comes of a file that is damaged, or another's."""
    return _row(*read_arrays(path), schemas)


def _row(arrays: dict[str, np.ndarray], about: Any, schemas: Mapping[str, Schema]) -> Row:
    record, reads = str(about["record"]), dict(about["reads"])
    if not record:
        return Row(None, reads, reason=str(about["reason"]))
    arrays |= {name: np.asarray(text, np.str_) for name, text in about["texts"].items()}
    values = {field.name: arrays[field.name] for field in schemas[record].fields}
    if any(values[field.name].ndim != len(field.axes) for field in schemas[record].fields):
        raise ValueError("its arrays have other axes")
    return Row(values, reads, record)


def read_key(path: Path) -> tuple[Key, Reads]:
    """The place of the row in a file, and what it was made from."""
    about: Any = read_about(path)
    return tuple(about["key"]), dict(about["reads"])


def write_rows(path: Path, rows: Mapping[Key, Row]) -> None:
    """Store rows together, each at its place; what a power cut damages is noticed, and computed again."""
    arrays: dict[str, np.ndarray] = {}
    about = []
    for number, (key, row) in enumerate(rows.items()):
        values = row.values or {}
        texts = {name: array.tolist() for name, array in values.items() if array.dtype.kind == "U"}
        arrays |= {f"{number}/{name}": array for name, array in values.items() if name not in texts}
        about.append({"key": list(key), "record": row.record, "reason": row.reason, "reads": row.reads, "texts": texts})
    _write(path, packed(arrays, {"rows": about}))


def read_rows(path: Path, schemas: Mapping[str, Schema]) -> dict[Key, Row]:
    """The rows in a file, of one of these schemas. Raises whatever comes of a file that is damaged, or another's."""
    arrays, about = read_arrays(path)
    if "rows" not in about:
        return {tuple(about["key"]): read_row(path, schemas)}
    own: dict[int, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        number, _, field = name.partition("/")
        own.setdefault(int(number), {})[field] = array
    return {tuple(told["key"]): _row(own.get(number, {}), told, schemas) for number, told in enumerate(about["rows"])}
