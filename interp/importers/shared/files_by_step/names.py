"""Steps in the names of files that lie in one folder, or below it: which number in them is the step.

1. A number after a word for steps outranks one after a word for epochs, that one after "checkpoint", that a bare one.
2. Of bare numbers the one that varies is the step, if one alone does.
3. Names that differ in more than the step are of several series: several runs, or several kinds of files.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from interp.errors import InterpError
from interp.importers.shared.files_by_step.places import Unit
from interp.importers.shared.files_by_step.step_words import NUMBER, RANK, Slot, number, slots

SUFFIXES = (".pt", ".pth", ".safetensors", ".ckpt", ".bin", ".npz", ".msgpack", ".pkl", ".pickle", ".npy", ".tar")


@dataclass(frozen=True)
class Named:
    """A file, and what its name says of its step."""

    path: Path
    key: str
    """The path below the folder, with {step} in the place of the step and * in that of what varies with it."""
    step: int | None
    unit: Unit | None = None
    """None where no word before the number says what it counts."""
    said: bool = True
    """Whether a word before the number says that it is a step at all."""


class Ambiguous(InterpError):  # noqa: N818 (it is told, with what to write)
    """Names with several numbers, each of which may be the step; `patterns` are the readings."""

    def __init__(self, example: str, patterns: list[str]) -> None:
        super().__init__(example)
        self.example, self.patterns = example, patterns


def named(folder: Path, files: Iterable[Path]) -> list[Named]:
    """Find the step in the name of each file. Raises Ambiguous where several numbers may be it."""
    names = {file: stem(file.relative_to(folder).as_posix()) for file in files}
    plain = _templates(names.values(), slots)
    merged = {name for name in names.values() if _template(name, _underscored(name)) in plain}

    alone = {name: _template(name, slots(name, grouped=False)) for name in names.values()}
    thousands = {name for name in alone if len(slots(name)) < len(slots(name, grouped=False))}
    apart = {alone[name] for name in thousands} & {alone[name] for name in alone if name not in thousands}

    def parts(name: str) -> list[Slot]:
        if alone[name] in apart:  # checkpoint_1_50 beside checkpoint_2_100: two numbers, not 2,100
            return slots(name, grouped=False)
        return _underscored(name) if name in merged and len(_underscored(name)) < len(slots(name)) else slots(name)

    groups: dict[str, list[Path]] = defaultdict(list)
    for file, name in names.items():
        groups[_template(name, parts(name))].append(file)
    found: dict[Path, Named] = {}
    for group in groups.values():
        columns = list(zip(*(parts(names[file]) for file in group), strict=True))
        column = _step_column(columns, names[group[0]])
        for file in group:
            found[file] = _named(file, names[file], parts(names[file]), column, file.relative_to(folder).as_posix())
    return [found[file] for file in names]


def by_pattern(folder: Path, files: Iterable[Path], pattern: str) -> list[Named]:
    """Read the step where the pattern has {step}, * being anything; files that it does not fit are left out.

    Raises InterpError where the pattern has no {step}.
    """
    if pattern.count("{step}") != 1:
        raise InterpError(f"pattern {pattern!r} should hold {{step}} once, such as model_{{step}}.pt")
    text = re.escape(pattern).replace(r"\{step\}", f"(?P<step>{NUMBER})").replace(r"\*", ".*")
    expression = re.compile(rf"(?:^|/){text}$")
    word = slots(pattern.replace("{step}", "0"))
    place = pattern.index("{step}")
    kind = next((slot.kind for slot in word if slot.start <= place < slot.end), "plain")
    found = []
    for file in files:
        match = expression.search(file.relative_to(folder).as_posix())
        step = number(match["step"]) if match else None
        if step is not None:
            found.append(Named(file, pattern, step, kind if kind in ("step", "epoch") else None))  # type: ignore[arg-type]
    return found


def stem(name: str) -> str:
    """A file's name without the endings that say what kind of file it is: of net.pth.tar it is net."""
    shorter = next((name[: -len(suffix)] for suffix in SUFFIXES if name.lower().endswith(suffix)), name)
    return name if shorter == name else stem(shorter)


def _underscored(name: str) -> list[Slot]:
    return slots(name, underscored=True)


def _templates(names: Iterable[str], parts: Callable[[str], list[Slot]]) -> set[str]:
    return {_template(name, parts(name)) for name in names}


def _template(name: str, parts: list[Slot]) -> str:
    """The name with # in the place of numbers, and * of fractions and dates."""
    return _replaced(name, [(slot, "*" if slot.kind == "no" else "#") for slot in parts])


def _replaced(name: str, parts: Iterable[tuple[Slot, str | None]]) -> str:
    text, place = "", 0
    for slot, mark in parts:
        text += name[place : slot.start] + (name[slot.start : slot.end] if mark is None else mark)
        place = slot.end
    return text + name[place:]


def _step_column(columns: list[tuple[Slot, ...]], example: str) -> int | None:
    """Which of the numbers in names of one form is the step; None where none is."""
    varying = [place for place, column in enumerate(columns) if len({slot.value for slot in column}) > 1]
    said = sorted(
        (RANK[columns[place][0].kind], place not in varying, -place)
        for place in range(len(columns))
        if columns[place][0].kind in RANK
    )
    if said:
        moving = [each for each in said if not each[1]]
        best = -(moving or said)[0][2]
        beside = [place for place in varying if columns[place][0].kind == "plain" and place > best]
        if columns[best][0].kind == "saved" and beside and all(_unlike(columns[place]) for place in (best, *beside)):
            rows = list(
                zip(*columns, strict=True)
            )  # checkpoint_1_50, checkpoint_2_100: an epoch and a step, or a count
            raise Ambiguous(example, list(dict.fromkeys(_readings(example, rows, [best, *beside]))))
        return best
    bare = [place for place, column in enumerate(columns) if all(slot.kind == "plain" for slot in column)]
    apart = [
        place
        for place in bare
        if columns[place][0].start == 0 or len(columns[0]) > 1 or not example[columns[place][0].start - 1].isalnum()
    ]
    candidates = [place for place in apart if place in varying] or apart
    if len(candidates) > 1:
        rows = list(dict.fromkeys(zip(*(columns[place] for place in range(len(columns))), strict=True)))
        raise Ambiguous(example, list(dict.fromkeys(_readings(example, rows, candidates))))
    return candidates[0] if candidates else None


def _readings(example: str, rows: list[tuple[Slot, ...]], candidates: list[int]) -> Iterator[str]:
    """The patterns under which each of the candidates is the step, the other numbers being those of one series."""
    first = rows[0]
    for place in candidates:
        own = _unlike([row[place] for row in rows])  # whatever else varies with it belongs to the same series
        for row in rows:
            marks = [
                "{step}"
                if each == place
                else "*"
                if slot.kind == "no" or (own and _vary(rows, each))
                else str(slot.value)
                for each, slot in enumerate(row)
            ]
            yield _replaced(example, zip(first, marks, strict=True))


def _unlike(column: Sequence[Slot]) -> bool:
    """Whether each has another number."""
    return len({slot.value for slot in column}) == len(column)


def _vary(rows: list[tuple[Slot, ...]], place: int) -> bool:
    return len({row[place].value for row in rows}) > 1


def _named(file: Path, name: str, parts: list[Slot], column: int | None, whole: str) -> Named:
    marks = [
        "{step}" if place == column else "*" if slot.kind == "no" or slot.kind in RANK else None
        for place, slot in enumerate(parts)
    ]
    ending = whole[len(name) :]
    key = _replaced(name, zip(parts, marks, strict=True)) + ending
    if column is None:
        return Named(file, key, None)
    kind = parts[column].kind
    unit = kind if kind in ("step", "epoch") else None
    return Named(file, key, parts[column].value, unit, kind in RANK)  # type: ignore[arg-type]


def folder_of(key: str) -> str:
    """The folder of a key, "" for the one that was looked through."""
    parent = PurePosixPath(key).parent.as_posix()
    return "" if parent == "." else parent
