"""The options of a name: its function's signature is the schema."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from interp.catalogue.names import KINDS, find
from interp.errors import InterpError, near_misses


class OptionError(InterpError):
    """Options that do not fit a function's signature: (option path, message) pairs."""

    def __init__(self, problems: list[tuple[tuple[str | int, ...], str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(message for _, message in problems))


def checked_options(kind: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """`given`, checked and completed with defaults by the function's signature; no number may be infinite or NaN.

    Raises OptionError with every mistake at once.
    """
    import pydantic

    function = find(kind, name)
    hints, plain = typing.get_type_hints(function, include_extras=True), typing.get_type_hints(function)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name not in KINDS[kind] and parameter.kind is not parameter.VAR_KEYWORD:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (hints.get(parameter.name, Any), default)
    config = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)
    schema = pydantic.create_model(name, __config__=config, **fields)
    truths: list[tuple[tuple[str | int, ...], str]] = [
        ((option,), f"{name}: option {option!r} is {value}, a truth value; expected a number")
        for option, value in given.items()
        if isinstance(value, bool) and option in fields and plain.get(option) in (int, float)
    ]
    try:
        checked = schema(**given)
    except pydantic.ValidationError as error:
        raise OptionError([*truths, *_problems(name, error.errors(), given, fields)]) from None
    if truths:
        raise OptionError(truths)
    return {field: getattr(checked, field) for field in fields}


def parameter_names(call: Any) -> frozenset[str]:
    """The names of all parameters of the function that a `documents.Call` calls, ours among them."""
    return frozenset(inspect.signature(find(call.kind, call.name)).parameters)


def default_options(kind: str, name: str) -> dict[str, Any]:
    """The options that may be left out, and what they are then."""
    parameters = inspect.signature(find(kind, name)).parameters.values()
    return {one.name: one.default for one in parameters if one.default is not one.empty}


def _problems(
    name: str, details: list[Any], given: Mapping[str, Any], fields: Mapping[str, Any]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """One an entry; what fits none of the forms an option may have is one, with all of them."""
    by_option: dict[str, list[Any]] = {}
    for detail in details:
        by_option.setdefault(str(detail["loc"][0]), []).append(detail)
    for option, found in by_option.items():
        if len(found) > 1 and typing.get_origin(fields[option][0]) in (types.UnionType, typing.Union):
            wanted = " or ".join(dict.fromkeys(detail["msg"][0].lower() + detail["msg"][1:] for detail in found))
            yield (option,), f"{name}: option {option!r} is {given[option]!r}; {wanted}"
        else:
            yield from (_problem(name, detail, fields) for detail in found)


def _problem(name: str, detail: Any, fields: Mapping[str, Any]) -> tuple[tuple[str | int, ...], str]:
    where = detail["loc"]
    option = str(where[0])
    if detail["type"] == "extra_forbidden":
        known = near_misses(option, fields) if fields else "; it takes none"
        return where, f"{name} has no option {option!r}{known}"
    if detail["type"] == "missing" and len(where) == 1:
        return (), f"{name} needs the option {option!r}"
    wanted = detail["msg"][0].lower() + detail["msg"][1:]
    return where, f"{name}: option {'.'.join(map(str, where))!r} is {detail['input']!r}; {wanted}"
