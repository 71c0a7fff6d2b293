"""The signature of a name, read from its source: names, annotations and defaults of its options, nothing imported.

A mistyped option is so told at once, without the seconds that torch takes. An annotation is evaluated where it stands
for itself: names of Python, typing and pydantic, and names given a value at the top of a file of ours, such as
`Split = Literal["random", "power"]`. What cannot be evaluated so is imported.
"""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import inspect
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.catalogue.names import KINDS, file_of, find
from interp.catalogue.source_code import PACKAGE

LIGHT = ("typing", "collections", "pydantic", "annotated_types", "types", "math", "os", "pathlib")
"""Packages that may be imported to evaluate an annotation."""


@dataclass(frozen=True)
class Parameter:
    """One option of a name, as it stands in the source."""

    name: str
    annotation: ast.expr | None
    default: ast.expr | None


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a file. Raises SyntaxError where it is not Python."""
    return ast.parse(path.read_text(encoding="utf-8"))


def definition(path: Path, name: str) -> ast.FunctionDef | None:
    """The function of this name at the top of a file, None where it is not written there. Raises SyntaxError."""
    found = [node for node in tree_of(path).body if isinstance(node, ast.FunctionDef) and node.name == name]
    return found[-1] if found else None


def parameters(function: ast.FunctionDef) -> Iterator[Parameter]:
    """Every parameter but *args and **kwargs, in its order."""
    arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    positional = len(arguments) - len(function.args.kwonlyargs)
    defaults = [None] * (positional - len(function.args.defaults)) + function.args.defaults + function.args.kw_defaults
    for argument, default in zip(arguments, defaults, strict=True):
        yield Parameter(argument.arg, argument.annotation, default)


def all_parameters(kind: str, name: str) -> frozenset[str]:
    """The names of all parameters of a function, ours among them."""
    function = definition(file_of(kind, name), name)
    return frozenset(one.name for one in parameters(function)) if function else frozenset(_imported(kind, name))


def options(kind: str, name: str) -> dict[str, tuple[Any, Any]]:
    """Option -> (annotation, default); the default of one that must be given is `...`."""
    return dict(_options(kind, name, file_of(kind, name)))


@functools.cache
def _options(kind: str, name: str, path: Path) -> dict[str, tuple[Any, Any]]:
    try:
        written = parameters(_found(definition(path, name)))
        values = _Values(path)
        return {
            one.name: (values.of(one.annotation, Any), values.of(one.default, ...))
            for one in written
            if one.name not in KINDS[kind]
        }
    except (_Unknown, SyntaxError):
        return {option: told for option, told in _imported(kind, name).items() if option not in KINDS[kind]}


def _found(function: ast.FunctionDef | None) -> ast.FunctionDef:
    if function is None:
        raise _Unknown
    return function


def _imported(kind: str, name: str) -> dict[str, tuple[Any, Any]]:
    """Parameter -> (annotation, default), as Python tells them of the function."""
    function = find(kind, name)
    hints = typing.get_type_hints(function, include_extras=True)
    return {
        one.name: (hints.get(one.name, Any), ... if one.default is one.empty else one.default)
        for one in inspect.signature(function).parameters.values()
        if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
    }


class _Unknown(Exception):  # noqa: N818 (no mistake: what follows is an import)
    """A name whose value cannot be told without importing the file."""


class _Values(dict[str, Any]):
    """The values of names at the top of a file, each evaluated when it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def of(self, node: ast.expr | None, absent: Any) -> Any:
        """Return an expression's value, `absent` where there is none. Raises _Unknown where only an import tells it."""
        if node is None:
            return absent
        try:
            return eval(compile(ast.Expression(node), str(self.path), "eval"), {"__builtins__": {}}, self)
        except Exception as error:  # whatever an expression raises, the import will raise it again
            raise _Unknown from error

    def __missing__(self, name: str) -> Any:
        for node in tree_of(self.path).body:
            if isinstance(node, ast.Assign) and ast.unparse(node).startswith(f"{name} = "):
                return self.of(node.value, None)
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        return _from_module(node.module, alias.name)
        return getattr(builtins, name)


def _from_module(module: str, name: str) -> Any:
    first, *rest = module.split(".")
    if first in LIGHT:
        return getattr(importlib.import_module(module), name)
    place = PACKAGE.joinpath(*rest)
    files = [file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()]
    if first != PACKAGE.name or not files:
        raise _Unknown
    return _Values(files[0])[name]
