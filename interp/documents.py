"""A YAML file, with the line each of its values stands on, so that a mistake can be pointed at."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from interp import lookup
from interp.errors import InterpError

Key = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-3 as text; a recipe means the number."""


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
        self.problems.append((self.lines.get(key, 1), message))

    def settle(self) -> None:
        """Raises InterpError with every mistake noted, each with its line."""
        if self.problems:
            raise InterpError("\n".join(f"{self.path}:{line}: {message}" for line, message in sorted(self.problems)))

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
        place[last] = parse(text)


def read(path: Path) -> Document:
    """Raises InterpError where the file is missing, not YAML, or not a mapping."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InterpError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InterpError(f"{path} cannot be read: {error}") from None
    try:
        node = yaml.compose(text, Loader=_Loader)
        content = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        reason = " ".join(str(getattr(error, "problem", error)).split())
        raise InterpError(f"{path}{line}: not YAML: {reason}") from None
    except (ValueError, RecursionError) as error:
        raise InterpError(f"{path}: not YAML: {error}") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InterpError(f"{path} should hold names and values, such as 'task: ...'")
    lines: dict[Key, int] = {}
    _note_lines(node, (), lines, set())
    document = Document(path, content, lines)
    for line, name in _twice(node):
        document.problems.append((line, f"{name!r} stands twice"))
    document.settle()
    return document


def _twice(node: yaml.Node | None) -> list[tuple[int, str]]:
    """Line and name of every name that stands twice in one mapping."""
    found: list[tuple[int, str]] = []
    waiting, seen = [node], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            names = [name.value for name, _ in node.value]
            found += [
                (name.start_mark.line + 1, name.value)
                for place, (name, _) in enumerate(node.value)
                if name.value in names[:place]
            ]
            waiting += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
    return found


def parse(text: str) -> Any:
    """A value as YAML would read it. Raises InterpError where it is not YAML."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        raise InterpError(f"{text!r} is not a value in YAML") from None


def _note_lines(node: yaml.Node | None, key: Key, lines: dict[Key, int], above: set[int]) -> None:
    if node is None or id(node) in above:
        return
    lines.setdefault(key, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            lines[(*key, name.value)] = name.start_mark.line + 1
            _note_lines(value, (*key, name.value), lines, above | {id(node)})
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _note_lines(value, (*key, index), lines, above | {id(node)})


@dataclass(frozen=True)
class Call:
    """A name and its options: `{adamw: {lr: 1e-3}}` in YAML."""

    kind: str
    name: str
    options: dict[str, Any]

    def __call__(self, *ours: Any, **by_name: Any) -> Any:
        """Call the function with our arguments."""
        return lookup.find(self.kind, self.name)(*ours, **by_name, **self.options)


def call(document: Document, key: Key, value: Any, kind: str) -> Call | None:
    """Read `name` or `{name: {option: value}}`; mistakes are noted in `document`."""
    if isinstance(value, str):
        name, given = value, {}
    elif isinstance(value, dict) and len(value) == 1:
        name, given = next(iter(value.items()))
        given = {} if given is None else given
        key = (*key, name)
    else:
        document.problem(key, f"{key[-1]} should be one name with options, such as {{name: {{option: value}}}}")
        return None
    return checked_call(document, key, kind, name, given)


def checked_call(document: Document, key: Key, kind: str, name: Any, given: Any) -> Call | None:
    """A call whose name exists and whose options fit; mistakes are noted in `document` at `key`."""
    if not isinstance(name, str) or not isinstance(given, dict):
        document.problem(key, f"the options of {name!r} should be names and values")
        return None
    try:
        return Call(kind, name, lookup.options(kind, name, {str(option): value for option, value in given.items()}))
    except lookup.OptionError as error:
        for where, message in error.problems:
            document.problem((*key, *where), message)
    except InterpError as error:
        document.problem(key, str(error))
    return None


def dump(content: dict[str, Any]) -> str:
    """`content` as YAML, in its own order."""
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
