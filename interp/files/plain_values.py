"""What the objects in other people's pickles are as plain values: the meaning of each husk, by its name.

1. Tensors, parameters and NumPy's arrays and numbers are arrays and numbers, checked against the bytes that are there.
2. A few kinds of the standard library are what they say: dicts, lists, bytes, paths, moments.
3. A network (torch.nn.Module) is its state dict; any other object is the dict of its attributes, or what it holds.
"""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Literal, cast

import numpy as np

from interp.errors import shown
from interp.files.elements import TYPES, Storage, Type, count, numpy_elements, zeros
from interp.files.husks import STORAGE, Husk, Refused

MAX_EXPANDED = 64 * 2**20
"""Bytes that the tensors of one file which repeat their storage (stride 0) may take when copied."""

MAX_DEPTH = 200
"""Lists, tuples and objects within one another."""

MAX_KEY = 10_000
MAX_KEY_PARTS = 16
MAX_INTEGER_BITS = 1024
LEAVES = frozenset({str, float, bool, type(None), bytes, complex})
CUT = "..."
"""What stands for a container inside itself, as Python writes one."""

MOMENTS: dict[str, Any] = {
    f"datetime.{kind.__name__}": kind for kind in (datetime.datetime, datetime.date, datetime.time)
}
PATHS = [
    f"{module}.{pure}{system}Path"
    for module in ("pathlib", "pathlib._local")
    for pure in ("", "Pure")
    for system in ("Posix", "Windows")
]
JOINED = {"builtins.getattr": ".", "torch.device": ":"}

STORED = {
    "Double": "float64",
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Bool": "bool",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Untyped": "uint8",
    "ComplexDouble": "complex128",
    "ComplexFloat": "complex64",
}


def stored_type(storage: Husk) -> tuple[str, Type, int]:
    """Key, type and number of elements of a storage, as a tensor's pickle tells them."""
    match storage.arguments:
        case ("storage", Husk(name=str(name)), str(key), _, int(numel), *rest) if not any(rest):
            owner, _, kind = name.rpartition(".")
            if owner in ("torch", "torch.cuda", "torch.storage") and type(numel) is int and 0 <= numel < 2**62:
                if (letters := kind.removesuffix("Storage")) in STORED:
                    return key, TYPES[STORED[letters]], numel
                raise Refused(f"a tensor of the storage type {shown(name)}, which NumPy has not")
    raise Refused("it refers to something outside it that is no storage of a tensor; it is damaged")


class PlainValues:
    """Plain values of what was recorded of one pickle, which is `size` bytes long.

    `storage` gives the storage of a key, a type and a number of elements; `nested` the one that a file in the pickle
    holds (so are tensors pickled without torch.save).
    """

    def __init__(
        self, size: int, storage: Callable[[str, Type, int], Storage], nested: Callable[[bytes], Storage]
    ) -> None:
        self._storage_of, self._nested = storage, nested
        self._left = 16 * 2**20 + 16 * size
        self._expanded = 0
        self._done: dict[int, tuple[Any, int]] = {}  # value and depth, by the identity of what was recorded
        self._from_nested: dict[int, Storage] = {}

    def of(self, recorded: Any) -> Any:
        """The plain value, without cycles and not deeply nested, however its parts are shared."""
        opened: set[int] = set()
        waiting = [recorded] if _holds_others(recorded) else []
        while waiting:
            one = waiting[-1]
            parts = () if id(one) in self._done else [part for part in _parts(one) if _holds_others(part)]
            if id(one) in self._done or id(one) in opened:
                waiting.pop()
            if id(one) not in opened:
                opened.add(id(one))
                waiting += [part for part in parts if id(part) not in opened]
            elif id(one) not in self._done:
                depth = 1 + max((self._done[id(part)][1] for part in parts if id(part) in self._done), default=0)
                if depth > MAX_DEPTH:
                    raise Refused(f"it is nested more than {MAX_DEPTH} deep; not a weights file")
                self._done[id(one)] = self._value(one), depth
        return self._get(recorded)

    def _get(self, part: Any) -> Any:
        """Its plain value, which was made before that of what holds it; where it is that itself, it is cut."""
        if not _holds_others(part):
            return part
        return self._done[id(part)][0] if id(part) in self._done else CUT

    def _spend(self, size: int) -> None:
        """Count bytes that are copied against what a file of this size may ask for."""
        self._left -= size
        if self._left < 0:
            raise Refused("it would take far more memory than its size; not a weights file to trust")

    def _value(self, one: Any) -> Any:
        if type(one) is list:
            return [self._get(part) for part in one]
        if type(one) is tuple:
            return tuple([self._get(part) for part in one])
        if one.arguments is None:
            return one.name
        if one.name.startswith("torch._utils._rebuild") and one.name not in self._MAKERS:
            raise Refused(f"a tensor made by {shown(one.name)}, which is not read here; save plain tensors")
        return self._MAKERS.get(one.name, PlainValues._object)(self, one)

    # Objects.

    def _object(self, husk: Husk) -> Any:
        """What was put into it; or its attributes; or its arguments, of a single one that."""
        if husk.pairs is not None:
            return self._dict(husk)
        if husk.items is not None:
            return self._get(husk.items)
        state, arguments = self._get(husk.state), self._get(husk.arguments)
        if type(state) is tuple and len(state) == 2 and all(type(part) in (dict, type(None)) for part in state):
            attributes, slots = state
            self._spend(64 * len(attributes or ()) + 64 * len(slots or ()))
            state = {**(attributes or {}), **(slots or {})}
        if type(state) is dict and {"_parameters", "_buffers", "_modules"} <= state.keys():
            return self._state_dict(state)
        if state is not None:
            return state
        return arguments[0] if len(arguments) == 1 else arguments or self._get(husk.named) or {}

    def _dict(self, husk: Husk) -> dict[Any, Any]:
        given = husk.pairs or []
        keys = (self._key(key, place) for place, key in enumerate(given[::2]))
        return dict(zip(keys, map(self._get, given[1::2]), strict=True))

    def _ordered_dict(self, husk: Husk) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for pairs in self._get(husk.arguments)[:1]:
            if type(pairs) is not list or not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
                raise Refused("an OrderedDict made of something else than pairs; it is damaged")
            self._spend(64 * len(pairs))
            found |= {self._key(key, place): value for place, (key, value) in enumerate(pairs)}
        return found | self._dict(husk)

    def _sequence(self, husk: Husk) -> Any:
        return self._get(husk.items) or next(iter(self._get(husk.arguments)), None) or []

    def _key(self, recorded: Any, place: int) -> Any:
        """A key of a dict; where it is no text, number or tuple of these, its kind and place in the dict."""
        key = self._get(recorded)
        return key if _is_hashable(key) else f"{getattr(recorded, 'name', type(key).__name__)} {place}"

    def _state_dict(self, network: dict[Any, Any]) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for kind in ("_parameters", "_buffers"):
            found |= _tensors(network[kind])
        for name in network.get("_non_persistent_buffers_set") or ():
            found.pop(name, None)
        for child, inside in network["_modules"].items() if type(network["_modules"]) is dict else ():
            found |= {f"{child}.{name}": tensor for name, tensor in _tensors(inside).items()}
        self._spend(sum(100 + len(name) for name in found))
        return found

    def _bytes(self, husk: Husk) -> Any:
        match self._get(husk.arguments):
            case ():
                return b""
            case (str(text), "latin1" | "latin-1"):
                self._spend(len(text))
                return text.encode("latin1")
        return self._object(husk)

    def _complex(self, husk: Husk) -> Any:
        match husk.arguments:
            case (float(real), float(imaginary)):
                return complex(real, imaginary)
        return self._object(husk)

    def _joined(self, husk: Husk) -> Any:
        """A path, a member of a class by its name, or a device, as text."""
        parts = self._get(husk.arguments)
        if len(parts) > MAX_KEY_PARTS or not all(
            type(part) in (str, int) and len(str(part)) <= MAX_KEY for part in parts
        ):
            return self._object(husk)
        separator = JOINED.get(husk.name, "/")
        self._spend(sum(len(str(part)) for part in parts))
        return separator.join(map(str, parts)).replace("//", "/")

    def _moment(self, husk: Husk) -> Any:
        """Text as in ISO 8601, without its zone."""
        match self._get(husk.arguments):
            case (bytes(raw), *_):
                with contextlib.suppress(ValueError, TypeError):
                    return MOMENTS[husk.name](raw).isoformat()
        return self._object(husk)

    # Tensors.

    def _storage(self, recorded: Any) -> Storage:
        if type(recorded) is Husk and recorded.name == STORAGE:
            key, kind, numel = stored_type(recorded)
            storage = self._storage_of(key, kind, numel)
            if storage.kind is not kind or storage.values.size != numel:
                raise Refused(f"storage {shown(key)} is of two types or sizes; it is damaged")
            return storage
        if type(recorded) is Husk and recorded.name == "torch.storage._load_from_bytes":
            if id(recorded) not in self._from_nested:
                (raw,) = self._get(recorded.arguments)
                self._spend(2 * len(raw))
                self._from_nested[id(recorded)] = self._nested(raw)
            return self._from_nested[id(recorded)]
        raise Refused("a tensor without a storage; it is damaged")

    def _tensor(self, husk: Husk) -> np.ndarray:
        version, arguments = husk.name.rpartition("_rebuild_tensor")[2], husk.arguments or ()
        if len(arguments) < 4 or (version == "") != (len(arguments) == 4):
            raise Refused("a tensor that is told otherwise than torch tells it; it is damaged")
        storage, more = self._storage(arguments[0]), list(arguments[6:])
        if version == "_v3":
            storage = _typed(storage, more.pop(0).name)
        flags = self._get(more[0]) if more else None
        if type(flags) is dict and any(value is not False for value in flags.values()):
            raise Refused("it holds a conjugated or negated view of a tensor; save tensor.resolve_conj()")
        return self._view(storage, arguments[1], self._get(arguments[2]), self._get(arguments[3]))

    def _view(self, storage: Storage, offset: Any, size: Any, stride: Any) -> np.ndarray:
        elements = count(size)
        count(stride)
        if len(size) != len(stride) or type(offset) is not int or offset < 0:
            raise Refused(f"a tensor of shape {shown(size)} with strides {shown(stride)}; it is damaged")
        values, width = storage.values, storage.kind.stored.itemsize
        if not elements:
            return np.zeros(size, values.dtype)
        reach = offset + 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if reach > values.size:
            raise Refused(
                f"storage {shown(storage.key)} holds {values.size * width:,} bytes, the tensor needs {reach * width:,}"
            )
        if elements > values.size:
            self._expanded += elements * values.itemsize
            if self._expanded > MAX_EXPANDED:
                raise Refused(f"a tensor of shape {shown(size)} repeats the few numbers it holds; save it contiguous")
        if values.strides == (0,):  # not read
            return zeros(values.dtype, size)
        strides = tuple((step if n > 1 else 1) * values.itemsize for n, step in zip(size, stride, strict=True))
        return np.ndarray(size, values.dtype, values, offset * values.itemsize, strides)

    def _parameter(self, husk: Husk) -> np.ndarray:
        tensor = self._get(husk.arguments)[:1]
        if not tensor or type(tensor[0]) is not np.ndarray:
            raise Refused("a parameter that is no tensor; it is damaged")
        return tensor[0]

    def _subclass(self, husk: Husk) -> Any:
        """A tensor of a class of its own: what makes it, that class, the arguments, attributes."""
        match husk.arguments:
            case (Husk(name=str(maker)), _, tuple(arguments), _) if maker.startswith("torch._utils._rebuild_tensor"):
                return self._tensor(Husk(maker, arguments))
        raise Refused("a tensor of a class that is not read here; save plain tensors")

    # NumPy.

    def _dtype(self, recorded: Any) -> np.dtype | None:
        """None of one that is neither of numbers nor of text."""
        match recorded:
            case Husk(name="numpy.dtype", arguments=(str(letters), *_), state=state):
                if re.fullmatch(r"[iu][1248]|f[248]|c8|c16|b1|[SU][1-9]\d{0,8}", letters):
                    order = state[1] if type(state) is tuple and len(state) > 1 else "="
                    if order not in ("<", ">", "|", "="):
                        raise Refused("a NumPy type without a byte order; it is damaged")
                    return np.dtype(letters).newbyteorder(cast(Any, order))
                return None
        raise Refused("an array without a type; it is damaged")

    def _dtype_name(self, husk: Husk) -> str:
        return str(self._dtype(husk) or "a NumPy type")

    def _array(self, husk: Husk) -> Any:
        match husk.state:
            case (*_, shape, dtype, bool() | int() as fortran, raw) if len(husk.state) in (4, 5):
                return self._shaped(dtype, raw, shape, "F" if fortran == 1 else "C")
        raise Refused("an array without its content; it is damaged")

    def _array_of_buffer(self, husk: Husk) -> Any:
        match husk.arguments:
            case (raw, dtype, shape, order):
                return self._shaped(dtype, raw, shape, "F" if order == "F" else "C")
        raise Refused("an array without its content; it is damaged")

    def _scalar(self, husk: Husk) -> Any:
        match husk.arguments:
            case (dtype, raw):
                value = self._shaped(dtype, raw, (), "C")
                return value.item() if type(value) is np.ndarray else value
        raise Refused("a number without a type; it is damaged")

    def _shaped(self, dtype: Any, raw: Any, shape: Any, order: Literal["C", "F"]) -> Any:
        """An array; of objects, the list of them; of neither numbers nor text, what it is."""
        kind, content = self._dtype(dtype), self._get(raw)
        if kind is None:
            return content if type(content) is list else f"an array of type {shown(dtype.arguments[0])}"
        content = content.encode("latin1") if type(content) is str else content
        if type(content) is not bytes:
            raise Refused("an array without bytes; it is damaged")
        self._spend(3 * len(content))
        return numpy_elements(kind, content, shape).reshape(shape, order=order)

    _MAKERS: ClassVar[dict[str, Callable[..., Any]]] = {
        **dict.fromkeys(("builtins.list", "builtins.set", "builtins.frozenset", "collections.deque"), _sequence),
        **dict.fromkeys(("builtins.dict", "collections.defaultdict"), _dict),
        "collections.OrderedDict": _ordered_dict,
        **dict.fromkeys(("builtins.bytes", "builtins.bytearray", "_codecs.encode"), _bytes),
        "builtins.complex": _complex,
        **dict.fromkeys((*PATHS, *JOINED), _joined),
        **dict.fromkeys(MOMENTS, _moment),
        **dict.fromkeys((f"torch._utils._rebuild_tensor{version}" for version in ("", "_v2", "_v3")), _tensor),
        **dict.fromkeys(("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"), _parameter),
        "torch._tensor._rebuild_from_type_v2": _subclass,
        "numpy.dtype": _dtype_name,
        "numpy._core.multiarray._reconstruct": _array,
        "numpy._core.numeric._frombuffer": _array_of_buffer,
        "numpy._core.multiarray.scalar": _scalar,
    }


def _parts(one: Any) -> Iterable[Any]:
    return (one.arguments, one.named, one.state, one.items, one.pairs) if type(one) is Husk else one


def _holds_others(part: Any) -> bool:
    """Whether `part` is made of others. Raises Refused where it is neither that nor plain."""
    kind = type(part)
    if kind in LEAVES:
        return False
    if kind in (list, tuple, Husk):
        return True
    if kind is not int:
        raise Refused(f"it holds a {kind.__name__} by itself, which is no plain value; save tensors and numbers")
    if part.bit_length() > MAX_INTEGER_BITS:
        raise Refused(f"it holds a whole number of {part.bit_length():,} bits; not a weights file")
    return False


def _is_hashable(key: Any, depth: int = 2) -> bool:
    """Raises Refused where its hash would take long: that of nested tuples takes exponential time."""
    if type(key) is tuple:
        if len(key) > MAX_KEY_PARTS or not depth:
            raise Refused("a dict with a tuple of many parts for a key; expected short text or a number")
        return all(_is_hashable(part, depth - 1) for part in key)
    if type(key) in (str, bytes) and len(key) > MAX_KEY:
        raise Refused(f"a dict with a text of {len(key):,} characters for a key; expected short text or a number")
    return type(key) not in (list, dict, np.ndarray)


def _typed(storage: Storage, name: str) -> Storage:
    """The bytes of `storage` as elements of the type of this name."""
    kind = TYPES.get(name.removeprefix("torch."))
    if kind is None or kind.bfloat16:
        raise Refused(f"a tensor of the type {shown(name)}, which NumPy has not")
    if storage.kind is not TYPES["uint8"]:
        raise Refused("a tensor without a storage; it is damaged")
    width = kind.stored.itemsize
    if storage.values.strides == (0,):  # not read
        return Storage(storage.key, kind, zeros(kind.stored, (storage.values.size // width,)))
    return Storage(storage.key, kind, storage.values[: storage.values.size // width * width].view(kind.stored))


def _tensors(named: Any) -> dict[str, np.ndarray]:
    pairs = named.items() if type(named) is dict else ()
    return {name: value for name, value in pairs if type(name) is str and type(value) is np.ndarray}
