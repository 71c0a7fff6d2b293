"""Which file of somebody's run holds which step: told by the files' names, or by what one file holds."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interp.contracts.imported import Arrays, is_state_dict, state_dict
from interp.errors import InterpError
from interp.files import foreign
from interp.files.arrays import file_state

Read = Callable[[Path], Any]
"""Path of a weight file -> what it holds."""
SUFFIXES = (".pt", ".pth", ".safetensors", ".ckpt", ".bin", ".npz")
STEP_KEYS = ("step", "epoch", "global_step", "iteration", "steps", "epochs")


@dataclass(frozen=True)
class Place:
    """Where one checkpoint is."""

    path: Path
    entry: int | None = None
    """The step under which the file holds it; None where the file holds one checkpoint alone."""


def reading_once() -> Read:
    """Return a function that reads weight files and keeps the last one, until it changes on disk.

    A file that holds all checkpoints of a run is so read once.
    """
    kept: list[Any] = [None, None]  # what tells the file and its version, and its content

    def read(path: Path) -> Any:
        version = (path, file_state(path))
        if kept[0] != version:
            kept[:] = version, foreign.read(path)
        return kept[1]

    return read


def by_step(path: Path, pattern: str | None, read: Read = foreign.read) -> dict[int, Place]:
    """Map each step to the place of its weights: a folder's files by their names, one file by what it holds.

    Raises InterpError where there is no weight file, two files have one step, or the pattern fits none.
    """
    if path.is_file():
        return in_one_file(path, read(path))
    if not path.is_dir():
        raise InterpError(f"{path} does not exist")
    candidates = _weight_files(path)
    if not candidates:
        raise InterpError(f"{path} holds no weight file; expected files that end in {', '.join(SUFFIXES)}")
    if places := _by_name(path, candidates, pattern):
        return places
    if len(candidates) == 1:
        return in_one_file(candidates[0], read(candidates[0]))
    what = f"the pattern {pattern!r}" if pattern else "a number, the step,"
    raise InterpError(f"{path}: {what} is in no file's name, such as {candidates[0].name}")


def arrays_at(place: Place, read: Read = foreign.read) -> Arrays:
    """Return the state dict at `place`. Raises InterpError where it cannot be read."""
    arrays = state_dict(entry(read(place.path), place), str(place.path))
    if place.path.suffix == ".safetensors":  # which forgets the order in which the network was written down
        return dict(sorted(arrays.items(), key=lambda item: _natural(item[0])))
    return arrays


def entry(content: Any, place: Place) -> Any:
    """Return the checkpoint of `place`, given what its file holds."""
    return content if place.entry is None else _checkpoints_in(content).get(place.entry)


def _weight_files(folder: Path) -> list[Path]:
    """The weight files in the folder, or, where it has none, those in its subfolders."""
    for depth in ("*", "*/*"):
        found = sorted(file for file in folder.glob(depth) if file.suffix in SUFFIXES and file.is_file())
        if found:
            return [file for file in found if not file.name.startswith(".")]
    return []


def _by_name(folder: Path, files: list[Path], pattern: str | None) -> dict[int, Place]:
    """Map the steps in the files' names to the files; warn of files without one, unless a pattern chose the others."""
    expression = _expression(pattern)
    found: dict[int, Place] = {}
    nameless = []
    for file in files:
        match = expression.search(file.relative_to(folder).as_posix())
        if match is None:
            nameless.append(file)
            continue
        step = int(match["step"])
        if step in found:
            raise InterpError(
                f"{found[step].path.name} and {file.name} are both of step {step:,}; tell them apart by a pattern: "
                f"importer: {{state_dicts: {{pattern: {_suggested(found[step].path.name, step)}}}}}"
            )
        found[step] = Place(file)
    if found and nameless and pattern is None:
        warnings.warn(f"{folder}: left out, no step in its name: {', '.join(f.name for f in nameless)}", stacklevel=2)
    return found


def _expression(pattern: str | None) -> re.Pattern[str]:
    """What finds the step in a name: where the pattern has `{step}`, `*` being anything; else the last number."""
    if pattern is None:
        return re.compile(r"(?P<step>\d+)\D*$")
    if pattern.count("{step}") != 1:
        raise InterpError(f"pattern {pattern!r} should hold {{step}} once, such as model_{{step}}.pt")
    text = re.escape(pattern).replace(r"\{step\}", r"(?P<step>\d+)").replace(r"\*", ".*")
    return re.compile(rf"(?:^|/){text}$")


def _suggested(name: str, step: int) -> str:
    """The pattern that this name fits."""
    return re.sub(rf"0*{step}(?=\D*$)", "{step}", name)


def in_one_file(path: Path, content: Any) -> dict[int, Place]:
    """Map the steps in one file to their places: several by step, or one, whose step is inside, in the name, or 0."""
    several = _checkpoints_in(content)
    if several:
        return {step: Place(path, step) for step in several}
    number = re.search(r"(?:^|[^0-9A-Za-z]|step|epoch|iter|ckpt|checkpoint)(\d+)$", path.stem)
    step = next((content[key] for key in STEP_KEYS if isinstance(content, dict) and _is_step(content.get(key))), None)
    return {int(step if step is not None else number[1] if number else 0): Place(path)}


def _checkpoints_in(content: Any) -> dict[int, Any]:
    """Map steps to state dicts, if `content` is such a map, or has lists "state_dicts" and "epochs"; else empty."""
    if not isinstance(content, dict):
        return {}
    if content and all(_is_step(key) and is_state_dict(value) for key, value in content.items()):
        return {int(key): value for key, value in content.items()}
    listed = content.get("state_dicts")
    if isinstance(listed, list) and listed and all(map(is_state_dict, listed)):
        counted = [_numbers(content.get(key)) for key in ("epochs", "steps")]
        steps = next((numbers for numbers in counted if len(numbers) == len(listed)), range(len(listed)))
        return dict(zip(steps, listed, strict=True))
    return {}


def _numbers(value: Any) -> list[int]:
    """The steps listed in `value`; none where it is no list of steps."""
    values = value.tolist() if isinstance(value, np.ndarray) else value
    return [int(one) for one in values] if isinstance(values, list) and all(map(_is_step, values)) else []


def _natural(name: str) -> list[tuple[int, str]]:
    """The key of a sort that puts layer 2 before layer 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _is_step(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 0
