"""A YAML file, with the line each of its values stands on, so that a mistake can be pointed at."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from interp.errors import InterpError, shown

Key = tuple[str | int, ...]
MAX_LENGTH = 100_000
"""Characters of a file, and of what it becomes where its aliases are written out."""
MAX_DEPTH = 50
MAX_PROBLEMS = 50
MAX_MESSAGE = 500


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-3 as text; a recipe means the number."""


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    number = loader.construct_yaml_int(node)
    if number.bit_length() > 64:
        raise yaml.constructor.ConstructorError(problem="a number of this size", problem_mark=node.start_mark)
    return number


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


@dataclass
class Document:
    """The content of a YAML file and the mistakes found in it so far."""

    path: Path
    content: dict[str, Any]
    lines: dict[Key, int]
    problems: list[tuple[int, str]] = field(default_factory=list)

    def problem(self, key: Key, message: str) -> None:
        """Note a mistake at `key`; `settle` reports all of them together."""
        while key and key not in self.lines:
            key = key[:-1]
        self.problems.append((self.lines.get(key, 1), shown(message, MAX_MESSAGE)))

    def settle(self) -> None:
        """Raises InterpError with every mistake noted, each with its line."""
        if self.problems:
            told = [f"{self.path}:{line}: {message}" for line, message in sorted(self.problems)[:MAX_PROBLEMS]]
            if len(self.problems) > MAX_PROBLEMS:
                told.append(f"{self.path}: and {len(self.problems) - MAX_PROBLEMS:,} more")
            raise InterpError("\n".join(told))

    def set(self, assignment: str) -> None:
        """Apply "training.seed=3", as --set does. Raises InterpError where it is not of that form."""
        dotted, equals, text = assignment.partition("=")
        if not equals or not dotted:
            raise InterpError(f"--set {assignment} is not of the form name.option=value")
        *parents, last = dotted.split(".")
        place = self.content
        for part in parents:
            if place.get(part) is None:
                place[part] = {}
            elif isinstance(place[part], str):  # a name without options
                place[part] = {place[part]: {}}
            place = place[part]
            if not isinstance(place, dict):
                raise InterpError(f"--set {assignment}: {part} has no options to set")
        place[last] = parse_value(text)


def read_document(path: Path) -> Document:
    """Raises InterpError where the file is missing, not YAML, or not a mapping."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MAX_LENGTH + 1)
    except FileNotFoundError:
        raise InterpError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InterpError(f"{path} cannot be read: {error}") from None
    if len(text) > MAX_LENGTH:
        raise InterpError(f"{path} is longer than {MAX_LENGTH:,} characters; expected names and values, 'task: ...'")
    lines: dict[Key, int] = {}
    twice: list[tuple[int, str]] = []
    try:
        content = _loaded(text, lines, twice)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise InterpError(f"{path}{line}: not YAML: {shown(reason)}") from None
    except (ValueError, LookupError, ArithmeticError, AttributeError, TypeError, RecursionError) as error:
        raise InterpError(f"{path}: not YAML: {shown(error)}") from None  # !!int "", !!timestamp x, a day 99
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InterpError(f"{path} should hold names and values, such as 'task: ...'")
    document = Document(path, content, lines)
    for line, name in twice:
        document.problems.append((line, f"{shown(repr(name))} stands twice"))
    document.settle()
    return document


def _loaded(text: str, lines: dict[Key, int], twice: list[tuple[int, str]]) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _written_out(node, {})
        _note_lines(node, (), lines)
        twice += _twice(node)
        return loader.construct_document(node)  # flattens merges: the node is another one afterwards
    finally:
        loader.dispose()


@dataclass(frozen=True)
class _Extent:
    length: int
    depth: int


def _written_out(node: yaml.Node, extents: dict[int, _Extent | None]) -> _Extent:
    """The extent of `node` with its aliases written out. Raises YAMLError where it is too large, or has no end."""
    if id(node) in extents:
        if (known := extents[id(node)]) is None:
            raise yaml.MarkedYAMLError(problem="it contains itself", problem_mark=node.start_mark)
        return known
    extents[id(node)] = None
    if isinstance(node, yaml.ScalarNode):
        found = _Extent(1 + len(node.value), 0)
    else:
        inside = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        parts = [_written_out(part, extents) for part in inside]
        found = _Extent(1 + sum(part.length for part in parts), 1 + max((part.depth for part in parts), default=0))
    if found.length > MAX_LENGTH or found.depth > MAX_DEPTH:
        problem = f"nested more than {MAX_DEPTH} deep" if found.depth > MAX_DEPTH else "too long with its aliases"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
    extents[id(node)] = found
    return found


def _twice(node: yaml.Node) -> list[tuple[int, str]]:
    """Line and name of every name that stands twice in one mapping."""
    found: list[tuple[int, str]] = []
    waiting, seen = [node], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            names: set[str] = set()
            for name, value in node.value:
                if str(name.value) in names:
                    found.append((name.start_mark.line + 1, str(name.value)))
                names.add(str(name.value))
                waiting.append(value)
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
    return found


def parse_value(text: str) -> Any:
    """A value as YAML would read it. Raises InterpError where it is not YAML."""
    try:
        return _loaded(text, {}, [])
    except (yaml.YAMLError, ValueError, LookupError, ArithmeticError, AttributeError, TypeError, RecursionError):
        raise InterpError(f"{shown(repr(text))} is not a value in YAML") from None


def _note_lines(node: yaml.Node, key: Key, lines: dict[Key, int]) -> None:
    lines.setdefault(key, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            below = (*key, str(name.value))
            lines[below] = name.start_mark.line + 1
            _note_lines(value, below, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _note_lines(value, (*key, index), lines)


def dump_yaml(content: dict[str, Any]) -> str:
    """`content` as YAML, in its own order."""
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
