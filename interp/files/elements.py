"""Elements of tensors and arrays as they lie in a file, and how many of them a shape asks for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from interp.errors import shown
from interp.files.husks import Refused

MAX_AXES = 32
PIECE = 2**20
"""Bytes read from a file at a time."""


@dataclass(frozen=True)
class Type:
    """How the elements of a tensor lie in its storage, and the type of the array made of them."""

    stored: np.dtype
    bfloat16: bool = False

    def array(self, raw: bytes | bytearray, swapped: bool = False) -> np.ndarray:
        """The elements in `raw`, one axis, in this machine's byte order, in memory of their own."""
        flat = np.frombuffer(raw, self.stored)
        if swapped:
            flat = flat.byteswap()
        if self.bfloat16:
            return (flat.astype(np.uint32) << 16).view(np.float32)
        if self.stored == np.bool_:
            return flat.view(np.uint8) != 0
        return flat.copy() if isinstance(raw, bytes) and not swapped else flat


TYPES = {
    **{f"float{bits}": Type(np.dtype(f"float{bits}")) for bits in (64, 32, 16)},
    **{f"{sign}int{bits}": Type(np.dtype(f"{sign}int{bits}")) for sign in ("", "u") for bits in (64, 32, 16, 8)},
    **{name: Type(np.dtype(name)) for name in ("bool", "complex128", "complex64")},
    "bfloat16": Type(np.dtype(np.uint16), bfloat16=True),
}
"""By the names of torch."""


@dataclass(frozen=True, eq=False)
class Storage:
    """What tensors are views of: `values` has one axis."""

    key: str
    kind: Type
    values: np.ndarray


def zeros(dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """An array that is 0 throughout and takes no memory; it stands for one whose numbers were not read."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def numpy_elements(dtype: np.dtype, raw: bytes | bytearray, shape: Any) -> np.ndarray:
    """The elements of a NumPy array, one axis, checked to be as many as `shape` says and to be numbers or text."""
    if dtype.kind not in "biufcSU" or not dtype.itemsize or dtype.char in "gG":
        raise Refused(f"an array of the NumPy type {shown(dtype)}; expected numbers or text")
    needed = count(shape) * dtype.itemsize
    if needed != len(raw):
        raise Refused(f"an array of shape {shown(shape)} needs {needed:,} bytes, it has {len(raw):,}")
    flat = Type(dtype.newbyteorder("=")).array(raw, swapped=not dtype.isnative)
    if dtype.kind == "U" and flat.size and flat.view(np.uint32).max() > 0x10FFFF:
        raise Refused("an array of text that is no text; it is damaged")
    return flat


def count(shape: Any) -> int:
    """How many elements an array of this shape has. Raises Refused where it is not a shape."""
    if type(shape) is not tuple or len(shape) > MAX_AXES or not all(type(n) is int and 0 <= n < 2**62 for n in shape):
        raise Refused(f"{shown(shape)} is not a shape; it is damaged")
    return math.prod(shape)
