"""The options of a name: its function's signature is the schema."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from interp.catalogue.names import check_name
from interp.catalogue.signatures import all_parameters, options
from interp.errors import InterpError, near_misses

Place = tuple[str | int, ...]
"""The way from a name's options to one of their parts: ("betas", 1)."""
IDENTIFYING = ("p", "operation", "split", "d_model", "d_mlp", "n_heads", "act_fn")
"""Options by which a task or a network is told from another: shown also where they are the defaults."""


class OptionError(InterpError):
    """Options that do not fit a function's signature: (place, message) pairs."""

    def __init__(self, problems: list[tuple[Place, str]], misnamed: bool) -> None:
        self.problems = problems
        self.misnamed = misnamed
        """Whether a name among them does not exist."""
        super().__init__("; ".join(message for _, message in problems))


def checked_options(kind: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """`given`, checked and completed with defaults by the function's signature; no number may be infinite or NaN.

    Raises InterpError where there is no such name, OptionError with every mistake at once.
    """
    check_name(kind, name)
    return checked(name, options(kind, name), given)


def checked(name: str, fields: Mapping[str, tuple[Any, Any]], given: Mapping[str, Any]) -> dict[str, Any]:
    """`given`, checked and completed by `fields`: option -> (annotation, default). Raises OptionError."""
    import pydantic

    schema = _schema(name, fields)
    truths: list[tuple[Place, str]] = [
        ((option,), f"{name}: option {option!r} is {value}, a truth value; expected a number")
        for option, value in given.items()
        if isinstance(value, bool) and option in fields and _plain(fields[option][0]) in (int, float)
    ]
    try:
        found = schema(**given)
    except pydantic.ValidationError as error:
        details = error.errors()
        misnamed = any(detail["type"] == "extra_forbidden" for detail in details)
        raise OptionError([*truths, *_problems(name, details, given, fields)], misnamed) from None
    if truths:
        raise OptionError(truths, misnamed=False)
    return {field: getattr(found, field) for field in fields}


_MADE: dict[str, tuple[Mapping[str, Any], Any]] = {}
"""Name -> its fields and their schema, which takes some milliseconds to make and is asked for at every checkpoint."""


def _schema(name: str, fields: Mapping[str, tuple[Any, Any]]) -> Any:
    """The pydantic model of these fields."""
    import pydantic

    known, schema = _MADE.get(name, ({}, None))
    if schema is None or known != fields:
        definitions: dict[str, Any] = dict(fields)
        config = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)
        schema = pydantic.create_model(name, __config__=config, **definitions)
        _MADE[name] = fields, schema
    return schema


def parameter_names(call: Any) -> frozenset[str]:
    """The names of all parameters of the function that a `recipes.call.Call` calls, ours among them."""
    return all_parameters(call.kind, call.name)


def default_options(kind: str, name: str) -> dict[str, Any]:
    """The options that may be left out, and what they are then."""
    return {option: default for option, (_, default) in options(kind, name).items() if default is not ...}


def changed_options(kind: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader wants to see: what differs from the defaults, and what identifies a task or a network."""
    defaults = default_options(kind, name)
    return {
        option: value
        for option, value in given.items()
        if option in IDENTIFYING or option not in defaults or defaults[option] != value
    }


def _plain(annotation: Any) -> Any:
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation


def _problems(
    name: str, details: list[Any], given: Mapping[str, Any], fields: Mapping[str, Any]
) -> Iterator[tuple[Place, str]]:
    """One an entry; what fits none of the forms an option may have is one, with all of them."""
    by_option: dict[str, list[Any]] = {}
    for detail in details:
        by_option.setdefault(str(detail["loc"][0]), []).append(detail)
    for option, found in by_option.items():
        if len(found) > 1 and typing.get_origin(_plain(fields[option][0])) in (types.UnionType, typing.Union):
            wanted = " or ".join(dict.fromkeys(detail["msg"][0].lower() + detail["msg"][1:] for detail in found))
            yield (option,), f"{name}: option {option!r} is {given[option]!r}; {wanted}"
        else:
            yield from (_problem(name, detail, fields) for detail in found)


def _problem(name: str, detail: Any, fields: Mapping[str, Any]) -> tuple[Place, str]:
    where = detail["loc"]
    option = str(where[0])
    if detail["type"] == "extra_forbidden" and len(where) == 1:
        known = near_misses(option, fields) if fields else "; it takes none"
        return where, f"{name} has no option {option!r}{known}"
    if detail["type"] == "extra_forbidden":
        return where, f"{name}: option {'.'.join(map(str, where[:-1]))!r} has no {where[-1]!r}"
    if detail["type"] == "missing" and len(where) == 1:
        return (), f"{name} needs the option {option!r}"
    wanted = detail["msg"][0].lower() + detail["msg"][1:]
    return where, f"{name}: option {'.'.join(map(str, where))!r} is {detail['input']!r}; {wanted}"
