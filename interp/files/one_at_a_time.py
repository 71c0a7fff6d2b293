"""Weights of a file, one tensor at a time, widened to what can be computed with: memory is that of the largest.

A safetensors file says in its header where each tensor lies, so that one is read without the others. Of any other file
the whole content is at hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interp.errors import DamagedError, InterpError, shown
from interp.files.arrays import opened
from interp.files.elements import TYPES, Type
from interp.files.safetensors_header import NAMES

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Lying:
    """A tensor, before it is read."""

    type: str
    """By the names of torch: "bfloat16"."""
    shape: Shape
    read: Callable[[], np.ndarray]


@dataclass(frozen=True)
class Weight:
    """A tensor, or one part of a complex one, as it is computed with."""

    lying: Lying
    part: str = ""
    """ "real" or "imag" of a complex one."""

    def read(self) -> np.ndarray:
        array = self.lying.read()
        array = getattr(array, self.part) if self.part else array
        wide = array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)
        return np.ascontiguousarray(wide).reshape(array.shape)  # which makes one number an axis


class OneAtATime(Mapping[str, np.ndarray]):
    """The weights among tensors, by name; each is read when it is asked for, and none is kept.

    Half precision is widened to float32, a complex tensor is two, "name.real" and "name.imag"; whole numbers, truth
    values and text are no weights.
    """

    def __init__(self, tensors: Mapping[str, Lying], second_names: tuple[str, ...] = ()) -> None:
        self._weights: dict[str, Weight] = {}
        for name in sorted(tensors, key=_natural):
            tensor = tensors[name]
            if tensor.type.startswith("complex"):
                self._weights |= {f"{name}.{part}": Weight(tensor, part) for part in ("real", "imag")}
            elif "float" in tensor.type:
                self._weights[name] = Weight(tensor)
        self.left_out = tuple(name for name in tensors if not re.search("float|complex", tensors[name].type))
        """The names of those that are no weights."""
        self.types = frozenset(tensor.type for tensor in tensors.values())
        """The types in which all tensors are stored."""
        self.second_names = second_names
        """Names of tensors that are among the others under another name, and left out."""

    @property
    def shapes(self) -> dict[str, Shape]:
        """The shape of each weight; nothing is read."""
        return {name: weight.lying.shape for name, weight in self._weights.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        return self._weights[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)


def in_memory(arrays: Mapping[str, np.ndarray]) -> dict[str, Lying]:
    """The tensors of a file whose content is at hand."""
    return {name: Lying(str(array.dtype), array.shape, lambda array=array: array) for name, array in arrays.items()}


def on_disk(file: Callable[[], Path]) -> dict[str, Lying]:
    """The tensors of a safetensors file. `file` says where it lies, at each reading: it may have to be fetched again.

    Raises DamagedError where it is not whole, InterpError where a tensor is of a type that cannot be read.
    """
    path = file()
    with opened(path):  # which checks that the tensors fill the file, and overlap nowhere
        pass
    header, begin = _header(path)
    found = {}
    for name, told in header.items():
        kind = NAMES.get(str(told["dtype"]))
        if kind is None:
            raise InterpError(
                f"{path}: tensor {shown(name)} is of type {shown(told['dtype'])}, which NumPy has not; save it as F32"
            )
        start, end = told["data_offsets"]
        shape = tuple(told["shape"])
        read = _Reading(file, begin + start, end - start, TYPES[kind], shape)
        found[name] = Lying(kind, shape, read)
    return found


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """What the header of a safetensors file, which is known to be whole, says of each tensor; and where they begin."""

    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return header, 8 + length


@dataclass(frozen=True)
class _Reading:
    """Reads one tensor of a safetensors file."""

    file: Callable[[], Path]
    offset: int
    size: int
    type: Type
    shape: Shape

    def __call__(self) -> np.ndarray:
        path = self.file()
        raw = bytearray(self.size)
        with path.open("rb", buffering=0) as file:
            file.seek(self.offset)
            view, filled = memoryview(raw), 0
            while filled < self.size and (count := file.readinto(view[filled:])):
                filled += count
        if filled < self.size:
            raise DamagedError(f"{path} is cut short since it was opened; fetch it again")
        return self.type.array(raw).reshape(self.shape)


def _natural(name: str) -> list[tuple[int, str]]:
    """The key of a sort that puts layer 2 before layer 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
