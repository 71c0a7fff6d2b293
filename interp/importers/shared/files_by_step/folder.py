"""The checkpoints below a folder: which of its files are of one series, and at which step each was.

1. Files that hold no network (an optimiser's state, curves) are skipped, and said.
2. Files whose names differ in the step alone are a series. Of two series of one folder the one that is no average is
   taken; where that does not tell, or they lie in folders of their own, they are several runs, and it is said how each
   is opened.
3. The step of each is what it holds, else what its name says; where these contradict each other, that is refused.
4. A file without a step in its name (final, last, best) is placed by the one it holds; where it holds none and is no
   second copy of a numbered one, it is left out, and said.
"""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interp.errors import InterpError
from interp.files import foreign
from interp.files.foreign import ForeignFileError
from interp.importers.shared.files_by_step.contents import AVERAGED, tensors
from interp.importers.shared.files_by_step.inside import Inside, look
from interp.importers.shared.files_by_step.names import Ambiguous, Named, by_pattern, folder_of, named, stem
from interp.importers.shared.files_by_step.one_file import (
    EPOCHS,
    contradicting,
    contradiction,
    in_file,
    same_weights,
    told_of,
)
from interp.importers.shared.files_by_step.places import Asked, Found, NoWeights, Place, Route, Unit, listed
from interp.importers.shared.files_by_step.proposals import opening_lines, option_line
from interp.importers.shared.files_by_step.step_words import slots
from interp.importers.shared.files_by_step.told_steps import updates_made
from interp.importers.shared.files_by_step.weight_files import weight_files

MANY = 400
"""Files; of more, some sixty are looked into, and the others too only where these say more than their names."""
ACCELERATE = "random_states_0.pkl"
"""What accelerate writes beside each checkpoint."""
MOST_TOLD = 40
"""Runs whose lines are listed."""


def in_folder(folder: Path, asked: Asked, read: Callable[[Path], Any]) -> Found:
    """Find the checkpoints below a folder. Raises InterpError with the lines that choose where several are meant."""
    there = weight_files(folder)
    if asked.pattern is not None:
        return _by_pattern(folder, there.files, asked)
    looked = _Looked(folder, there.files, asked)
    if not looked.networks:
        raise looked.reason()
    if len(looked.networks) == 1 and not looked.unread:
        (file,) = looked.networks
        found = in_file(file, read(file), asked)
        return _with(found, looked, there.beside)
    series = [file for file, each in looked.networks.items() if each.series]
    if len(series) == 1:
        return _with(_beside_series(series[0], looked, read, asked), looked, there.beside)
    if series:
        raise InterpError(_several_files(folder, looked))
    found = _Placing(folder, looked, asked).found()
    return _with(found, looked, there.beside)


def _with(found: Found, looked: _Looked, beside: tuple[Path, ...]) -> Found:
    """Add what was skipped, and why."""
    last = looked.networks.get(found.places[max(found.places)].path)
    notes = list(dict.fromkeys([*(last.notes if last else ()), *found.notes]))
    if looked.others:
        notes.append(f"Skipped, for they hold no network: {listed(file.name for file in looked.others)}.")
    if beside:
        names = dict.fromkeys(file.name for file in beside)
        notes.append(f"Skipped by their names: {listed(names)}.")
    if looked.unread:
        files = [file for file in looked.unread if all(place.path != file for place in found.places.values())]
        notes += [f"Left out: {looked.unread[file]}" for file in files[:3]]
    skipped = (*found.skipped, *looked.others, *beside)
    return dataclasses.replace(found, notes=tuple(notes), skipped=skipped)


def _beside_series(file: Path, looked: _Looked, read: Callable[[Path], Any], asked: Asked) -> Found:
    """The checkpoints of the one file that holds several; other networks are copies of its last, or said."""
    found = in_file(file, read(file), asked)
    last = found.places[max(found.places)]
    others = [each for each in looked.networks if each != file]
    apart = [each for each in others if not same_weights(last, Place(each, looked.networks[each].routes[0][1]))]
    note = f"The checkpoints are those in {file.name}; left out: {listed(each.name for each in apart)}."
    return Found(found.places, (*found.notes, *([note] if apart else [])), found.unit, tuple(others))


class _Looked:
    """What the files of a folder hold, told without reading their weights."""

    def __init__(self, folder: Path, files: tuple[Path, ...], asked: Asked) -> None:
        self.folder = folder
        self.networks: dict[Path, Inside] = {}
        self.others: dict[Path, NoWeights] = {}
        self.unread: dict[Path, ForeignFileError] = {}
        self.told: dict[Path, dict[str, int]] = {}
        self.updates: dict[Path, int | None] = {}
        self.shapes: dict[Path, frozenset[tuple[str, tuple[int, ...]]]] = {}
        sample = files if len(files) <= MANY else (*files[:3], *files[3:-3:-1], *files[:: len(files) // 50])
        for file in dict.fromkeys(sample):
            self._look(file, asked)
        if len(files) > MANY:
            self._the_others(files, asked)

    def _look(self, file: Path, asked: Asked) -> None:
        try:
            content = foreign.outline(file)
            found = look(content, asked, str(file))
        except ForeignFileError as error:
            self.unread[file] = error
        except NoWeights as error:
            self.others[file] = error
        else:
            self.networks[file] = found
            if not found.series:
                self.told[file] = told_of(file, found)
                self.updates[file] = updates_made(content)
                arrays = tensors(content, *found.routes[0][1:])
                self.shapes[file] = frozenset((name, array.shape) for name, array in arrays.items())

    def _the_others(self, files: tuple[Path, ...], asked: Asked) -> None:
        """Take the other files to hold what those of their form hold, where these tell nothing that names do not."""
        rest = [file for file in files if file not in self.networks.keys() | self.others.keys() | self.unread.keys()]
        if any(self.told.values()) or self.others or self.unread or len(set(self.shapes.values())) != 1:
            for file in rest:
                self._look(file, asked)
            return
        example = next(iter(self.networks))
        for file in rest:
            self.networks[file], self.told[file], self.shapes[file] = self.networks[example], {}, self.shapes[example]

    def reason(self) -> InterpError:
        """Why there is no network."""
        found = [*self.unread.values(), *self.others.values()]
        if len(found) == 1:
            return found[0]
        return NoWeights(f"{self.folder} holds no network:\n" + "\n".join(f"  {error}" for error in found[:5]))


@dataclass
class _Placing:
    """How the files of one run are put in order."""

    folder: Path
    looked: _Looked
    asked: Asked
    notes: list[str] = field(default_factory=list)
    left: list[Path] = field(default_factory=list)

    def found(self) -> Found:
        files = [*self.looked.networks, *self.looked.unread]
        try:
            names = named(self.folder, files)
        except Ambiguous as ambiguous:
            if not self._told_apart(files):
                raise InterpError(self._ambiguous(ambiguous)) from None
            names = [Named(file, file.name, None) for file in files]
        numbered = [each for each in names if each.step is not None]
        nameless = self._networks([each for each in names if each.step is None])
        if not numbered:
            return self._by_content([*numbered, *nameless])
        chosen = self._one_series(numbered)
        steps, unit = self._steps(chosen)
        places = self._placed(steps)
        self._nameless(nameless, places, unit)
        if unit == "epoch":
            self.notes.append(EPOCHS)
        return Found(dict(sorted(places.items())), tuple(self.notes), unit, tuple(self.left))

    # Which files.

    def _networks(self, names: list[Named]) -> list[Named]:
        """Those of them that hold a network: where others hold several matrices, one matrix alone is data."""
        matrices = {file: sum(len(shape) > 1 for _, shape in shapes) for file, shapes in self.looked.shapes.items()}
        for each in names:
            if matrices.get(each.path) == 1 and max(matrices.values()) > 1:
                self.looked.others[each.path] = NoWeights(f"{each.path} holds one matrix")
        return [each for each in names if each.path in matrices and each.path not in self.looked.others]

    def _one_series(self, names: list[Named]) -> list[Named]:
        """The files of the one series. Raises InterpError where there are several."""
        series: dict[str, list[Named]] = defaultdict(list)
        for each in names:
            series[stem(each.key)].append(each)
        if len(series) == 1:
            return names
        apart = {key: {each.step for each in group} for key, group in series.items()}
        disjoint = sum(map(len, apart.values())) == len(set().union(*apart.values()))
        one_folder = len({folder_of(key) for key in series}) == 1
        if one_folder and disjoint and len({_without_numbers(key) for key in series}) == len(series):
            shapes = {self.looked.shapes.get(each.path) for each in names} - {None}
            if len(shapes) <= 1:
                return names
        first, *others = series
        if all(self._copies(series[first], series[key]) for key in others):
            self.left += [each.path for key in others for each in series[key]]
            return series[first]
        usual = [key for key in series if not AVERAGED.search(key.lower().replace("/", "_").replace("-", "_"))]
        if one_folder and len(usual) == 1:
            others = [key for key in series if key not in usual]
            self.notes.append(f"Left out, as averages by their names: {listed(others)}.")
            self.left += [each.path for key in others for each in series[key]]
            return series[usual[0]]
        raise InterpError(self._several([group[0].key for group in series.values()]))

    def _copies(self, first: list[Named], other: list[Named]) -> bool:
        """Whether two series are one, saved twice, as far as their last checkpoints tell."""
        ones, others = ({each.step: each.path for each in group} for group in (first, other))
        if ones.keys() != others.keys() or len(ones) < len(first):
            return False
        last = max(_step(each) for each in first)
        one, two = (Place(path, self._route(path)) for path in (ones[last], others[last]))
        return same_weights(one, two)

    def _several(self, keys: list[str]) -> str:
        """The message that tells several runs, and how each is opened."""
        runs = _apart(self.folder, keys)
        opened = []
        for path, options in runs:
            options = options | self._said()
            if _opens(path, options):
                opened.append((path, options))
        example = listed(keys, 4)
        alike = {_without_numbers(key) for key in keys}
        what = "runs" if len(alike) == 1 or not all(path == self.folder for path, _ in opened) else "series of files"
        lines = [f"{self.folder} holds {len(keys)} {what}, not one: {example}"]
        if opened and all(path == self.folder for path, _ in opened) and len(opened) <= MOST_TOLD:
            lines.append("Read one of them, by a line in a run.yaml beside the files")
            lines += [f"  {option_line(options)}" for _, options in opened]
            lines += opening_lines(opened)
        elif opened:
            lines += opening_lines(opened[:MOST_TOLD])
        return "\n".join(lines)

    def _said(self) -> dict[str, Any]:
        return {} if self.asked.entry is None else {"entry": self.asked.entry}

    def _ambiguous(self, found: Ambiguous) -> str:
        lines = [
            f"{self.folder}: which number is the step in {found.example}? Several differ from file to file; say it in "
            "a run.yaml beside the files, by one of"
        ]
        suffix = next(iter(self.looked.networks)).suffix
        for pattern in found.patterns:
            options = {"pattern": pattern + suffix} | self._said()
            if len(lines) <= MOST_TOLD and _opens(self.folder, options):
                lines.append(f"  {option_line(options)}")
        return "\n".join(lines)

    # Which steps.

    def _steps(self, names: list[Named]) -> tuple[list[tuple[int, Named]], Unit]:
        """The step of each file, and what they count. Raises InterpError where names and contents contradict."""
        told = [self.looked.told.get(each.path, {}) for each in names]
        read = [each.path in self.looked.told for each in names]
        units: list[Unit] = ["step", "epoch"]
        useful = []
        for unit in units:
            values = [each[unit] for each in told if unit in each]
            apart = len({each.step for each, one in zip(names, told, strict=True) if unit in one})
            if values and (apart < 2 or len(set(values)) > 1):  # one that never varies is no step
                useful.append(unit)
        told = [{unit: value for unit, value in each.items() if unit in useful} for each in told]
        spoken = {each.unit for each in names}
        by_name: Unit = "epoch" if spoken == {"epoch"} else "step"
        inside = next(
            (u for u in useful if all(u in each for each, seen in zip(told, read, strict=True) if seen)), None
        )
        if inside is None or (inside == "epoch" and spoken == {"step"}) or not all(read):
            self._agree(names, told)
            return self._saves(names) or [(_step(each), each) for each in names], by_name
        if not self._another_count(names, [each[inside] for each in told]):
            self._agree(names, told)
        return [(each[inside], name) for each, name in zip(told, names, strict=True)], inside

    def _saves(self, names: list[Named]) -> list[tuple[int, Named]] | None:
        """The updates made at each save of accelerate, whose names count the saves; None of other files."""
        if any(each.unit for each in names) or not all((each.path.parent / ACCELERATE).is_file() for each in names):
            return None
        found = []
        for each in names:
            beside = sorted(each.path.parent.glob("optimizer*"))
            made = [updates_made(foreign.outline(file)) for file in beside]
            found.append((next((step for step in made if step is not None), None), each))
        steps = [step for step, _ in found if step is not None]
        if len(steps) < len(names):
            self.notes.append("The steps count the times that accelerate saved; at which updates that was is not told.")
            return None
        if steps != [each.step for each in names]:
            self.notes.append("The files' names count the times that accelerate saved; the steps are the optimiser's.")
        return [(step, each) for step, each in found if step is not None]

    def _agree(self, names: list[Named], told: list[dict[str, int]]) -> None:
        cases = [
            (each.path, each, other)
            for each, one in zip(names, told, strict=True)
            if one and (other := contradiction(each, one))
        ]
        if cases:
            raise InterpError(contradicting(cases, self.folder))

    def _another_count(self, names: list[Named], inside: list[int]) -> bool:
        """Whether the names count something else than what is inside: the same multiple of it, or the files."""
        pairs = sorted((_step(name), value) for name, value in zip(names, inside, strict=True))
        if len(pairs) < 2 or any(each.unit is not None for each in names) or all(one == two for one, two in pairs):
            return False
        (first, value), *others = pairs
        ratios = {
            (number - first) * (others[-1][1] - value) == (step - value) * (others[-1][0] - first)
            for number, step in others
        }
        rising = all(one[1] < two[1] for one, two in zip(pairs, others, strict=False))
        counted = [number for number, _ in pairs] == list(range(first, first + len(pairs))) and first in (0, 1)
        if not rising or not (counted or (ratios == {True} and len(pairs) > 2)):
            return False
        self.notes.append(
            "The numbers in the files' names count something else than steps; the steps are those inside."
        )
        return True

    def _placed(self, steps: list[tuple[int, Named]]) -> dict[int, Place]:
        """Map steps to files; of two with the same weights one. Raises InterpError where two of one step differ."""
        places: dict[int, Place] = {}
        for step, each in steps:
            place = Place(each.path, self._route(each.path))
            if step not in places:
                places[step] = place
            elif same_weights(places[step], place):
                self.left.append(each.path)
            else:
                raise InterpError(self._two(step, places[step].path, each))
        return places

    def _two(self, step: int, first: Path, other: Named) -> str:
        lines = [
            f"{first.relative_to(self.folder)} and {other.path.relative_to(self.folder)} are both of step {step:,}"
        ]
        tried = []
        for file in (first, other.path):
            name = file.relative_to(self.folder).as_posix()
            for slot in reversed(slots(name)):
                pattern = f"{name[: slot.start]}{{step}}{name[slot.end :]}"
                if (
                    slot.value is not None
                    and by_pattern(self.folder, [file], pattern)
                    and _opens(self.folder, {"pattern": pattern})
                ):
                    tried.append(option_line({"pattern": pattern}))
                    break
        if tried:
            lines[0] += "; tell them apart by a pattern, one of"
        return "\n".join([*lines, *(f"  {line}" for line in dict.fromkeys(tried))])

    def _nameless(self, names: list[Named], places: dict[int, Place], unit: Unit) -> None:
        """Place the files without a step in their names by what they hold, or leave them out, and say so."""
        usual = {self.looked.shapes.get(place.path) for place in places.values()}
        for each in names:
            file, told = each.path, self.looked.told[each.path]
            place = Place(file, self._route(file))
            alike = self.looked.shapes[file] in usual
            step = told.get(unit)
            if not told and unit == "step":
                step = self.looked.updates[file]
            if alike and step is not None and step not in places:
                places[step] = place
                continue
            self.left.append(file)
            name = file.relative_to(self.folder).as_posix()
            if step is not None and step in places:
                if alike and not same_weights(places[step], place):
                    self.notes.append(
                        f"Left out: {name}, which is of step {step:,} as {places[step].path.name} is, and differs."
                    )
            elif not alike:
                self.notes.append(f"Left out: {name}, whose tensors are others than those of the numbered files.")
            elif not any(same_weights(other, place) for _, other in sorted(places.items(), reverse=True)[:20]):
                self.notes.append(
                    f"Left out: {name}, which tells no step and equals none of the last numbered files; to place it, "
                    f"write its step into its name, such as {stem(file.name)}_{max(places) + 1}{file.suffix}."
                )

    def _by_content(self, names: list[Named]) -> Found:
        """Files none of whose names tells a step: placed by what they hold, if that tells it."""
        told = [self.looked.told.get(each.path, {}) for each in names]
        runs = _run_words([stem(each.key) for each in names])
        for unit in ("step", "epoch"):
            values = [each.get(unit) for each in told]
            if None not in values and len(set(values)) > 1 and not runs:
                places = self._placed([(each[unit], name) for each, name in zip(told, names, strict=True)])
                notes = (*self.notes, EPOCHS) if unit == "epoch" else tuple(self.notes)
                return Found(dict(sorted(places.items())), notes, unit, tuple(self.left))
        first = Place(names[0].path, self._route(names[0].path))
        if all(same_weights(first, Place(each.path, self._route(each.path))) for each in names[1:]):
            alone = in_file(names[0].path, foreign.read(names[0].path), self.asked)
            return Found(alone.places, alone.notes, alone.unit, tuple(each.path for each in names[1:]))
        raise InterpError(_several_files(self.folder, self.looked))

    def _told_apart(self, files: list[Path]) -> bool:
        """Whether each file holds a step of its own."""
        for unit in ("step", "epoch"):
            values = [self.looked.told.get(file, {}).get(unit) for file in files]
            if None not in values and len(set(values)) == len(values):
                return True
        return False

    def _route(self, file: Path) -> Route:
        found = self.looked.networks.get(file)
        return found.routes[0][1] if found else ()


def _by_pattern(folder: Path, files: tuple[Path, ...], asked: Asked) -> Found:
    """The files that fit a pattern, at the steps it reads."""
    assert asked.pattern is not None
    names = by_pattern(folder, files, asked.pattern)
    if not names:
        raise InterpError(f"{folder}: the pattern {asked.pattern!r} is in no file's name, such as {files[0].name}")
    looked = _Looked(folder, tuple(each.path for each in names), Asked(entry=asked.entry))
    names = [each for each in names if each.path not in looked.others]
    if not names:
        raise looked.reason()
    series = [file for file, each in looked.networks.items() if each.series]
    if series:
        raise InterpError(f"{series[0]} holds several checkpoints by itself; open it alone, without a pattern")
    placing = _Placing(folder, looked, asked)
    places = placing._placed([(_step(each), each) for each in names])
    unit: Unit = "epoch" if {each.unit for each in names} == {"epoch"} else "step"
    notes = (*placing.notes, *((EPOCHS,) if unit == "epoch" else ()))
    return Found(dict(sorted(places.items())), notes, unit, (*placing.left, *looked.others))


def _several_files(folder: Path, looked: _Looked) -> str:
    """The message of a folder whose files are networks, or series of them, of their own."""
    files = list(looked.networks)
    keys = [file.relative_to(folder).as_posix() for file in files]
    runs: list[tuple[Path, Mapping[str, Any]]] = [
        (path, options) for path, options in _apart(folder, keys) if path != folder
    ]
    if len(runs) < len(files):
        runs = [(file, {}) for file in files]
    runs = [(path, options) for path, options in runs if _opens(path, options)]
    what = (
        f"{len(files)} runs, not one"
        if _run_words([stem(key) for key in keys])
        else f"{len(files)} networks without a step in their names or inside"
    )
    if any(each.series for each in looked.networks.values()):
        what = f"{len(files)} files, of which some hold several checkpoints by themselves"
    lines = [f"{folder} holds {what}: {listed(keys, 4)}", *opening_lines(runs[:MOST_TOLD])]
    pattern = _if_steps(keys)
    if pattern is not None and _opens(folder, {"pattern": pattern}):
        lines += ["or, where the numbers are the steps of one run, in a run.yaml beside the files,"]
        lines += [f"  {option_line({'pattern': pattern})}"]
    return "\n".join(lines)


def _if_steps(keys: list[str]) -> str | None:
    """The pattern of names that differ in one number alone, after a single letter or none: s0.pt, s100.pt."""
    parts = [re.split(r"(\d+)", key) for key in keys]
    if len({len(each) for each in parts}) > 1:
        return None
    varying = [place for place, values in enumerate(zip(*parts, strict=True)) if len(set(values)) > 1]
    if len(varying) != 1 or varying[0] % 2 == 0 or re.search(r"[a-z]{2}[^a-z]*$", parts[0][varying[0] - 1].lower()):
        return None
    return "".join("{step}" if place == varying[0] else part for place, part in enumerate(parts[0]))


def _apart(folder: Path, keys: list[str]) -> list[tuple[Path, dict[str, Any]]]:
    """The path of each series, if in a folder of its own; else the folder, and the pattern that chooses it."""
    fixed = []
    for key in keys:
        parts = key.split("/")[:-1]
        moving = next((place for place, part in enumerate(parts) if "{step}" in part or "*" in part), len(parts))
        fixed.append(tuple(parts[:moving]))
    for depth in range(1, max(map(len, fixed), default=0) + 1):
        starts = [each[:depth] for each in fixed]
        if len(set(starts)) == len(keys) and all(starts):
            return [(folder.joinpath(*start), {}) for start in starts]
    return [(folder, {"pattern": key} if "{step}" in key else {}) for key in keys]


def _run_words(keys: list[str]) -> bool:
    """Whether names differ by a number after a word for runs, such as seed, or lie in folders of their own."""
    kinds = {slot.kind for key in keys for slot in slots(key)}
    return len(keys) > 1 and ("run" in kinds or len({folder_of(key) for key in keys}) == len(keys))


def _without_numbers(key: str) -> str:
    text, place = "", 0
    for slot in slots(key):
        text += key[place : slot.start] + "#"
        place = slot.end
    return text + key[place:]


def _asked(options: Mapping[str, Any]) -> Asked:
    return Asked(pattern=options.get("pattern"), entry=options.get("entry"))


def _opens(path: Path, options: Mapping[str, Any]) -> bool:
    """Whether a line that is proposed leads to checkpoints."""
    try:
        if path.is_file():
            in_file(path, foreign.outline(path), _asked(options))
        else:
            in_folder(path, _asked(options), foreign.outline)
    except InterpError:
        return False
    return True


def _step(name: Named) -> int:
    assert name.step is not None
    return name.step
