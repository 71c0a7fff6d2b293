"""A measure's dataclass as labelled arrays: fields, axes, labels, captions.

The annotation of a field gives its axes (`Float[Tensor, "head freq"]`), the docstring under it the
long name and, in brackets at its end, the units. A field named like an axis holds that axis's labels.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import textwrap
import types
import typing
from dataclasses import dataclass, fields
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


@dataclass(frozen=True)
class Schema:
    """What one dataclass stores, in order."""

    fields: tuple[Field, ...]

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


@dataclass(frozen=True)
class Caption:
    """A measure's docstring, taken apart."""

    claim: str
    prose: str
    formulas: tuple[str, ...]
    paper: str


def caption(kind: str, name: str) -> Caption:
    """First line, prose, lines that begin "Formula:" (LaTeX) and the one that begins "Paper:"."""
    text = inspect.getdoc(find(kind, name)) or ""
    claim, _, rest = text.partition("\n")
    prose, formulas, paper = [], [], ""
    for paragraph in re.split(r"\n\s*\n", rest.strip()):
        if paragraph.startswith("Formula:"):
            formulas += [" ".join(formula.split()) for formula in paragraph.split("Formula:") if formula.strip()]
        elif paragraph.startswith("Paper:"):
            paper = " ".join(paragraph.removeprefix("Paper:").split())
        elif paragraph:
            prose.append(" ".join(paragraph.split()))
    return Caption(claim, "\n\n".join(prose), tuple(formulas), paper)


@functools.cache
def subject(measure: str) -> str:
    """What the measure is called on: "checkpoint", "run" or "runs", the name of its first parameter."""
    first = next(iter(inspect.signature(find("measures", measure)).parameters), "")
    if first not in ("checkpoint", "run", "runs"):
        raise InterpError(f"measure {measure}: its first parameter is {first!r}; expected checkpoint, run or runs")
    return first


def takes_previous(measure: str) -> bool:
    """Whether it may start from its answer at the checkpoint before."""
    return subject(measure) == "checkpoint" and "previous" in inspect.signature(find("measures", measure)).parameters


def of_measure(measure: str, whole: bool = False) -> Schema:
    """The schema of what `measure` returns; `whole` with the fields that begin with "_"."""
    return of_dataclass(_returned(find("measures", measure), measure), whole)


def of_over_run(measure: str) -> Schema:
    """The schema of what the measure's `over_run` returns; empty where it has none."""
    function = getattr(module_of("measures", measure), "over_run", None)
    return of_dataclass(_returned(function, measure)) if function else Schema(())


def _returned(function: Any, measure: str) -> type:
    returned = typing.get_type_hints(function).get("return")
    if isinstance(returned, types.UnionType):
        returned = get_args(returned)[0]
    if not isinstance(returned, type) or not hasattr(returned, "__dataclass_fields__"):
        raise InterpError(f"measure {measure}: its return annotation should be a frozen dataclass")
    return returned


@functools.cache
def of_dataclass(record: type, whole: bool = False) -> Schema:
    """Raises InterpError where a field's annotation cannot be stored."""
    hints = typing.get_type_hints(record)
    documented = _field_docstrings(record)
    return Schema(
        tuple(
            _field(record, field.name, hints[field.name], documented.get(field.name, ""))
            for field in fields(record)
            if whole or not field.name.startswith("_")
        )
    )


def _field(record: type, name: str, hint: Any, text: str) -> Field:
    match = re.fullmatch(r"(?s)(.*?)\s*(?:\[([^\[\]]*)\])?", " ".join(text.split()))
    long_name, units = (match[1].rstrip("."), match[2] or "") if match else ("", "")
    hint = next((one for one in get_args(hint) if hasattr(one, "dim_str")), hint)
    axes, kind = _axes_and_kind(record, name, hint)
    return Field(name, axes, kind, long_name or name.replace("_", " "), units)


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
    """The string under each field, as pydantic and Sphinx read them."""
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
    for field in schema.fields:
        try:
            arrays[field.name] = _array(getattr(answer, field.name), field)
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            raise InterpError(f"measure {measure}: {field.name} cannot be stored: {shown(error)}") from error
    sizes: dict[str, int] = {}
    for field in schema.fields:
        array = arrays[field.name]
        if array.ndim != len(field.axes):
            raise InterpError(
                f"measure {measure}: {field.name} has shape {array.shape}, its annotation says [{' '.join(field.axes)}]"
            )
        for axis, size in zip(field.axes, array.shape, strict=True):
            if axis != "_" and sizes.setdefault(axis, size) != size:
                raise InterpError(f"measure {measure}: axis {axis} is {sizes[axis]} long, but {size} in {field.name}")
    return arrays


def restored(measure: str, values: dict[str, np.ndarray]) -> Any:
    """What the measure returned, from the arrays of all its fields; tensors are on the CPU."""
    returned = _returned(find("measures", measure), measure)
    hints = typing.get_type_hints(returned)
    return returned(
        **{field.name: _value(values[field.name], hints[field.name]) for field in fields(returned) if field.init}
    )


def _value(array: np.ndarray, hint: Any) -> Any:
    """As its annotation says: a tensor, an array, labels, a text, a number."""
    if hasattr(hint, "array_type"):
        return array if issubclass(hint.array_type, np.ndarray) else torch.from_numpy(array)
    return tuple(array.tolist()) if get_origin(hint) is tuple else array.item()


ACCEPTED = {"f": ("fiub", "numbers"), "i": ("iub", "whole numbers"), "b": ("b", "True or False")}
"""Kinds of NumPy's types by kind of field, and what they are called."""


def _array(value: Any, field: Field) -> np.ndarray:
    if field.kind == "U":
        return np.asarray(value, dtype=np.str_)
    if value is None and not field.axes:
        value = np.nan
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
