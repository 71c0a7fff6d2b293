"""What a safetensors file says of its tensors, checked against the bytes that are there; each is read alone."""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

import numpy as np

from interp.errors import shown
from interp.files.elements import TYPES, count, zeros
from interp.files.husks import Refused

NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    **{f"I{bits}": f"int{bits}" for bits in (64, 32, 16, 8)},
    **{f"U{bits}": f"uint{bits}" for bits in (64, 32, 16, 8)},
    "BOOL": "bool",
    "C64": "complex64",
}
MAX_HEADER = 100_000_000
"""Bytes; the format's own limit."""


@dataclass(frozen=True)
class Tensor:
    """One tensor of the file: its type, its shape, and where its bytes lie."""

    type: str
    """By the names of torch: "bfloat16"."""
    shape: tuple[int, ...]
    start: int
    size: int


@dataclass(frozen=True)
class Header:
    """The tensors of a file by name, and the texts beside them."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]

    @property
    def second_names(self) -> dict[str, str]:
        """The names under which safetensors' `save_model` left out a tensor saved under another, and that other."""
        return {
            name: first
            for name, first in self.metadata.items()
            if name not in self.tensors and first in self.tensors and name != "format"
        }

    def with_second_names(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the arrays, those of two names under both."""
        return arrays | {name: arrays[first] for name, first in self.second_names.items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each tensor, those of two names under both."""
        own = {name: tensor.shape for name, tensor in self.tensors.items()}
        return own | {name: own[first] for name, first in self.second_names.items()}

    def read(self, file: BufferedReader, name: str, largest: float = float("inf")) -> np.ndarray:
        """Return one tensor; where it has more than `largest` bytes, zeros that take no memory."""
        tensor = self.tensors[name]
        kind = TYPES[tensor.type]
        if tensor.size > largest:
            return zeros(kind.array(b"").dtype, tensor.shape)
        raw = bytearray(tensor.size)
        file.seek(tensor.start)
        if file.readinto(raw) < tensor.size:
            raise EOFError
        return kind.array(raw).reshape(tensor.shape)


def safetensors_header(file: BufferedReader, size: int) -> Header:
    """Read the header of a file of `size` bytes. Raises Refused where it is not what the format allows."""
    file.seek(0)
    (length,) = struct.unpack("<Q", file.read(8))
    if length > size - 8:
        raise Refused(f"it is cut short (a header of {length:,} bytes in a file of {size:,}); fetch it again")
    if length > MAX_HEADER:
        raise Refused(f"a safetensors header of {length:,} bytes; the format allows {MAX_HEADER:,}")
    content = json.loads(file.read(length))
    if type(content) is not dict:
        raise Refused("a safetensors header that is no map; it is damaged")
    told = content.pop("__metadata__", None)
    tensors = {name: _tensor(name, about, 8 + length, size) for name, about in content.items()}
    spans = sorted((tensor.start, tensor.start + tensor.size) for tensor in tensors.values())
    ends = itertools.chain((8 + length,), (end for _, end in spans))
    if any(start != end for (start, _), end in zip(spans, ends, strict=False)):
        raise Refused("a safetensors file whose tensors overlap or leave gaps; it is damaged")
    if size != (spans[-1][1] if spans else 8 + length):
        raise Refused("a safetensors file longer than its tensors; it is damaged")
    metadata = told if isinstance(told, Mapping) else {}
    return Header(tensors, {key: value for key, value in metadata.items() if type(value) is str})


def _tensor(name: str, about: Any, begin: int, size: int) -> Tensor:
    match about:
        case {"dtype": str(letters), "shape": list(lengths), "data_offsets": [int(start), int(end)]}:
            kind = NAMES.get(letters)
            if kind is None:
                raise Refused(f"tensor {shown(name)} is of type {shown(letters)}, which NumPy has not; save it as F32")
            needed = count(tuple(lengths)) * TYPES[kind].stored.itemsize
            if not 0 <= start <= end or end - start != needed:
                raise Refused(
                    f"tensor {shown(name)} needs {needed:,} bytes, {shown(end - start)} are its; it is damaged"
                )
            if begin + end > size:
                raise Refused("it is cut short (it ends in the middle of its content); fetch it again")
            return Tensor(kind, tuple(lengths), begin + start, needed)
    raise Refused(f"tensor {shown(name)} is told otherwise than safetensors tells it; it is damaged")
