"""A name and its options, as they stand in YAML: checked, then called.

An option that is annotated with `BesideRecipe` is a file, which is looked for in the recipe's folder; one that is
annotated with `AnOptimiser` is a name with options of its own.
"""

from __future__ import annotations

import os
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interp.catalogue.names import KINDS, find, singular
from interp.catalogue.options import OptionError, checked_options
from interp.catalogue.signatures import all_parameters, options
from interp.contracts.nested_name import KINDS_OF_NAMES
from interp.contracts.recipe_file import BesideRecipe, recipe_file
from interp.errors import MisnamedError
from interp.recipes.document import Document, Key


@dataclass(frozen=True)
class Call:
    """A name and its options: `{adamw: {lr: 1e-3}}` in YAML."""

    kind: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def __call__(self, *ours: Any, **by_name: Any) -> Any:
        """Call the function with our arguments, each option that is a name called first."""
        made = {option: call() for option, call in self.inner.items()}
        return find(self.kind, self.name)(*ours, **by_name, **{**self.options, **made})

    @property
    def inner(self) -> dict[str, Call]:
        """The options that are names with options of their own."""
        if not any(isinstance(value, str | dict) for value in self.options.values()):
            return {}
        kinds = _names_among(self.kind, self.name, self.options)
        return {option: Call(kind, *_parted(self.options[option])) for option, kind in kinds.items()}


def call_at(document: Document, key: Key, value: Any, kind: str) -> Call | None:
    """Read `name` or `{name: {option: value}}`; mistakes are noted in `document`."""
    if isinstance(value, str):
        name, given = value, {}
    elif isinstance(value, dict) and len(value) == 1:
        name, given = next(iter(value.items()))
        given = {} if given is None else given
        key = (*key, name) if isinstance(name, str) else key
    else:
        one = "an" if singular(kind)[0] in "aeiou" else "a"
        document.problem(key, f"{one} {singular(kind)} is one name with options, such as {{name: {{option: value}}}}")
        return None
    return checked_call(document, key, kind, name, given)


def checked_call(document: Document, key: Key, kind: str, name: Any, given: Any) -> Call | None:
    """A call whose name exists and whose options fit; mistakes are noted in `document` at `key`."""
    if not isinstance(name, str) or not isinstance(given, dict):
        document.problem(key, f"the options of {name!r} should be names and values")
        return None
    try:
        checked = checked_options(kind, name, {str(option): value for option, value in given.items()})
        files, inner = _files(document, key, kind, name, checked), _inner(document, key, kind, name, checked)
        return None if inner is None else Call(kind, name, checked | files | inner)
    except OptionError as error:
        note_problems(document, key, error)
    except MisnamedError as error:
        document.misnamed = True
        document.problem(key, str(error))
    return None


def _files(document: Document, key: Key, kind: str, name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The options that are files, found in the recipe's folder; one that cannot be read is noted in `document`."""
    found = {}
    for option in files_among(kind, name, given):
        written = str(given[option])
        place = document.path.parent / Path(os.path.expandvars(written)).expanduser()
        try:
            found[option] = recipe_file(written, place)
        except OSError as error:
            reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
            where = f"{option} is relative to the folder of {document.path.name}"
            document.problem((*key, option), f"{name}: {place} {reason}; {where}")
    return found


def _inner(document: Document, key: Key, kind: str, name: str, given: dict[str, Any]) -> dict[str, Any] | None:
    """The options that are names, their own options checked and completed; mistakes are noted in `document`, and None
    is returned where there are any."""
    names = _names_among(kind, name, given)
    found = {}
    for option, of_kind in names.items():
        call = call_at(document, (*key, option), given[option], of_kind)
        if call and all_parameters(of_kind, call.name) & set(KINDS[of_kind]):
            alone = f"{name}: {option} is {call.name}, which moves one network by itself; take a rule, such as adamw"
            document.problem((*key, option), alone)
        elif call:
            found[option] = {call.name: call.options}
    return found if len(found) == len(names) else None


def _names_among(kind: str, name: str, given: dict[str, Any]) -> dict[str, str]:
    """The options among those given that are names, and the kind of each."""
    known = options(kind, name)
    kinds = {option: next((of for marked, of in KINDS_OF_NAMES if marked == known[option][0]), "") for option in given}
    return {option: of_kind for option, of_kind in kinds.items() if of_kind}


def _parted(named: str | dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A name, and its options."""
    return (named, {}) if isinstance(named, str) else next(iter(named.items()))


def files_among(kind: str, name: str, given: dict[str, Any]) -> list[str]:
    """The options among those given that are files beside the recipe."""
    known = options(kind, name)
    return [
        option
        for option, value in given.items()
        if value is not None and BesideRecipe in (known[option][0], *typing.get_args(known[option][0]))
    ]


def note_problems(document: Document, key: Key, error: OptionError) -> None:
    """Note each mistake in options that stand at `key`."""
    document.misnamed |= error.misnamed
    for where, message in error.problems:
        document.problem((*key, *where), message)
