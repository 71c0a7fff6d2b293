"""The files of `flax.serialization.to_bytes`: msgpack, in which an array is an extension of a shape, a type and bytes.

Format: https://github.com/msgpack/msgpack/blob/master/spec.md; flax's extensions are 1, an array, 2, a complex number,
and 3, a NumPy number. A large array is a map of its pieces, marked `__msgpack_chunked_array__`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from interp.errors import shown
from interp.files.elements import TYPES, count
from interp.files.husks import Refused

MAX_DEPTH = 100
MAX_VALUES = 4_000_000
CHUNKED = "__msgpack_chunked_array__"
NUMBERS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"} | {
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
LENGTHS = {1: ">B", 2: ">H", 4: ">I"}


def is_flax(head: bytes) -> bool:
    """Whether a file that begins so is a msgpack map from text."""
    if not head:
        return False
    skipped = 1 if 0x81 <= head[0] <= 0x8F else {0xDE: 3, 0xDF: 5}.get(head[0], 0)
    return bool(skipped) and len(head) > skipped and (0xA0 <= head[skipped] <= 0xBF or head[skipped] in (0xD9, 0xDA))


def flax_content(data: bytes) -> Any:
    """Return what the file holds: maps, lists, numbers, text, arrays. Raises Refused or EOFError where damaged."""
    reader = _Reader(data)
    value = reader.value(0)
    if reader.place != len(data):
        raise Refused(f"{len(data) - reader.place:,} bytes more than its content; it is damaged")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self.place, self._left = data, 0, MAX_VALUES

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self.place:
            raise EOFError
        self.place += size
        return self._data[self.place - size : self.place]

    def _number(self, layout: str) -> Any:
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def value(self, depth: int) -> Any:
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            raise Refused("it holds far more parts than weights do; not a weights file to trust")
        code = self._take(1)[0]
        if code <= 0x7F:
            return code
        if code >= 0xE0:
            return code - 0x100
        if code in NUMBERS:
            return self._number(NUMBERS[code])
        for handles, read in self._KINDS:
            length = handles(self, code)
            if length is not None:
                return read(self, length, depth)
        if code in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[code]
        raise Refused(f"it holds the code {code:#x}, which msgpack has not; it is damaged")

    def _length(self, code: int, short: range, long: dict[int, int]) -> int | None:
        if code in short:
            return code - short.start
        return self._number(LENGTHS[long[code]]) if code in long else None

    def _text(self, length: int, _: int) -> str:
        return self._take(length).decode("utf-8")

    def _bytes(self, length: int, _: int) -> bytes:
        return self._take(length)

    def _list(self, length: int, depth: int) -> list[Any]:
        if length > len(self._data) - self.place:
            raise EOFError
        return [self.value(depth + 1) for _ in range(length)]

    def _map(self, length: int, depth: int) -> Any:
        if 2 * length > len(self._data) - self.place:
            raise EOFError
        found: dict[Any, Any] = {}
        for _ in range(length):
            key = self.value(depth + 1)
            if type(key) not in (str, int, bytes):
                raise Refused(f"a map with a {type(key).__name__} for a key; expected text")
            found[key] = self.value(depth + 1)
        return _joined(found) if found.get(CHUNKED) is True else found

    def _extension(self, length: int, depth: int) -> Any:
        (kind,) = struct.unpack(">b", self._take(1))
        inside = _Reader(self._take(length))
        if kind not in (1, 2, 3):
            raise Refused(f"it holds an extension of the kind {kind}, which flax has not; save arrays and numbers")
        parts = inside.value(depth + 1)
        match parts:
            case [list(shape), str() | bytes() as name, bytes(raw)] if kind != 2:
                array = _array(tuple(shape), name.decode("latin1") if isinstance(name, bytes) else name, raw)
                return array.item() if kind == 3 and array.size == 1 else array
            case [float() | int() as real, float() | int() as imaginary] if kind == 2:
                return complex(real, imaginary)
        raise Refused("an array that is told otherwise than flax tells it; it is damaged")

    _KINDS: tuple[tuple[Callable[..., int | None], Callable[..., Any]], ...] = (
        (lambda self, code: self._length(code, range(0xA0, 0xC0), {0xD9: 1, 0xDA: 2, 0xDB: 4}), _text),
        (lambda self, code: self._length(code, range(0), {0xC4: 1, 0xC5: 2, 0xC6: 4}), _bytes),
        (lambda self, code: self._length(code, range(0x90, 0xA0), {0xDC: 2, 0xDD: 4}), _list),
        (lambda self, code: self._length(code, range(0x80, 0x90), {0xDE: 2, 0xDF: 4}), _map),
        (lambda _, code: 1 << (code - 0xD4) if 0xD4 <= code <= 0xD8 else None, _extension),
        (lambda self, code: self._length(code, range(0), {0xC7: 1, 0xC8: 2, 0xC9: 4}), _extension),
    )


def _array(shape: tuple[Any, ...], name: str, raw: bytes) -> np.ndarray:
    kind = TYPES.get(name)
    if kind is None:
        raise Refused(f"an array of type {shown(name)}, which NumPy has not")
    if count(shape) * kind.stored.itemsize != len(raw):
        raise Refused(f"an array of shape {shown(shape)} and type {name} in {len(raw):,} bytes; it is damaged")
    return kind.array(raw).reshape(shape)


def _joined(pieces: dict[Any, Any]) -> np.ndarray:
    """A large array out of its pieces, which lie flat, one after another."""
    shape, parts = (_in_order(pieces.get(part)) for part in ("shape", "chunks"))
    if not parts or not all(type(part) is np.ndarray and part.ndim == 1 for part in parts):
        raise Refused("a large array without its pieces; it is damaged")
    joined = np.concatenate(parts)
    if count(tuple(shape)) != joined.size:
        raise Refused(f"an array of shape {shown(tuple(shape))} in pieces of {joined.size:,} numbers; it is damaged")
    return joined.reshape(shape)


def _in_order(numbered: Any) -> list[Any]:
    """The values of a map numbered "0", "1", …; a list as it is."""
    if isinstance(numbered, dict) and all(type(key) is str and key.isdigit() for key in numbered):
        return [value for _, value in sorted(numbered.items(), key=lambda item: int(item[0]))]
    return numbered if isinstance(numbered, list) else []
