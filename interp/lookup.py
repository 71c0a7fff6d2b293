"""A name in YAML -> the function of that name in the file of that name.

`embedding_dft` among the measures is the function `embedding_dft` in `interp/measures/embedding_dft.py`;
its first parameters are ours, the others are its options, and their annotations are the schema.
Other packages add names through entry points: group "interp.measures", and so on.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp import fingerprints
from interp.errors import InterpError, near_misses

KINDS = {
    "tasks": (),
    "models": ("task",),
    "optimisers": ("parameters",),
    "importers": ("path", "task", "model"),
    "measures": ("checkpoint", "run", "runs", "previous"),
}
"""Each kind's folder, and the parameters that are ours: not options."""

PACKAGE = Path(__file__).parent


class OptionError(InterpError):
    """Options that do not fit a function's signature: (option path, message) pairs."""

    def __init__(self, problems: list[tuple[tuple[str | int, ...], str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(message for _, message in problems))


def names(kind: str) -> dict[str, Path]:
    """Every name of a kind and the file that defines it, without importing anything."""
    found = {path.stem: path for path in sorted((PACKAGE / kind).glob("[!_]*.py")) if _defines(path, path.stem)}
    for entry in _entry_points(kind):
        try:
            spec = importlib.util.find_spec(entry.module)
        except ImportError:  # a broken package takes only its own names away
            continue
        if spec and spec.origin:
            found.setdefault(entry.name, Path(spec.origin))
    return found


@functools.cache
def _entry_points(kind: str) -> tuple[importlib.metadata.EntryPoint, ...]:
    return tuple(importlib.metadata.entry_points(group=f"interp.{kind}"))


def _defines(path: Path, name: str) -> bool:
    return re.search(rf"^def {re.escape(name)}\(", path.read_text(encoding="utf-8"), re.MULTILINE) is not None


def check_name(kind: str, name: str) -> None:
    """Raises InterpError with the near misses where there is no such name."""
    known = names(kind)
    if name not in known:
        raise InterpError(f"no {kind.removesuffix('s')} {name!r}{near_misses(name, known)}")


def find(kind: str, name: str) -> Callable[..., Any]:
    """The function; whatever is being recorded was made with its file. Raises InterpError where there is none."""
    check_name(kind, name)
    fingerprints.note(f"{kind}/{name}", current_digest(kind, name))
    return _load(kind, name)


def current_digest(kind: str, name: str) -> str:
    """The fingerprint of the file behind a name, "" where there is no such name any more."""
    path = names(kind).get(name)
    return source_digest(path) if path else ""


@functools.cache
def _load(kind: str, name: str) -> Callable[..., Any]:
    for entry in _entry_points(kind):
        if entry.name == name and not (PACKAGE / kind / f"{name}.py").exists():
            return entry.load()
    return getattr(importlib.import_module(f"interp.{kind}.{name}"), name)


def module_of(kind: str, name: str) -> Any:
    """The module the function lives in, for its `figure`, `summary`, `over_run` and `steps`."""
    return inspect.getmodule(find(kind, name))


def options(kind: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
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


def parameters(call: Any) -> frozenset[str]:
    """The names of all parameters of the function that a `documents.Call` calls, ours among them."""
    return frozenset(inspect.signature(find(call.kind, call.name)).parameters)


def defaults(kind: str, name: str) -> dict[str, Any]:
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


@dataclass(frozen=True)
class Listing:
    """One name for `--list`: read from the source, nothing imported."""

    name: str
    options: str
    claim: str


def listings(kind: str) -> Iterator[Listing]:
    """Every name of a kind with its options, defaults and the first line of its docstring."""
    for name, path in names(kind).items():
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except SyntaxError as error:
            yield Listing(name, "", f"cannot be read: {path.name}, line {error.lineno}: {error.msg}")
            continue
        choices = _named_choices(tree)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                claim = (ast.get_docstring(node) or "").split("\n")[0]
                yield Listing(name, ", ".join(_parameters(node, KINDS[kind], choices)), claim)


def _named_choices(tree: ast.Module) -> dict[str, str]:
    """`Split = Literal["a", "b"]` at a file's top: what a reader of `Split` wants to see."""
    return {
        target.id: ast.unparse(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Literal[")
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _parameters(node: ast.FunctionDef, ours: tuple[str, ...], choices: Mapping[str, str]) -> Iterator[str]:
    arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
    positional = len(arguments) - len(node.args.kwonlyargs)
    defaults = [None] * (positional - len(node.args.defaults)) + node.args.defaults + node.args.kw_defaults
    for argument, default in zip(arguments, defaults, strict=True):
        if argument.arg not in ours:
            shown = ast.unparse(argument.annotation) if argument.annotation else ""
            annotation = f": {choices.get(shown, shown)}" if shown else ""
            yield f"{argument.arg}{annotation}" + (f" = {ast.unparse(default)}" if default else "")


@functools.cache
def source_digest(path: Path) -> str:
    """A fingerprint of a file and, transitively, of the files of its package that it imports at its top."""
    files = sorted(_closure(path.resolve()))
    content = b"".join(hashlib.blake2b(file.read_bytes(), digest_size=16).digest() for file in files)
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _closure(path: Path) -> set[Path]:
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting.extend(_imports(file))
    return seen


@functools.cache
def _imports(path: Path) -> tuple[Path, ...]:
    """The files of the same top-level package that `path` imports in statements at its top."""
    package, root = _package_of(path)
    found: list[Path] = []
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.ImportFrom) and node.level:
            parent = ".".join(path.relative_to(root).with_suffix("").parts[: -node.level])
            base = f"{parent}.{node.module}" if node.module else parent
            modules = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for module in modules:
            if module.split(".")[0] in (package, PACKAGE.name):
                top = PACKAGE.parent if module.split(".")[0] == PACKAGE.name else root
                place = top.joinpath(*module.split("."))
                found += [
                    file.resolve() for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()
                ]
    return tuple(found)


def _package_of(path: Path) -> tuple[str, Path]:
    """The top-level package a file belongs to, and the folder that package lies in."""
    top = path.parent
    while (top.parent / "__init__.py").exists():
        top = top.parent
    return (top.name, top.parent) if (top / "__init__.py").exists() else (path.stem, path.parent)
