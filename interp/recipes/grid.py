"""A recipe of many runs: the `grid:` of a run.yaml as axes, and its members, each a folder and a recipe of its own.

    grid:
      training.optimiser.adamw.weight_decay: [0.1, 0.3, 1]
      training.interventions.initial_scale.alpha: {plain: 1, large: 8}
      zip: {seed: {training.seed: 0..8, task.sparse_parity.seed: 0..8}}
      present: {weight_decay: 1}

An axis is named by the last part of its key, but that of `from.step` is `from_step`; keys that move together have the
name they are given in `zip`. Where an axis came to a sweep later, `present` says which of its values the members had
that were there before: theirs is the folder without it, `seed=3`, that of the others `seed=3,weight_decay=0.1`.

The members' recipes are checked before any of them trains: names and options of every value on its own, beside the
first values of the other axes (of a range its two ends); whether values go together, of every combination of the values
that task and network have, as far as there are at most `MOST_TRIED`, and of the first member and the last.
"""

from __future__ import annotations

import copy
import functools
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interp.errors import InterpError, near_misses, shown
from interp.recipes import run_recipe
from interp.recipes.document import Document, Key, assigned, read_document
from interp.recipes.parent import FROM

GRID = "grid"
ZIP, PRESENT = "zip", "present"
TAKEN = ("step", "run", "member", ZIP, PRESENT)
"""What no axis is called: other axes of results, and what stands beside the axes."""
ROOTS = ("task", "model", "training", FROM)
"""What may differ between members."""
MOST_MEMBERS = 100_000
MOST_TRIED = 200
LONGEST_NAME = 200
"""Letters of a folder's name; systems take 255 bytes, and add to them while they copy."""

Label = int | float | str
Settings = tuple[tuple[str, Any], ...]
"""Values by their dotted keys."""


@dataclass(frozen=True)
class Axis:
    """One axis of a sweep: the labels of its places, and what the recipe says there."""

    name: str
    labels: tuple[Label, ...]
    settings: tuple[Settings, ...]
    """[place]"""
    where: tuple[Key, ...] = ()
    """[place]: where in the recipe its value stands."""
    is_range: bool = False
    present: Label | None = None
    """What the members had that were there before the axis was."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The dotted keys that move along it."""
        return tuple(key for key, _ in self.settings[0])

    def place(self, value: Any) -> int:
        """The place of a label, as it is or as text. Raises InterpError where there is none."""
        texts = [text_of(label) for label in self.labels]
        wanted = value if isinstance(value, str) else text_of(label_of(value))
        if wanted not in texts:
            raise InterpError(f"{self.name} has no {wanted}{near_misses(wanted, texts)}")
        return texts.index(wanted)


@dataclass(frozen=True)
class Member:
    """One run of a sweep: the labels of its place, its folder's name, and what its recipe has of its own."""

    labels: tuple[Label, ...]
    """One for each axis, in their order."""
    folder: str
    settings: Settings = field(repr=False, compare=False)


@dataclass(frozen=True)
class Grid:
    """A recipe with axes. Its members are made when they are asked for, none of them read."""

    document: Document = field(repr=False)
    axes: tuple[Axis, ...]

    @property
    def path(self) -> Path:
        """The folder of the sweep."""
        return self.document.path.parent

    def chosen(self, only: Sequence[str]) -> list[Member]:
        """The members that one of these names, "seed=0..3,weight_decay=0.1"; all of them where there is none.

        Raises InterpError where it is not of that form, or the grid has no such axis or value.
        """
        if not only:
            return list(self.members)
        wanted = {places for one in only for places in itertools.product(*self._named(one))}
        return [self.member(places) for places in sorted(wanted)]

    def _named(self, only: str) -> list[list[int]]:
        """Along each axis the places that a text names."""
        places = {axis.name: list(range(len(axis.labels))) for axis in self.axes}
        named = {axis.name: axis for axis in self.axes}
        for part in only.split(","):
            name, equals, value = part.partition("=")
            if not equals or name not in named:
                raise InterpError(f"--only {only}: the grid has no axis {name!r}{near_misses(name, named)}")
            axis, ends = named[name], _ends(value)
            try:
                if ends and value not in map(text_of, axis.labels):
                    within = [isinstance(one, (int, float)) and ends[0] <= one <= ends[1] for one in axis.labels]
                    places[name] = [place for place, wanted in enumerate(within) if wanted]
                else:
                    places[name] = [axis.place(value)]
            except InterpError as error:
                raise InterpError(f"--only {only}: {error}") from None
            if not places[name]:
                raise InterpError(f"--only {only}: {name} has no value from {ends and ends[0]} to {ends and ends[1]}")
        return list(places.values())

    @functools.cached_property
    def members(self) -> tuple[Member, ...]:
        """Every member, the first axis outermost."""
        return tuple(map(self.member, itertools.product(*(range(len(axis.labels)) for axis in self.axes))))

    def member(self, places: Sequence[int]) -> Member:
        """The member at these places along the axes."""
        along = list(zip(self.axes, places, strict=True))
        labels = tuple(axis.labels[place] for axis, place in along)
        named = [
            f"{axis.name}={portable(label)}"
            for (axis, _), label in zip(along, labels, strict=True)
            if axis.present is None or text_of(axis.present) != text_of(label)
        ]
        settings = tuple(one for axis, place in along for one in axis.settings[place])
        return Member(labels, ",".join(named), settings)

    def recipe(self, member: Member) -> Document:
        """The member's recipe, as it stands in the sweep's folder; its lines are those of the sweep's recipe.

        Raises InterpError, with the line, where a key leads nowhere.
        """
        document = self.document.copy()
        document.leave_out(GRID)
        where = [key for axis, place in self._along(member) for key in self._lines(axis, place)]
        for (dotted, value), stands in zip(member.settings, where, strict=True):
            try:
                _move_lines(document, document.put(dotted, copy.deepcopy(value)), stands)
            except InterpError as error:
                document.problem(stands, f"{dotted}: {error}")
        document.settle()
        return document

    def own_recipe(self, member: Member) -> Document:
        """The member's recipe, as it stands in its own folder: what lies beside the sweep's recipe is one folder up."""
        document = self.recipe(member)
        parent = document.content.get(FROM)
        beside = run_recipe.files_beside(document)
        if isinstance(parent, dict) and isinstance(parent.get("run"), str):
            beside |= {f"{FROM}.run": parent["run"]}
        for option, written in beside.items():
            if not Path(written).is_absolute() and written[:1] not in "$~":
                document.put(option, Path("..", written).as_posix())
        return document

    def check_names(self) -> None:
        """Raises InterpError, with every mistake, where a name in a recipe does not exist; imports none of them."""
        documents = list(self._recipes(self._each_value()))
        for document in documents:
            run_recipe.checked_recipe(document)
        if any(document.misnamed for document in documents):
            self._settle(documents)

    def check(self) -> None:
        """Raises InterpError, with every mistake and its line, where members could not be trained."""
        documents = list(self._recipes(self._each_value()))
        for document in documents:
            run_recipe.checked_recipe(document)
        self._settle(documents)
        documents = list(self._recipes(self._combinations()))
        for document in documents:
            run_recipe.noted(document, to_train=True)
        self._settle(documents)

    def _along(self, member: Member) -> list[tuple[Axis, int]]:
        return [(axis, axis.labels.index(label)) for axis, label in zip(self.axes, member.labels, strict=True)]

    def _lines(self, axis: Axis, place: int) -> Iterator[Key]:
        for key, _ in axis.settings[place]:
            stands = (*axis.where[place], key) if len(axis.settings[place]) > 1 else axis.where[place]
            yield _with_place(self.document, stands, place)

    def _recipes(self, members: Iterable[Member]) -> Iterator[Document]:
        return map(self.recipe, members)

    def _each_value(self) -> Iterator[Member]:
        """Each value of each axis beside the first of the others, and the last of all; of a range its ends."""
        first = [0] * len(self.axes)
        chosen = {tuple(first), tuple(len(axis.labels) - 1 for axis in self.axes)}
        for number, axis in enumerate(self.axes):
            chosen |= {(*first[:number], place, *first[number + 1 :]) for place in _tried(axis)}
        return map(self.member, sorted(chosen))

    def _combinations(self) -> Iterator[Member]:
        """The members that differ in task or network, as far as they are not too many; else as for names."""
        moving = [any(key.partition(".")[0] in ("task", "model") for key in axis.keys) for axis in self.axes]
        places = [_tried(axis) if moves else [0] for axis, moves in zip(self.axes, moving, strict=True)]
        together = set(itertools.product(*places)) if math.prod(map(len, places)) <= MOST_TRIED else set()
        return map(self.member, sorted(together | {self._places(one) for one in self._each_value()}))

    def _places(self, member: Member) -> tuple[int, ...]:
        return tuple(place for _, place in self._along(member))

    def _settle(self, documents: Iterable[Document]) -> None:
        """Raises InterpError with the mistakes of all, each once."""
        found = {problem for document in documents for problem in document.problems}
        if found:
            told = self.document.copy()
            told.problems = sorted(found)
            told.settle()


def _tried(axis: Axis) -> list[int]:
    last = len(axis.labels) - 1
    return sorted({0, last}) if axis.is_range else list(range(last + 1))


def read_grid(path: Path, assignments: Sequence[str] = ()) -> Grid | None:
    """The grid of the recipe at `path`, or of what --set gives: "training.seed=0..7"; None where there is neither.

    Raises InterpError with every mistake in it, each with its line.
    """
    document = read_document(path)
    if not assignments:
        return grid_of(document)
    if GRID in document.content:
        raise InterpError(f"{path} has a grid already; --set {assignments[0]} would be one more axis: write it there")
    axes = tuple(_assigned_axis(assignment) for assignment in assignments)
    named = [axis.name for axis in axes]
    for name in named:
        if named.count(name) > 1:
            raise InterpError(f"--set gives two options that end in {name!r}; {_how_to_zip(name)}")
    return Grid(document, axes)


def grid_of(document: Document) -> Grid | None:
    """The grid of a recipe, None where it has none. Raises InterpError with every mistake in it."""
    if GRID not in document.content:
        return None
    given = document.content[GRID]
    if not isinstance(given, dict) or not given:
        document.problem((GRID,), f"grid is {given!r}; expected options and their values: training.seed: 0..8")
        document.settle()
    if "importer" in document.content:
        document.problem((GRID,), "a grid is trained here; of runs of others put each in a folder, and open that")
    axes = list(_axes(document, given))
    named = [axis.name for axis in axes]
    for place, axis in enumerate(axes):
        if axis.name in named[place + 1 :] and axis.name not in named[:place]:
            document.problem(axis.where[0][:2], f"two axes are called {axis.name!r}; {_how_to_zip(axis.name)}")
    axes = _with_present(document, axes, given.get(PRESENT))
    _check_sizes(document, axes)
    document.settle()
    return Grid(document, tuple(axes))


def _how_to_zip(name: str) -> str:
    return f"give each a name of its own: grid: {{zip: {{other_{name}: {{task.….{name}: 0..8}}}}}}"


def _axes(document: Document, given: Mapping[Any, Any]) -> Iterator[Axis]:
    for key, values in given.items():
        if key == PRESENT:
            continue
        if key == ZIP:
            yield from _zipped(document, values)
        elif axis := _axis(document, (GRID, str(key)), _named_after(str(key)), {str(key): values}):
            yield axis


def _named_after(key: str) -> str:
    """What an axis of one key is called: by its last part, but what says where a run starts `from_step`, `parent`."""
    if key == FROM:
        return "parent"
    return key.replace(".", "_") if key.startswith(f"{FROM}.") else key.rpartition(".")[2]


def _zipped(document: Document, given: Any) -> Iterator[Axis]:
    if not isinstance(given, dict) or not all(isinstance(keys, dict) and keys for keys in given.values()):
        document.problem((GRID, ZIP), f"zip is {given!r}; expected names: {{seed: {{training.seed: 0..8, …}}}}")
        return
    for name, keys in given.items():
        if axis := _axis(document, (GRID, ZIP, str(name)), str(name), keys):
            yield axis


def _axis(document: Document, where: Key, name: str, keys: Mapping[Any, Any]) -> Axis | None:
    """An axis along which the values of these keys move; mistakes are noted in `document`."""
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or name in TAKEN:
        document.problem(where, f"an axis cannot be called {name!r}; {_how_to_zip(name)}")
        return None
    zipped = len(where) > 2
    read = {
        str(key): _values(document, (*where, str(key)) if zipped else where, values) for key, values in keys.items()
    }
    if any(values is None for values in read.values()):
        return None
    columns = {key: values for key, values in read.items() if values is not None}
    sizes = {key: len(values.labels) for key, values in columns.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{key} {size}" for key, size in sizes.items())
        document.problem(where, f"what moves together has as many values: {told}")
        return None
    (first, *_) = columns.values()
    for key in columns:
        root = key.partition(".")[0]
        if root not in ROOTS:
            near = near_misses(root, ROOTS)
            document.misnamed = True
            document.problem((*where, key), f"{key} is no option of a run that is trained here{near}")
    coinciding = _coinciding(first.labels)
    if coinciding:
        one, other = coinciding
        told = f"{text_of(one)} and {text_of(other)}" if text_of(one) != text_of(other) else f"{text_of(one)} twice"
        document.problem(where, f"{name} has the values {told}, whose folders would be one; give them other labels")
        return None
    settings = tuple(
        tuple((key, values.values[place]) for key, values in columns.items()) for place in range(len(first.labels))
    )
    is_range = all(values.is_range for values in columns.values())
    return Axis(name, first.labels, settings, (where,) * len(settings), is_range)


def _coinciding(labels: Sequence[Label]) -> tuple[Label, Label] | None:
    """Two labels whose folders are one, on a system that does not tell capitals too."""
    seen: dict[str, Label] = {}
    for label in labels:
        folder = portable(label).casefold()
        if folder in seen:
            return seen[folder], label
        seen[folder] = label
    return None


@dataclass(frozen=True)
class _Column:
    """The values of one key, and their labels."""

    labels: tuple[Label, ...]
    values: tuple[Any, ...]
    is_range: bool = False


def _values(document: Document, where: Key, given: Any) -> _Column | None:
    """The values of a list, a range, or a mapping with labels; a mistake is noted in `document`."""
    if isinstance(given, dict) and given:
        return _Column(tuple(map(label_of, given)), tuple(given.values()))
    if isinstance(given, str) and (ends := _ends(given)):
        numbers = range(ends[0], ends[1] + 1)
        if not numbers:
            document.problem(where, f"{where[-1]}: the range {given} ends before it begins")
            return None
        if len(numbers) > MOST_MEMBERS:
            document.problem(where, f"{where[-1]}: the range {given} has more than {MOST_MEMBERS:,} values")
            return None
        return _Column(tuple(numbers), tuple(numbers), is_range=True)
    if isinstance(given, list) and given:
        labels = [_label_in_list(value) for value in given]
        for place, label in enumerate(labels):
            if label is None:
                told = f"{shown(repr(given[place]))} needs a label: {{plain: …, other: …}} in the place of the list"
                document.problem((*where, place), f"{where[-1]}: {told}")
                return None
        return _Column(_of_one_kind([label for label in labels if label is not None]), tuple(given))
    what = "no values" if given in ([], {}, None, "") else shown(repr(given))
    document.problem(where, f"{where[-1]} has {what}; expected a list, a range 0..8, or labels: {{plain: …, other: …}}")
    return None


def _ends(text: str) -> tuple[int, int] | None:
    """The two ends of "0..8"."""
    found = re.fullmatch(r"(-?\d{1,9})\.\.(-?\d{1,9})", text.strip())
    return (int(found[1]), int(found[2])) if found else None


def _label_in_list(value: Any) -> Label | None:
    """A value's label; None for one that needs to be given one."""
    if isinstance(value, list) and value and not any(isinstance(one, (list, dict)) for one in value):
        return label_of(value[0]) if len(value) == 1 else "_".join(text_of(label_of(one)) for one in value)
    return None if isinstance(value, (list, dict)) else label_of(value)


def label_of(value: Any) -> Label:
    """A scalar as a label: a number as it is, a whole one without a point; truth and null as YAML writes them."""
    if item := getattr(value, "item", None):  # a number of NumPy's
        value = item()
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value if isinstance(value, (int, float, str)) else str(value)


def _of_one_kind(labels: Sequence[Label]) -> tuple[Label, ...]:
    """All numbers, or all texts: what an axis of an array can hold."""
    if any(isinstance(label, str) for label in labels):
        return tuple(map(text_of, labels))
    return tuple(labels)


def text_of(label: Label) -> str:
    """A label as it is written."""
    return label if isinstance(label, str) else repr(label)


def portable(label: Label) -> str:
    """A label in the name of a folder of any system: what is not a letter, a digit or one of "._+-" is %XX."""
    text = re.sub(
        r"[^0-9A-Za-z_.+-]", lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), text_of(label)
    )
    return re.sub(r"\.$", "%2E", text)  # Windows drops a point at the end


def _with_present(document: Document, axes: Sequence[Axis], given: Any) -> list[Axis]:
    """The axes with what the members had that were there before them."""
    if given is None:
        return list(axes)
    where = (GRID, PRESENT)
    if not isinstance(given, dict) or any(isinstance(value, (list, dict)) for value in given.values()):
        document.problem(where, f"present is {given!r}; expected axes and one value of each: {{weight_decay: 1}}")
        return list(axes)
    named = {axis.name: axis for axis in axes}
    for name, value in given.items():
        if name not in named:
            document.problem((*where, str(name)), f"the grid has no axis {name!r}{near_misses(str(name), named)}")
        else:
            named[name] = Axis(**{**vars(named[name]), "present": label_of(value)})
    found = list(named.values())
    if found and all(axis.present is not None for axis in found):
        document.problem(where, "present names every axis; members are told apart by one at least")
    return found


def _check_sizes(document: Document, axes: Sequence[Axis]) -> None:
    count = math.prod(len(axis.labels) for axis in axes)
    if not axes and not document.problems:
        document.problem((GRID,), "the grid has no axes; expected options and their values: training.seed: 0..8")
    if count > MOST_MEMBERS:
        document.problem((GRID,), f"the grid has {count:,} members; at most {MOST_MEMBERS:,} are trained")
    longest = len(",".join(f"{axis.name}={max((portable(one) for one in axis.labels), key=len)}" for axis in axes))
    if longest > LONGEST_NAME:
        told = f"the longest name of a folder has {longest} letters, at most {LONGEST_NAME} are portable"
        document.problem((GRID,), f"{told}; give long values labels: {{plain: …, other: …}}")


def _assigned_axis(assignment: str) -> Axis:
    """The axis of "training.seed=0..7", or, of one place, of "training.seed=3". Raises InterpError."""
    dotted, value = assigned(assignment)
    name = _named_after(dotted)
    ends = _ends(value) if isinstance(value, str) else None
    if ends and ends[1] < ends[0]:
        raise InterpError(f"--set {assignment}: the range ends before it begins")
    if ends and ends[1] - ends[0] >= MOST_MEMBERS:
        raise InterpError(f"--set {assignment}: the range has more than {MOST_MEMBERS:,} values")
    values = list(range(ends[0], ends[1] + 1)) if ends else [value]
    labels = values if ends else [label or shown(str(value), 60) for label in [_label_in_list(value)]]
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or name in TAKEN:
        raise InterpError(f"--set {assignment}: {name!r} cannot be the name of an axis")
    settings = tuple(((dotted, one),) for one in values)
    return Axis(name, tuple(labels), settings, ((),) * len(settings), bool(ends))


def _with_place(document: Document, where: Key, place: int) -> Key:
    """Where the value at a place stands: in a list, under its label, or in a range."""
    if (*where, place) in document.lines:
        return (*where, place)
    inside = [key for key in document.lines if len(key) == len(where) + 1 and key[: len(where)] == where]
    return inside[place] if place < len(inside) else where


def _move_lines(document: Document, key: Key, where: Key) -> None:
    """What stands at `key` is now what the recipe says at `where`: its mistakes are told with those lines."""
    lines = document.lines
    line = lines.get(where, 1)
    for old in [old for old in lines if old[: len(key)] == key]:
        del lines[old]
    for old in [old for old in lines if old[: len(where)] == where]:
        lines[(*key, *old[len(where) :])] = lines[old]
    for length in range(1, len(key)):
        lines.setdefault(key[:length], line)
    lines[key] = line
