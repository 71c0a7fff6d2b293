"""A netCDF file to write to, on a disk that may be full.

HDF5 cannot recover from a write that fails: it fails again when the file is closed, and crashes the process when
that ends. It is given a file that takes everything, and what the disk refused is raised after HDF5 is done.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import h5netcdf


@contextlib.contextmanager
def editing(path: Path, mode: Literal["w", "r+"]) -> Iterator[h5netcdf.File]:
    """A new file at `path`, or the one that is there. Raises OSError where the disk did not take all of it."""
    with _Sink(path, "w+" if mode == "w" else mode) as sink:
        try:
            with h5netcdf.File(sink, mode) as file:
                yield file
        finally:
            if sink.failure:
                raise sink.failure


def make_room(path: Path, size: int) -> None:
    """See that a file, or a new one, can grow by so many bytes. Raises OSError where the disk does not take them.

    HDF5 reads back what it has written, and breaks down where that is not there.
    """
    before = path.stat().st_size if path.exists() else 0
    try:
        with path.open("ab") as file:
            file.write(bytes(size))
    finally:
        os.truncate(path, before)


class _Sink(io.FileIO):
    """A file whose writes succeed; `failure` is the first that did not, after which nothing more is written."""

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest and not self.failure:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.failure = error
        return size

    def truncate(self, size: int | None = None, /) -> int:
        if not self.failure:
            try:
                return super().truncate(size)
            except OSError as error:
                self.failure = error
        return self.tell() if size is None else size
