"""Weights of a file, one tensor at a time, widened to what can be computed with: memory is that of the largest.

A safetensors file says in its header where each tensor lies, so that one is read without the others. Of any other file
the whole content is at hand.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interp.files.foreign import TensorsOneByOne

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

    Raises ForeignFileError where it is not whole, or where a tensor is of a type that cannot be read.
    """
    tensors = TensorsOneByOne(file)
    return {
        name: Lying(tensors.types[name], shape, functools.partial(tensors.__getitem__, name))
        for name, shape in tensors.shapes.items()
        if name not in tensors.second_names
    }


def _natural(name: str) -> list[tuple[int, str]]:
    """The key of a sort that puts layer 2 before layer 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
