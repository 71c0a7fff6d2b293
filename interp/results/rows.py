"""One answer of a measure on disk, while an analysis is under way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interp.files.arrays import read_about, read_arrays, write_arrays
from interp.provenance import Reads
from interp.results.schema import Schema


@dataclass(frozen=True)
class Row:
    """One answer of a measure: arrays by field, None where the weights were not finite."""

    values: dict[str, np.ndarray] | None
    reads: Reads


def write_row(path: Path, schema: Schema, row: Row, of: Any) -> None:
    """Store the row, and a JSON value that says what it is the row of."""
    values = row.values or {}
    texts = {field.name for field in schema.fields if field.kind == "U"}
    about = {
        "of": of,
        "blank": row.values is None,
        "reads": row.reads,
        "texts": {name: array.tolist() for name, array in values.items() if name in texts},
    }
    write_arrays(path, {name: array for name, array in values.items() if name not in texts}, about)


def read_row(path: Path, schema: Schema) -> Row:
    """Raises what comes of a file that is damaged or of another schema."""
    arrays, about = read_arrays(path)
    if about["blank"]:
        return Row(None, about["reads"])
    texts = {name: np.asarray(text, np.str_) for name, text in about["texts"].items()}
    return Row(
        {field.name: (texts if field.kind == "U" else arrays)[field.name] for field in schema.fields}, about["reads"]
    )


def read_about_row(path: Path) -> tuple[Any, Reads]:
    """What it is the row of, and what that was made from."""
    about = read_about(path)
    return about["of"], dict(about["reads"])
