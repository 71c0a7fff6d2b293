"""A YAML file as plain values, with the line on which each stands, so that a mistake can be pointed at.

A file is composed into nodes by ruamel.yaml. One walk over the nodes makes the values, notes the lines, and refuses
what no recipe holds: a name that stands twice, a file that contains itself, aliases that grow beyond all bounds.
"""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import FileMark, MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from interp.errors import InterpError, command_line, near_misses, shown

Key = tuple[str | int, ...]
MAX_LENGTH = 100_000
"""Characters of a file, and of what it becomes where its aliases are written out."""
MAX_DEPTH = 50
MAX_PROBLEMS = 50
MAX_MESSAGE = 500
NOT_YAML = (YAMLError, ValueError, LookupError, ArithmeticError, AttributeError, TypeError, RecursionError)
"""What reading raises, on `!!int ""` and a day 99 too."""


@dataclass
class Document:
    """The content of a YAML file and the mistakes found in it so far."""

    path: Path
    text: str
    content: dict[str, Any]
    lines: dict[Key, int]
    problems: list[tuple[int, str]] = field(default_factory=list)
    misnamed: bool = False
    """Whether a name that does not exist is among the mistakes."""
    changes: list[tuple[str, Any]] = field(default_factory=list)
    """What was `put` where, by dotted key."""
    left_out: list[str] = field(default_factory=list)
    """The keys that are not to be written."""

    def line(self, key: Key) -> int:
        """The line on which `key` stands, or what it is in, where it is not written."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key, 1)

    def problem(self, key: Key, message: str) -> None:
        """Note a mistake at `key`; `settle` reports all of them together."""
        self.problems.append((self.line(key), shown(message, MAX_MESSAGE)))

    def check_keys(self, owner: str, given: Mapping[Any, Any], known: Sequence[str], around: Key = ()) -> None:
        """Note every key of `given` that `owner`, "an analysis", does not have."""
        for key in given:
            if key not in known:
                self.misnamed = True
                self.problem((*around, str(key)), f"{owner} has no {key!r}{near_misses(str(key), known)}")

    def settle(self) -> None:
        """Raises InterpError with every mistake noted, each with its line."""
        if self.problems:
            told = [f"{self.path}:{line}: {message}" for line, message in sorted(self.problems)[:MAX_PROBLEMS]]
            if len(self.problems) > MAX_PROBLEMS:
                told.append(f"{self.path}: and {len(self.problems) - MAX_PROBLEMS:,} more")
            raise InterpError("\n".join(told))

    def set(self, assignment: str) -> None:
        """Apply "training.seed=3", as --set does. Raises InterpError where it is not of that form."""
        dotted, value = assigned(assignment)
        try:
            self.put(dotted, value)
        except InterpError as error:
            raise InterpError(f"--set {assignment}: {error}") from None

    def put(self, dotted: str, value: Any) -> Key:
        """Put a value at "training.seed"; the key under which it stands, places in lists as numbers.

        An item of a list is addressed by its name: "training.interventions.initial_scale.alpha". Raises InterpError
        where there is nothing that could have such an option.
        """
        key = _put(self.content, dotted, value)
        self.changes.append((dotted, value))
        return key

    def leave_out(self, name: str) -> None:
        """Take a top-level key out of the content, and out of what is written."""
        if name in self.content:
            del self.content[name]
            self.left_out.append(name)

    def copy(self) -> Document:
        """Another document with the same content, whose changes and mistakes are its own."""
        content = copy.deepcopy(self.content)
        changes, left_out = list(self.changes), list(self.left_out)
        return Document(self.path, self.text, content, dict(self.lines), changes=changes, left_out=left_out)

    def dump(self) -> str:
        """The file with what was changed: its comments and its layout are kept."""
        tree = _yaml("rt").load(self.text)
        for dotted, value in self.changes:
            _put(tree, dotted, copy.deepcopy(value))
        for name in self.left_out:
            tree.pop(name, None)
        text = dump_yaml(tree)
        shared = parse_value(text) != self.content  # a part with an alias was set: in the file both would change
        return dump_yaml(self.content) if shared else text


def read_document(path: Path) -> Document:
    """Raises InterpError where the file is missing, not YAML, or not a mapping."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MAX_LENGTH + 1)
    except FileNotFoundError:
        others = [other.name for other in path.parent.glob("*.yaml")]
        raise InterpError(f"{path} does not exist{near_misses(path.name, others) if others else ''}") from None
    except IsADirectoryError:
        run = (path / "run.yaml").is_file()
        more = f"a run: {command_line('run', 'fourier', '--run', path)}" if run else "expected a file in YAML"
        raise InterpError(f"{path} is a folder, {more}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InterpError(f"{path} cannot be read: {error}") from None
    return document_of(path, text)


def leaves(content: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every single value of a recipe by its dotted key; a name without options is a key too."""
    if isinstance(content, dict) and content:
        for name, value in content.items():
            if key or name != "text":
                yield from leaves(value, f"{key}.{name}" if key else str(name))
    elif isinstance(content, list):
        yield key, " ".join(map(str, content))
    else:
        yield key, None if isinstance(content, dict) else content


def document_of(path: Path, text: str) -> Document:
    """The document of a text that stands at `path`. Raises InterpError where it is not YAML, or not a mapping."""
    if len(text) > MAX_LENGTH:
        raise InterpError(f"{path} is longer than {MAX_LENGTH:,} characters; expected names and values, 'name: value'")
    values = _Values()
    try:
        content = values.of(text)
    except NOT_YAML as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise InterpError(f"{path}{line}: not YAML: {shown(reason)}") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InterpError(f"{path} should hold names and values, each in a line of its own: 'name: value'")
    document = Document(path, text, content, values.lines, values.twice)
    document.settle()
    return document


def parse_value(text: str) -> Any:
    """A value as YAML would read it. Raises InterpError where it is not YAML."""
    try:
        return _Values().of(text)
    except NOT_YAML:
        raise InterpError(f"{shown(repr(text))} is not a value in YAML") from None


def dump_yaml(content: Mapping[str, Any]) -> str:
    """`content` as YAML, in its own order."""
    text = io.StringIO()
    _yaml("rt").dump(content, text)
    return text.getvalue()


def _yaml(kind: str) -> YAML:
    """A reader and writer of YAML, to which .5e3 is a number, as 1e-3 and 40_000 are."""
    yaml = YAML(typ=kind, pure=True)
    yaml.width = MAX_LENGTH
    number = re.compile(r"\.\d[\d_]*[eE]\d+$")
    yaml.resolver.versioned_resolver["."] += [("tag:yaml.org,2002:float", number)]
    return yaml


class _Values:
    """The values of a text, the line of each, and the names that stand twice with theirs."""

    def __init__(self) -> None:
        self.lines: dict[Key, int] = {}
        self.twice: list[tuple[int, str]] = []
        self._yaml = _yaml("safe")
        self._length = 0

    def of(self, text: str) -> Any:
        """Return the value of a text, noting lines and repeated names. Raises one of NOT_YAML where it is no YAML."""
        node = self._yaml.compose(text)
        return None if node is None else self._value(node, (), ())

    def _value(self, node: Node, key: Key, around: tuple[Node, ...]) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(key, line)
        self._length += 1 + len(node.value)
        if any(node is one for one in around):
            raise _problem(line, "it contains itself")
        if len(around) > MAX_DEPTH:
            raise _problem(line, f"nested more than {MAX_DEPTH} deep")
        if self._length > MAX_LENGTH:
            raise _problem(line, "too long with its aliases")
        if isinstance(node, ScalarNode):
            value = self._yaml.constructor.construct_object(node)
            if isinstance(value, int) and value.bit_length() > 64:
                raise _problem(line, "a number of this size")
            return value
        if not node.tag.endswith((":map", ":seq")):
            raise _problem(line, f"{node.tag} is neither names and values nor a list")
        inside = (*around, node)
        if not isinstance(node, MappingNode):
            return [self._value(part, (*key, place), inside) for place, part in enumerate(node.value)]
        merged: dict[Any, Any] = {}
        values: dict[Any, Any] = {}
        for name, part in node.value:
            if name.tag.endswith(":merge"):
                given = self._value(part, key, inside)
                for one in reversed(given if isinstance(given, list) else [given]):
                    merged |= one
                continue
            named = self._value(name, key, inside)
            below = (*key, str(named))
            self.lines[below] = name.start_mark.line + 1
            if named in values:
                self.twice.append((self.lines[below], f"{shown(repr(named))} stands twice"))
            values[named] = self._value(part, below, inside)
        return merged | values


def _problem(line: int, problem: str) -> MarkedYAMLError:
    return MarkedYAMLError(problem=problem, problem_mark=FileMark("", 0, line - 1, 0))


def assigned(assignment: str) -> tuple[str, Any]:
    """Key and value of "training.seed=3". Raises InterpError where it is not of that form."""
    dotted, equals, text = assignment.partition("=")
    if not equals or not dotted:
        raise InterpError(f"--set {assignment} is not of the form name.option=value")
    return dotted, parse_value(text)


def _put(place: Any, dotted: str, value: Any) -> Key:
    """Raises InterpError where a part of the key has no options, or names none or several items of a list."""
    way: list[str | int] = []
    parts = dotted.split(".")
    for part in parts:
        if isinstance(place, list):
            number = _item(place, part, ".".join(map(str, way)))
            if isinstance(place[number], str):
                place[number] = {part: {}}
            way.append(number)
            place = place[number]
        if not isinstance(place, dict):
            raise InterpError(f"{way[-1]} has no options to set")
        way.append(part)
        if len(way) - sum(isinstance(one, int) for one in way) == len(parts):
            place[part] = value
        else:
            if place.get(part) is None:
                place[part] = {}
            elif isinstance(place[part], str):  # a name without options
                place[part] = {place[part]: {}}
            place = place[part]
    return tuple(way)


def _item(items: list[Any], name: str, where: str) -> int:
    """The place of the item that is `name`, or {name: options}, in a list."""
    names = [next(iter(item), "") if isinstance(item, dict) else item for item in items]
    found = [place for place, one in enumerate(names) if one == name]
    if len(found) != 1:
        near = near_misses(name, map(str, names)) if names else ""
        listed = f"to set its options let the recipe list it: {where.rpartition('.')[2]}: [{name}]"
        there = f"{near}; {listed}".replace("?; to", "? To") if not found else "; give the list whole"
        raise InterpError(f"{where} has {'no' if not found else 'more than one'} {name!r}{there}")
    return found[0]
