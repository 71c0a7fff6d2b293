"""Which file of somebody's run holds which checkpoint, and at which step it was.

1. The weight files below a folder are looked through, without reading their weights (`weight_files`, `inside`).
2. What a file says of its step inside wins; names tell it else (`names`); where both contradict, they are refused.
3. Files without a step, such as final.pt, are placed by what they hold; several runs are told as such (`find`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from interp.contracts.imported import Arrays
from interp.errors import InterpError
from interp.files import foreign
from interp.files.arrays import file_state
from interp.importers.shared.files_by_step import contents, inside
from interp.importers.shared.files_by_step.folder import in_folder
from interp.importers.shared.files_by_step.one_file import in_file
from interp.importers.shared.files_by_step.places import Asked, Found, NoWeights, Place

__all__ = ["Asked", "Found", "NoWeights", "Place", "Read", "arrays_at", "entry", "find", "in_one_file", "reading_once"]

Read = Callable[[Path], Any]
"""Path of a weight file -> what it holds."""


def reading_once() -> Read:
    """Return a function that reads weight files and keeps the last one, until it changes on disk.

    A file that holds all checkpoints of a run is so read once. The last one is let go before another is read.
    """
    kept: list[Any] = [None, None]  # what tells the file and its version, and its content

    def read(path: Path) -> Any:
        version = (path, file_state(path))
        if kept[0] != version:
            kept[:] = None, None
            kept[:] = version, foreign.read(path)
        return kept[1]

    return read


def find(path: Path, asked: Asked | None = None, read: Read = foreign.read) -> Found:
    """Find the checkpoints of the run at `path`, a folder or a file, with what the user said of them.

    Raises InterpError where there are none; where several runs, networks or steps are possible, with the lines that
    choose, each tried; and where the names of files and what they hold contradict each other.
    """
    asked = asked or Asked()
    if path.is_file():
        return in_file(path, read(path), asked)
    if not path.is_dir():
        raise InterpError(f"{path} does not exist")
    return in_folder(path, asked, read)


def in_one_file(path: Path, content: Any) -> dict[int, Place]:
    """Map the steps in one file, whose content is given, to their places."""
    return dict(in_file(path, content, Asked()).places)


def arrays_at(place: Place, read: Read = foreign.read) -> Arrays:
    """Return the state dict at `place`. Raises InterpError where it cannot be read."""
    content = read(place.path)
    arrays = entry(content, place)
    if not arrays:
        found = inside.look(content, Asked(), str(place.path))
        arrays = contents.tensors(content, *found.routes[-1][1:])
    if place.path.suffix == ".safetensors":  # which forgets the order in which the network was written down
        return dict(sorted(arrays.items(), key=lambda item: _natural(item[0])))
    return arrays


def entry(content: Any, place: Place) -> Arrays:
    """Return the tensors of the checkpoint of `place` by their names, given what its file holds."""
    return contents.tensors(content, place.route, place.row)


def _natural(name: str) -> list[tuple[int, str]]:
    """The key of a sort that puts layer 2 before layer 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
