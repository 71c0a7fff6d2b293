"""netCDF files: one that is read whole, and one to write to, on a disk that may be full.

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
import h5py
import numpy as np
import xarray as xr

OF_THE_FORMAT = {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "_Netcdf4Dimid", "_Netcdf4Coordinates"}
"""Attributes by which HDF5 tells a netCDF variable's axes."""
NO_VARIABLE = b"This is a netCDF dimension but not a netCDF variable."


def read(path: Path, leaving_out: str) -> xr.Dataset:
    """All variables but one of a file that `editing` has written, as xarray's `open_dataset` and `load` give them.

    xarray takes ten times as long to open a small file, of which an analysis reads dozens.
    """
    with h5py.File(path, "r") as file:
        kept = {name: one for name, one in file.items() if name != leaving_out}
        read = {name: _variable(one) for name, one in kept.items() if not _is_axis_alone(one)}
        attributes = {name: value for name, value in file.attrs.items() if name != "_NCProperties"}
    arrays = {name: array for name, array in read.items() if array.dims != (name,)}
    return xr.Dataset(arrays, {name: array for name, array in read.items() if name not in arrays}, attributes)


def _is_axis_alone(dataset: h5py.Dataset) -> bool:
    """Whether it stands in the file for an axis that has no labels."""
    return bytes(dataset.attrs.get("NAME", b"")).startswith(NO_VARIABLE)


def _variable(dataset: h5py.Dataset) -> xr.Variable:
    held = dataset.attrs
    attributes = {name: held[name] for name in held if name not in OF_THE_FORMAT}
    scales = (
        [dataset.name] if "CLASS" in held else [_name_of(one, dataset) for (one,) in held.get("DIMENSION_LIST", ())]
    )
    text = h5py.check_string_dtype(dataset.dtype)
    values = np.asarray(dataset.asstr()[...] if text else dataset[...], np.str_ if text else None)
    if attributes.pop("dtype", None) == "bool":  # xarray's sign for it, as netCDF has no such type
        values = values.astype(np.bool_)
    return xr.Variable([str(axis).removeprefix("/") for axis in scales], values, attributes)


def _name_of(reference: h5py.Reference, dataset: h5py.Dataset) -> str:
    """The name of what is referred to, which need not be opened for it."""
    return h5py.h5r.get_name(reference, dataset.id).decode()


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
