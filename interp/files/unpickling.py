"""Pickles of others as plain data: nothing in them is run or imported.

A pickle is a program. It is read here with Python's own slow unpickler, in which every global is replaced: a permitted
one by a few harmless lines of ours, any other by a refusal that names it. What comes out is checked to be plain, and
what a pickle says of its sizes is checked before anything of that size is made.
"""

from __future__ import annotations

import io
import math
import pickle
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, cast

import numpy as np

from interp.errors import shown

MAX_EXPANDED = 64 * 2**20
"""Bytes that the tensors of one file which repeat their storage (stride 0) may take when copied."""

MAX_DEPTH = 100
"""Containers within containers."""

MAX_MARKS = 10 * MAX_DEPTH
MAX_NAME = 1000
MAX_AXES = 32
MAX_KEY = 10_000
MAX_KEY_PARTS = 16
MAX_INTEGER_BITS = 1024


class Refused(Exception):  # noqa: N818
    """What is wrong with a file, without its name."""


@dataclass(frozen=True)
class Type:
    """How the elements of a tensor lie in its storage, and the type of the array made of them."""

    stored: np.dtype
    bfloat16: bool = False

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.float32) if self.bfloat16 else self.stored

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


NUMPY_TYPES = {
    name: Type(np.dtype(name))
    for name in (
        *("float64", "float32", "float16", "int64", "int32", "int16", "int8"),
        *("uint64", "uint32", "uint16", "uint8", "bool", "complex128", "complex64"),
    )
}
TORCH_TYPES = {**NUMPY_TYPES, "bfloat16": Type(np.dtype(np.uint16), bfloat16=True)}

_INERT = {
    "numpy.ndarray",
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("list", "dict", "int", "float", "str")),
}
"""Permitted by name, never called: what a defaultdict makes, the class of an array."""

_STORAGES = {
    "Double": "float64",
    "Float": "float32",
    "Half": "float16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
    "BFloat16": "bfloat16",
    "ComplexDouble": "complex128",
    "ComplexFloat": "complex64",
    "Untyped": "uint8",
}


def numpy_elements(dtype: np.dtype, raw: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """The elements of a NumPy array, one axis, checked to be as many as `shape` says and to be numbers or text."""
    if dtype.kind not in "biufcSU" or not dtype.itemsize or dtype.char in "gG":
        raise Refused(f"an array of the NumPy type {shown(dtype)}; expected numbers or text")
    count = _count(shape)
    if count * dtype.itemsize != len(raw):
        raise Refused(f"an array of shape {shown(shape)} needs {count * dtype.itemsize:,} bytes, it has {len(raw):,}")
    flat = Type(dtype.newbyteorder("=")).array(raw, swapped=not dtype.isnative)
    if dtype.kind == "U" and flat.size and flat.view(np.uint32).max() > 0x10FFFF:
        raise Refused("an array of text that is no text; it is damaged")
    return flat


def _count(shape: Any) -> int:
    """How many elements; `shape` checked to be a shape."""
    if type(shape) is not tuple or len(shape) > MAX_AXES or not all(type(n) is int and 0 <= n < 2**62 for n in shape):
        raise Refused(f"{shown(shape)} is not a shape; it is damaged")
    return math.prod(shape)


@dataclass(frozen=True, eq=False)
class Storage:
    """What tensors are views of: `values` has one axis."""

    key: str
    kind: Type
    values: np.ndarray

    @property
    def stored(self) -> int:
        """Bytes in the file."""
        return self.values.size * self.kind.stored.itemsize


@dataclass(frozen=True, eq=False)
class _Global:
    """What stands for a permitted global while a pickle is read: its name, and what is made where it is called."""

    name: str
    make: Callable[..., Any] | None = None


@dataclass(eq=False)
class _NumpyType:
    """What stands for a NumPy dtype while a pickle is read: its byte order comes after it was made."""

    letters: str
    order: str = "="

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.letters).newbyteorder(cast(Any, self.order))


def _no_storages(*_: Any) -> NoReturn:
    raise Refused("a pickle that refers to storages outside it; expected a whole torch file")


class Unpickler(pickle._Unpickler):
    """Python's own unpickler (its memo is a dict: the C one's is an array as long as the file says), disarmed."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]
    metastack: list[list[Any]]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: io.BytesIO, storage: Callable[[str, Type, int], Storage] = _no_storages) -> None:
        super().__init__(file, encoding="latin1")
        self._storage = storage
        self._left = 16 * 2**20 + 16 * file.getbuffer().nbytes
        self._expanded = 0
        self._attributes: dict[int, dict[Any, Any]] = {}  # dicts made for a Config, by identity
        self._ordered: dict[int, dict[Any, Any]] = {}
        self._unbuilt: dict[int, np.ndarray] = {}

    def _spend(self, size: int) -> None:
        """Count what is allocated against what a file of this size may ask for."""
        self._left -= size
        if self._left < 0:
            raise Refused("it would take far more memory than its size; not a weights file to trust")

    # Globals.

    def find_class(self, module: str, name: str) -> Any:
        if len(module) + len(name) > MAX_NAME:
            raise Refused(f"it would run {shown(module)} when unpickled; not a weights file to trust")
        full = f"{module}.{name}"
        if full in self._MAKERS:
            return _Global(full, self._MAKERS[full])
        if full in _INERT:
            return _Global(full)
        owner, _, kind = full.rpartition(".")
        if owner in ("torch", "torch.cuda", "torch.storage") and kind.endswith("Storage"):
            if (letters := kind.removesuffix("Storage")) in _STORAGES:
                return TORCH_TYPES[_STORAGES[letters]]
            raise Refused(f"a tensor of the storage type {shown(full)}, which NumPy has not")
        if owner == "torch" and re.fullmatch(r"(bfloat|float|u?int|complex)\d[\w]{0,15}|bool", kind):
            return full
        if name.endswith("Config") or full in ("argparse.Namespace", "types.SimpleNamespace"):
            return _Global(full, Unpickler._config)
        raise Refused(
            f"it would run {shown(full)} when unpickled; not a weights file to trust (of one's own: save a state_dict)"
        )

    def get_extension(self, code: int) -> NoReturn:
        raise Refused(f"it would run the registered extension {code} when unpickled; not a weights file to trust")

    def _call(self, function: Any, arguments: Any) -> Any:
        if type(arguments) is not tuple or type(function) is not _Global or function.make is None:
            what = function.name if type(function) is _Global else type(function).__name__
            raise Refused(f"it would call {shown(what)}, which makes nothing plain; not a weights file to trust")
        return function.make(self, *arguments)

    def load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.append(self._call(function, arguments))

    def load_newobj_ex(self) -> None:
        if self.stack.pop() != {}:
            raise Refused("it makes an object with named arguments; not a weights file to trust")
        self.load_reduce()

    def _instantiate(self, klass: Any, args: list[Any]) -> None:
        self.append(self._call(klass, tuple(args)))

    def persistent_load(self, pid: Any) -> Any:
        match pid:
            case ("storage", Type() as kind, str(key), _, int(numel), *rest) if not any(rest):
                if type(numel) is int and 0 <= numel < 2**62:
                    storage = self._storage(key, kind, numel)
                    if storage.kind is not kind or storage.values.size != numel:
                        raise Refused(f"storage {shown(key)} is of two types or sizes; it is damaged")
                    return storage
        raise Refused("it refers to something outside it that is no storage of a tensor; it is damaged")

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if id(target) in self._ordered:
            return
        if id(target) in self._attributes:
            parts = state if type(state) is tuple and len(state) == 2 else (state,)
            for part in parts:
                if type(part) is dict:
                    self._spend(64 * len(part))
                    target.update(part)
                elif part is not None:
                    raise Refused("it holds a Config whose attributes have no names; save it as a dict")
        elif type(target) is _NumpyType:
            self._set_byte_order(target, state)
        elif id(target) in self._unbuilt:
            self._build_array(self._unbuilt.pop(id(target)), state)
        else:
            raise Refused(f"it would set the state of a {type(target).__name__}; not a weights file to trust")

    # Containers.

    def _items(self, pairs: list[Any]) -> Iterator[tuple[Any, Any]]:
        if len(pairs) % 2:
            raise Refused("a dict with a key without a value; it is damaged")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            yield _key(key), value

    def _fill(self, target: Any, pairs: list[Any]) -> None:
        if type(target) is not dict:
            raise Refused(f"it would set items of a {type(target).__name__}; it is damaged")
        self._spend(16 * len(pairs))
        target.update(self._items(pairs))

    def load_dict(self) -> None:
        target: dict[Any, Any] = {}
        self._fill(target, self.pop_mark())
        self.append(target)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._fill(self.stack[-1], [key, value])

    def load_setitems(self) -> None:
        pairs = self.pop_mark()
        self._fill(self.stack[-1], pairs)

    def load_mark(self) -> None:
        if len(self.metastack) > MAX_MARKS:
            raise Refused("it is nested too deep; not a weights file")
        cast(Any, super()).load_mark()

    def load_append(self) -> None:
        self._extend([self.stack.pop()])

    def load_appends(self) -> None:
        self._extend(self.pop_mark())

    def _extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise Refused(f"it would append to a {type(self.stack[-1]).__name__}; it is damaged")
        self.stack[-1].extend(items)

    def load_no_set(self) -> None:
        raise Refused("it holds a set; save a list")

    def load_bytearray8(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        if size > 2**62:
            raise EOFError
        self.append(self.read(size))

    # What stands for the permitted globals.

    def _config(self, *arguments: Any) -> dict[Any, Any]:
        if arguments:
            raise Refused("it holds a Config that is not made of attributes; save it as a dict")
        made: dict[Any, Any] = {}
        self._attributes[id(made)] = made
        return made

    def _ordered_dict(self, pairs: Iterable[Any] = ()) -> dict[Any, Any]:
        if type(pairs) not in (tuple, list) or not all(
            type(pair) in (tuple, list) and len(pair) == 2 for pair in pairs
        ):
            raise Refused("an OrderedDict made of something else than pairs; it is damaged")
        made: dict[Any, Any] = {}
        self._fill(made, [part for pair in pairs for part in pair])
        self._ordered[id(made)] = made
        return made

    def _default_dict(self, factory: Any = None, *_: Any) -> dict[Any, Any]:
        if factory is not None and type(factory) is not _Global:
            raise Refused("a defaultdict that makes something unknown; it is damaged")
        return {}

    def _path(self, *parts: Any) -> str:
        if len(parts) > MAX_KEY_PARTS or not all(type(part) is str and len(part) <= MAX_NAME for part in parts):
            raise Refused("a path that is no path; it is damaged")
        return "/".join(parts)

    def _tensor_v2(self, storage: Any, offset: Any, size: Any, stride: Any, _grad: Any, _hooks: Any, flags: Any = None):
        if type(flags) is dict and any(flags.values()):
            raise Refused("it holds a conjugated or negated view of a tensor; save tensor.resolve_conj()")
        return self._tensor(storage, offset, size, stride)

    def _tensor_v3(
        self, storage: Any, offset: Any, size: Any, stride: Any, _grad: Any, _hooks: Any, name: Any, flags: Any = None
    ) -> np.ndarray:
        kind = NUMPY_TYPES.get(name.removeprefix("torch.")) if type(name) is str else None
        if kind is None:
            raise Refused(f"a tensor of the type {shown(name)}, which NumPy has not")
        if type(storage) is not Storage or storage.kind != NUMPY_TYPES["uint8"]:
            raise Refused("a tensor without a storage; it is damaged")
        whole = storage.values[: storage.values.size // kind.stored.itemsize * kind.stored.itemsize]
        typed = Storage(storage.key, kind, whole.view(kind.stored))
        return self._tensor_v2(typed, offset, size, stride, None, None, flags)

    def _tensor(self, storage: Any, offset: Any, size: Any, stride: Any) -> np.ndarray:
        if type(storage) is not Storage:
            raise Refused("a tensor without a storage; it is damaged")
        count = _count(size)
        _count(stride)
        if len(size) != len(stride) or type(offset) is not int or offset < 0:
            raise Refused(f"a tensor of shape {shown(size)} with strides {shown(stride)}; it is damaged")
        values, width = storage.values, storage.kind.stored.itemsize
        if not count:
            return np.zeros(size, values.dtype)
        reach = offset + 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if reach > values.size:
            raise Refused(
                f"storage {shown(storage.key)} holds {storage.stored:,} bytes, the tensor needs {reach * width:,}"
            )
        if count > values.size:
            self._expanded += count * values.itemsize
            if self._expanded > MAX_EXPANDED:
                raise Refused(f"a tensor of shape {shown(size)} repeats the few numbers it holds; save it contiguous")
        strides = tuple(
            step * values.itemsize if n > 1 else values.itemsize for n, step in zip(size, stride, strict=True)
        )
        return np.ndarray(size, values.dtype, values, offset * values.itemsize, strides)

    def _parameter(self, tensor: Any, *_: Any) -> np.ndarray:
        if type(tensor) is not np.ndarray:
            raise Refused("a parameter that is no tensor; it is damaged")
        return tensor

    def _size(self, size: Any = ()) -> tuple[int, ...]:
        _count(size)
        return size

    def _device(self, kind: Any, index: Any = None) -> str:
        if type(kind) is not str or len(kind) > 100 or not (index is None or (type(index) is int and index < 2**31)):
            raise Refused("a device that is no device; it is damaged")
        return kind if index is None else f"{kind}:{index}"

    def _encode(self, text: Any, encoding: Any = "latin1") -> bytes:
        if type(text) is not str or encoding not in ("latin1", "latin-1"):
            raise Refused("it encodes something else than bytes; it is damaged")
        self._spend(len(text))
        return text.encode("latin1")

    def _no_bytes(self) -> bytes:
        return b""

    def _numpy_type(self, letters: Any, *_: Any) -> _NumpyType:
        if type(letters) is not str or not re.fullmatch(r"[iu][1248]|f[248]|c8|c16|b1|[SU][1-9]\d{0,8}", letters):
            raise Refused(f"an array of the NumPy type {shown(letters)}; expected numbers or text")
        return _NumpyType(letters)

    def _set_byte_order(self, target: _NumpyType, state: Any) -> None:
        if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise Refused("a NumPy type without a byte order; it is damaged")
        target.order = state[1]

    def _unbuilt_array(self, *_: Any) -> np.ndarray:
        array = np.empty(0)
        self._unbuilt[id(array)] = array
        return array

    def _build_array(self, array: np.ndarray, state: Any) -> None:
        if type(state) is not tuple or len(state) not in (4, 5):
            raise Refused("an array without its content; it is damaged")
        shape, dtype, fortran, raw = state[-4:]
        flat = self._flat(dtype, raw, shape)
        cast(Any, array).__setstate__((1, shape, flat.dtype, fortran is True or fortran == 1, flat.tobytes()))

    def _array_of_buffer(self, raw: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
        return self._flat(dtype, raw, shape).reshape(shape, order="F" if order == "F" else "C")

    def _scalar(self, dtype: Any, raw: Any) -> Any:
        return self._flat(dtype, raw, ()).item()

    def _flat(self, dtype: Any, raw: Any, shape: Any) -> np.ndarray:
        if type(dtype) is not _NumpyType or type(raw) not in (bytes, str):
            raise Refused("an array without a type or without bytes; it is damaged")
        self._spend(3 * len(raw))
        return numpy_elements(dtype.dtype, raw.encode("latin1") if type(raw) is str else raw, shape)

    _MAKERS: ClassVar[dict[str, Callable[..., Any]]] = {
        "collections.OrderedDict": _ordered_dict,
        "collections.defaultdict": _default_dict,
        "pathlib.PosixPath": _path,
        "pathlib.WindowsPath": _path,
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor_v2,
        "torch._utils._rebuild_tensor_v3": _tensor_v3,
        "torch._utils._rebuild_parameter": _parameter,
        "torch.Size": _size,
        "torch.device": _device,
        "numpy.dtype": _numpy_type,
        "_codecs.encode": _encode,
        "builtins.bytes": _no_bytes,
        "__builtin__.bytes": _no_bytes,
        "numpy.core.multiarray._reconstruct": _unbuilt_array,
        "numpy.core.multiarray.scalar": _scalar,
        "numpy.core.numeric._frombuffer": _array_of_buffer,
        "numpy._core.multiarray._reconstruct": _unbuilt_array,
        "numpy._core.multiarray.scalar": _scalar,
        "numpy._core.numeric._frombuffer": _array_of_buffer,
    }

    for _opcode, _handler in (
        (pickle.REDUCE, load_reduce),
        (pickle.NEWOBJ, load_reduce),
        (pickle.NEWOBJ_EX, load_newobj_ex),
        (pickle.BUILD, load_build),
        (pickle.MARK, load_mark),
        (pickle.DICT, load_dict),
        (pickle.SETITEM, load_setitem),
        (pickle.SETITEMS, load_setitems),
        (pickle.APPEND, load_append),
        (pickle.APPENDS, load_appends),
        (pickle.EMPTY_SET, load_no_set),
        (pickle.FROZENSET, load_no_set),
        (pickle.ADDITEMS, load_no_set),
        (pickle.BYTEARRAY8, load_bytearray8),
    ):
        dispatch[_opcode[0]] = _handler


def _spending(handler: Callable[[Any], None]) -> Callable[[Any], None]:
    """An opcode of a byte or two that allocates far more."""

    def spend(unpickler: Unpickler) -> None:
        unpickler._spend(56)
        handler(unpickler)

    return spend


for _opcode in (
    *(pickle.LIST, pickle.EMPTY_LIST, pickle.EMPTY_DICT, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.MEMOIZE, pickle.BINPUT, pickle.LONG_BINPUT, pickle.PUT),
):
    Unpickler.dispatch[_opcode[0]] = _spending(Unpickler.dispatch[_opcode[0]])


def _key(key: Any) -> Any:
    """A key of a dict, checked to be one whose hash is quick: nested tuples' takes exponential time."""
    parts = key if type(key) is tuple else (key,)
    if len(parts) > MAX_KEY_PARTS or not all(_is_quick(part) for part in parts):
        raise Refused(f"a dict with a {type(key).__name__} for a key; expected short text or a number")
    return key


def _is_quick(part: Any) -> bool:
    if type(part) in (str, bytes):
        return len(part) <= MAX_KEY
    return type(part) in (bool, float, type(None)) or (type(part) is int and part.bit_length() <= 64)


_LEAVES = frozenset({str, float, bool, type(None), bytes, complex, np.ndarray})


def checked(content: Any) -> Any:
    """`content`, which is plain data without cycles and not deeply nested, however its parts are shared."""
    depths: dict[int, int] = {}
    opened: set[int] = set()
    waiting = _containers([content])
    while waiting:
        value = waiting[-1]
        if id(value) in depths:
            waiting.pop()
            continue
        inside = _containers(value.values() if type(value) is dict else value)
        if id(value) in opened:
            depths[id(value)] = 1 + max((depths[id(part)] for part in inside), default=0)
            if depths[id(value)] > MAX_DEPTH:
                raise Refused(f"it is nested more than {MAX_DEPTH} deep; not a weights file")
            waiting.pop()
            continue
        opened.add(id(value))
        if any(id(part) in opened and id(part) not in depths for part in inside):
            raise Refused("it contains itself; not a weights file")
        waiting += inside
    return content


def _containers(values: Iterable[Any]) -> list[Any]:
    """Those of `values` that hold others. Raises Refused where one is not plain."""
    found = []
    for value in values:
        kind = type(value)
        if kind in _LEAVES:
            continue
        if kind in (dict, list, tuple):
            found.append(value)
        elif kind is not int:
            what = shown(value.name) if isinstance(value, _Global) else kind.__name__.strip("_").lower()
            raise Refused(f"it holds a {what} by itself, which is no plain value; save tensors and numbers")
        elif value.bit_length() > MAX_INTEGER_BITS:
            raise Refused(f"it holds a whole number of {value.bit_length():,} bits; not a weights file")
    return found
