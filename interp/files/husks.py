"""Pickles as a record of what they say; nothing in them is imported, called, hashed or set.

A pickle is a program. Python's own unpickler reads it here, with each instruction that would act on an object replaced
by one that notes down what it was told, in a husk: the name of a class or function, its arguments, its state, what was
put into it. What a husk stands for is decided afterwards, in `plain_values`. (It is the unpickler written in Python:
the one in C hashes whatever is a key, makes a memo as long as the file says, and keeps its instructions to itself.)
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

from interp.errors import shown

MAX_NAME = 1000
STORAGE = "a storage outside the pickle"
MOVED = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""Modules by their name in Python 2, which pickles of protocols 0 to 2 use."""


class Refused(Exception):  # noqa: N818
    """What is wrong with a file, without its name."""


@dataclass(eq=False, slots=True)
class Husk:
    """What stands for an object of a pickle, or, where `arguments` is None, for a class or function itself."""

    name: str
    arguments: tuple[Any, ...] | None = None
    named: Any = None
    """The arguments given by name, as the husk of a dict."""
    state: Any = None
    items: list[Any] | None = None
    """What was appended or added."""
    pairs: list[Any] | None = None
    """Keys and values in turn."""


class Recorder(pickle._Unpickler):
    """`load()` gives what the pickle says: numbers, texts, bytes, None, lists, tuples, and husks for all else.

    Dicts and sets are husks too: no key is hashed before it is known to be a plain one.
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, encoding="latin1")
        self.storages: list[Husk] = []
        self._names: dict[tuple[str, str], Husk] = {}
        self._left = 240_000 + file.getbuffer().nbytes

    def _spend(self, cost: int = 4) -> None:
        """Count what an instruction of a byte or two makes, some 100 bytes a unit, against the size of the file."""
        self._left -= cost
        if self._left < 0:
            raise Refused("it would take far more memory than its size; not a weights file to trust")

    def find_class(self, module: str, name: str) -> Husk:
        if len(module) + len(name) > MAX_NAME:
            raise Refused(f"it names something in the module {shown(module)}, which is no name; it is damaged")
        if (module, name) not in self._names:
            self._spend(4 + (len(module) + len(name)) // 100)
            owner = MOVED.get(module, module).replace("numpy.core", "numpy._core")
            self._names[module, name] = Husk(f"{owner}.{name}")
        return self._names[module, name]

    def get_extension(self, code: int) -> NoReturn:
        raise Refused(f"it holds the extension {code} of a program's own; save it without extensions")

    def persistent_load(self, pid: Any) -> Any:
        if type(pid) is tuple and pid[:1] == ("storage",):
            self.storages.append(Husk(STORAGE, pid))
            return self.storages[-1]
        if type(pid) is tuple and len(pid) > 1 and pid[:1] == ("module",):  # a class, with its source
            return pid[1]
        raise Refused("it refers to something outside it that is no storage of a tensor; it is damaged")

    # Objects.

    def _instantiate(self, klass: Any, args: Any, named: Any = None) -> None:
        if type(klass) is not Husk or type(args) not in (tuple, list):
            raise Refused(f"it would call a {type(klass).__name__}; it is damaged")
        self._spend()
        if klass.name == "copyreg._reconstructor" and len(args) == 3 and type(args[0]) is Husk:
            klass, _, base = args  # an object in protocols 0 and 1: its class, what that extends, the content of that
            args = () if base is None else (base,)
        name = klass.name if klass.arguments is None else "a call of a call"
        self.append(Husk(name, tuple(args), named))

    def load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self._instantiate(function, arguments)

    def load_newobj_ex(self) -> None:
        named, arguments, made = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self._instantiate(made, arguments, named)

    def _object(self) -> Husk:
        """The one on top of the stack, that is now told something."""
        target = self.stack[-1]
        if type(target) is not Husk or target.arguments is None:
            raise Refused(f"it would change a {type(target).__name__}; it is damaged")
        return target

    def load_build(self) -> None:
        state = self.stack.pop()
        self._object().state = state

    # Containers.

    def _add(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        else:
            target = self._object()
            if target.items is None:
                target.items = []
            target.items += items

    def load_append(self) -> None:
        item = self.stack.pop()
        self._add([item])

    def load_appends(self) -> None:
        items = self.pop_mark()
        self._add(items)

    def _set(self, pairs: list[Any]) -> None:
        if len(pairs) % 2:
            raise Refused("a dict with a key without a value; it is damaged")
        target = self._object()
        if target.pairs is None:
            target.pairs = []
        target.pairs += pairs

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def load_setitems(self) -> None:
        pairs = self.pop_mark()
        self._set(pairs)

    def load_empty_dict(self) -> None:
        self._spend()
        self.append(Husk("builtins.dict", ()))

    def load_dict(self) -> None:
        pairs = self.pop_mark()
        self.load_empty_dict()
        self._set(pairs)

    def load_empty_set(self) -> None:
        self._spend()
        self.append(Husk("builtins.set", ()))

    def load_frozenset(self) -> None:
        items = self.pop_mark()
        self._spend()
        self.append(Husk("builtins.frozenset", (items,)))

    def load_bytearray8(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(self.read(size))  # Python's own makes room for what is claimed

    for _opcode, _handler in (
        (pickle.REDUCE, load_reduce),
        (pickle.NEWOBJ, load_reduce),
        (pickle.NEWOBJ_EX, load_newobj_ex),
        (pickle.BUILD, load_build),
        (pickle.APPEND, load_append),
        (pickle.APPENDS, load_appends),
        (pickle.ADDITEMS, load_appends),
        (pickle.SETITEM, load_setitem),
        (pickle.SETITEMS, load_setitems),
        (pickle.EMPTY_DICT, load_empty_dict),
        (pickle.DICT, load_dict),
        (pickle.EMPTY_SET, load_empty_set),
        (pickle.FROZENSET, load_frozenset),
        (pickle.BYTEARRAY8, load_bytearray8),
    ):
        dispatch[_opcode[0]] = _handler


def _spending(handler: Callable[[Any], None], cost: int) -> Callable[[Any], None]:
    def spend(recorder: Recorder) -> None:
        recorder._spend(cost)
        handler(recorder)

    return spend


for _opcodes, _cost in (
    ((pickle.LIST, pickle.EMPTY_LIST, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3), 4),
    ((pickle.MARK, pickle.MEMOIZE, pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT), 1),
):
    for _opcode in _opcodes:
        Recorder.dispatch[_opcode[0]] = _spending(Recorder.dispatch[_opcode[0]], _cost)
