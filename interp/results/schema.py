"""A measure's dataclass as labelled arrays: fields, axes, labels.

The annotation of a field gives its axes (`Float[Tensor, "head freq"]`), the docstring under it the long name and, in
brackets at its end, the units. A field named like an axis holds that axis's labels. A field whose annotation allows
None is blank where it is None. A measure whose return annotation is a union of dataclasses answers with any of them.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, get_args, get_origin

import numpy as np
import torch

from interp.catalogue.names import find, module_of
from interp.errors import InterpError, shown


@dataclass(frozen=True)
class Field:
    """One array of a result."""

    name: str
    axes: tuple[str, ...]
    kind: str
    """"f" float, "i" integer, "b" mask, "U" text."""
    long_name: str
    units: str
    optional: bool = False
    """Whether it may be None."""

    @property
    def blank(self) -> Any:
        """What stands in the place of a value that is not there."""
        return {"f": np.nan, "i": -1, "b": False, "U": ""}[self.kind]

    @property
    def attributes(self) -> dict[str, str]:
        """What its array says of itself."""
        return {"long_name": self.long_name} | ({"units": self.units} if self.units else {})


@dataclass(frozen=True)
class Schema:
    """What one dataclass stores, in order."""

    fields: tuple[Field, ...]
    record: str = ""
    """The name of the dataclass."""

    @property
    def axes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(axis for field in self.fields for axis in field.axes))

    @property
    def variables(self) -> tuple[Field, ...]:
        return tuple(field for field in self.fields if field.name not in self.axes)

    @property
    def labels(self) -> tuple[Field, ...]:
        """The fields that label an axis."""
        return tuple(field for field in self.fields if field.name in self.axes)


SUBJECTS = ("checkpoint", "run", "runs", "results")


@functools.cache
def subject(measure: str) -> str:
    """What the measure is called on: "checkpoint", "run", "runs" or "results", the name of its first parameter."""
    first = next(iter(inspect.signature(find("measures", measure)).parameters), "")
    if first not in SUBJECTS:
        raise InterpError(f"measure {measure}: its first parameter is {first!r}; expected {', '.join(SUBJECTS)}")
    return first


def is_over_runs(measure: str) -> bool:
    """Whether it gives a row for each of several runs, which its `over_runs` then looks at together."""
    return hasattr(module_of("measures", measure), "over_runs")


def takes_previous(measure: str) -> bool:
    """Whether it may start from its answer at the checkpoint before."""
    return subject(measure) == "checkpoint" and "previous" in inspect.signature(find("measures", measure)).parameters


def schemas_of(measure: str, whole: bool = False) -> dict[str, Schema]:
    """The schemas of what `measure` returns, by the dataclass's name; `whole` with the fields that begin with "_"."""
    returned = _returned(find("measures", measure), measure)
    return {record.__name__: schema_of(record, whole) for record in returned}


def schemas_joined(measure: str) -> tuple[Schema, ...]:
    """The schemas of what the measure's `over_run` or `over_runs` may return; none where it has neither."""
    function = joined(measure)
    return tuple(map(schema_of, _returned(function, measure))) if function else ()


def joined(measure: str) -> Callable[..., Any] | None:
    """The measure's `over_run` or `over_runs`, which sees its whole result and adds fields to it; None without one."""
    module = module_of("measures", measure)
    return getattr(module, "over_runs", None) or getattr(module, "over_run", None)


def _returned(function: Any, measure: str) -> tuple[type, ...]:
    returned = typing.get_type_hints(function).get("return")
    records: tuple[Any, ...] = get_args(returned) if isinstance(returned, types.UnionType) else (returned,)
    if not all(isinstance(record, type) and hasattr(record, "__dataclass_fields__") for record in records):
        raise InterpError(f"measure {measure}: its return annotation should be a frozen dataclass")
    return records


@functools.cache
def schema_of(record: type, whole: bool = False) -> Schema:
    """Raises InterpError where a field's annotation cannot be stored."""
    hints = typing.get_type_hints(record)
    documented = _field_docstrings(record)
    return Schema(
        tuple(
            _field(record, field.name, hints[field.name], documented.get(field.name, ""))
            for field in fields(record)
            if whole or not field.name.startswith("_")
        ),
        record.__name__,
    )


def _field(record: type, name: str, hint: Any, text: str) -> Field:
    match = re.fullmatch(r"(?s)(.*?)\s*(?:\[([^\[\]]*)\])?", " ".join(text.split()))
    long_name, units = (match[1].rstrip("."), match[2] or "") if match else ("", "")
    optional = type(None) in get_args(hint)
    if optional:
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    axes, kind = _axes_and_kind(record, name, hint)
    return Field(name, axes, kind, long_name or name.replace("_", " "), units, optional)


def _axes_and_kind(record: type, name: str, hint: Any) -> tuple[tuple[str, ...], str]:
    if hasattr(hint, "dim_str"):
        dtypes = str(hint.dtypes)
        for kind, word in {"f": "float", "b": "bool", "i": "int"}.items():
            if word in dtypes:
                return tuple(hint.dim_str.split()), kind
    if hint == tuple[str, ...]:
        return (name,), "U"
    if hint is str or (get_origin(hint) is Literal and all(isinstance(one, str) for one in get_args(hint))):
        return (), "U"
    for plain, kind in ((bool, "b"), (int, "i"), (float, "f")):
        if hint is plain:
            return (), kind
    raise InterpError(
        f"{record.__name__}.{name}: {hint} cannot be stored; "
        "use a jaxtyping array, a number, a Literal of texts, or tuple[str, ...] for labels"
    )


def _field_docstrings(record: type) -> dict[str, str]:
    """The string under each field of a record, and of those that it extends."""
    found: dict[str, str] = {}
    for each in reversed(record.__mro__):
        found |= _own_docstrings(each) if is_dataclass(each) else {}
    return found


def _own_docstrings(record: type) -> dict[str, str]:
    """The string under each field of its own, as pydantic and Sphinx read them."""
    body = ast.parse(textwrap.dedent(inspect.getsource(record))).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            found[field.target.id] = below.value.value
    return found


def values(schema: Schema, answer: Any, measure: str) -> dict[str, np.ndarray]:
    """The answer's fields as NumPy arrays. Raises InterpError where one is not what its annotation says."""
    arrays: dict[str, np.ndarray] = {}
    there = [field for field in schema.fields if not (field.optional and getattr(answer, field.name) is None)]
    for field in there:
        try:
            arrays[field.name] = _array(getattr(answer, field.name), field)
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            raise InterpError(f"measure {measure}: {field.name} cannot be stored: {shown(error)}") from error
    sizes: dict[str, int] = {}
    for field in there:
        array = arrays[field.name]
        if array.ndim != len(field.axes):
            raise InterpError(
                f"measure {measure}: {field.name} has shape {array.shape}, its annotation says [{' '.join(field.axes)}]"
            )
        for axis, size in zip(field.axes, array.shape, strict=True):
            if axis != "_" and sizes.setdefault(axis, size) != size:
                raise InterpError(f"measure {measure}: axis {axis} is {sizes[axis]} long, but {size} in {field.name}")
    for field in schema.fields:
        if field.name not in arrays:
            arrays[field.name] = np.full([sizes.get(axis, 0) for axis in field.axes], field.blank)
    return {field.name: arrays[field.name] for field in schema.fields}


def restored(measure: str, record: str, values: dict[str, np.ndarray]) -> Any:
    """What the measure returned, from the arrays of all its fields; tensors are on the CPU."""
    returned = next(one for one in _returned(find("measures", measure), measure) if one.__name__ == record)
    hints = typing.get_type_hints(returned)
    return returned(
        **{field.name: _value(values[field.name], hints[field.name]) for field in fields(returned) if field.init}
    )


def _value(array: np.ndarray, hint: Any) -> Any:
    """As its annotation says: a tensor, an array, labels, a text, a number; what was None is blank."""
    if type(None) in get_args(hint):
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    if hasattr(hint, "array_type"):
        return array if issubclass(hint.array_type, np.ndarray) else torch.from_numpy(array)
    return tuple(array.tolist()) if get_origin(hint) is tuple else array.item()


ACCEPTED = {"f": ("fiub", "numbers"), "i": ("iub", "whole numbers"), "b": ("b", "True or False")}
"""Kinds of NumPy's types by kind of field, and what they are called."""


def _array(value: Any, field: Field) -> np.ndarray:
    if field.kind == "U":
        return np.asarray(value, dtype=np.str_)
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    kinds, expected = ACCEPTED[field.kind]
    if array.dtype.kind not in kinds:
        found = type(value).__name__ if array.dtype.kind == "O" else array.dtype
        raise TypeError(f"it is {found}, expected {expected}")
    if field.name.startswith("_"):  # the next answer may need its type: the state of a generator is of bytes
        return array
    stored = {"f": np.result_type(array, np.float32), "i": np.int64, "b": np.bool_}[field.kind]
    return array.astype(stored, copy=False)
