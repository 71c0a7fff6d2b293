"""What is known of the results over many runs without looking into them: of which runs they are, as those were then.

Beside the file of a measure lies a note: what was asked, a stamp of each run's files with the places of its rows, the
code that the rows were made with, and the state of the result file. A run whose stamp is the same has the same rows,
and need not be opened; where that is true of all, the result file is the answer as it is.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.files.arrays import file_state
from interp.files.writing import write_text
from interp.results.rows import Key

FOLDER = ".runs"


@dataclass(frozen=True)
class OfRun:
    """The rows of one run."""

    stamp: str
    keys: tuple[Key, ...]


@dataclass(frozen=True)
class Remembered:
    """What is known of one measure's rows."""

    asked: str
    """The measure with its options, the steps, and what the file says of itself."""
    runs: Mapping[Key, OfRun]
    """By the run's place."""
    code: Mapping[str, str]
    """Question -> answer, of those that are about no run."""
    state: tuple[Any, ...] | None
    """The result file's; None where there is none yet."""
    labels: str = ""
    """Those along the axes of runs, those of empty places too."""
    silent: str = ""
    """Why there is no answer anywhere."""


def _note(folder: Path, label: str) -> Path:
    return folder / FOLDER / f"{label}.json"


def remember(folder: Path, label: str, known: Remembered) -> None:
    """Write the note beside the file of the measure `label`."""
    runs = [
        [list(place), one.stamp, [list(key[len(place) :]) for key in one.keys]] for place, one in known.runs.items()
    ]
    content = vars(known) | {"code": dict(known.code), "runs": runs}
    write_text(_note(folder, label), json.dumps(content))


def recalled(folder: Path, label: str) -> Remembered | None:
    """The note beside the file of the measure `label`; None where there is none that can be read."""
    with contextlib.suppress(OSError, ValueError, TypeError, LookupError):
        content = json.loads(_note(folder, label).read_text(encoding="utf-8"))
        runs = {
            tuple(place): OfRun(stamp, tuple((*place, *rest) for rest in keys))
            for place, stamp, keys in content["runs"]
        }
        state = content["state"]
        return Remembered(**{**content, "runs": runs, "state": state and tuple(state)})
    return None


def state_of(file: Path) -> tuple[Any, ...] | None:
    """What changes when a result file does."""
    state = file_state(file)
    return state and (state[1], state[2])  # of a folder that was copied with its times it is still the same
