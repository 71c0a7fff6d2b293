"""The weights of one run on disk: safetensors in blocks, and an index of which step lies where.

What is finished is whole at any moment: a file is written beside its place and renamed, the index names files that are
there, and files go after the index has forgotten them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from interp.errors import DamagedError, InterpError, command_line, shown
from interp.files.arrays import Arrays, Header, arrays_digest, file_state, opened, what_is_told, write_arrays
from interp.files.writing import write_text
from interp.summaries import listed_steps

CHECKPOINTS_PER_BLOCK = 50
INDEX = "index.json"


class CheckpointBlocks:
    """The weights of one run: a folder of safetensors files and an index of which step lies where.

    A new checkpoint is a file of its own; every 50 of them are stacked, [checkpoint, ...], into one block. Beside each
    checkpoint stands a digest of it, but in blocks of earlier versions: a flipped bit is noticed when the checkpoint is
    loaded, and the others in its block go on.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, list[int]] = {}
        self._place: dict[int, tuple[str, int]] = {}
        self._headers: dict[str, tuple[Any, dict[str, tuple[int, ...]]]] = {}
        self.refresh()

    @property
    def steps(self) -> list[int]:
        """The steps whose weights are stored, ascending."""
        return sorted(self._place)

    @property
    def is_stacked(self) -> bool:
        """Whether at most one checkpoint is a file of its own, and no file is left behind, as `stack` leaves them."""
        return sum(len(steps) == 1 for steps in self._files.values()) <= 1 and not self._left_behind

    def refresh(self) -> None:
        """Read the index again: another process may have added checkpoints."""
        path = self.folder / INDEX
        if not path.exists():
            self._files = {}
        else:
            try:
                self._files = _index(path)
            except (ValueError, TypeError, AttributeError, KeyError, RecursionError, OSError) as error:
                raise InterpError(f"{path} is not an index of checkpoints ({shown(error)}); restore it") from error
        self._place = {step: (name, row) for name, steps in self._files.items() for row, step in enumerate(steps)}

    def load(self, step: int) -> Arrays:
        """The weights at `step`. Raises KeyError where it is not stored, DamagedError where its file is damaged."""
        return self._found(step, self._read)

    def shapes(self, step: int) -> dict[str, tuple[int, ...]]:
        """The shapes of the weights at `step`, from the header of their file alone. Raises as `load` does.

        A file that is cut short does not pass: its header tells its length.
        """
        return self._found(step, self._shapes)

    def digest(self, step: int) -> str | None:
        """The `arrays_digest` of the weights at `step`, as it was written beside them; None in blocks without digests.

        Raises as `load` does, but does not read the weights.
        """
        return self._found(step, self._digest)

    def state(self, step: int) -> Any:
        """What changes when the weights at `step` are replaced; None where there is no file."""
        if step in self._place:
            name, row = self._place[step]
            state = file_state(self.folder / name)
            return state and (*state, row)
        return None

    def _found(self, step: int, read: Callable[[str, int], Any]) -> Any:
        """`read(file name, row)` where the index says `step` is, or now says: it may have been stacked meanwhile."""
        name, row = self._place[step]
        for _ in range(3):
            try:
                return read(name, row)
            except FileNotFoundError:
                self.refresh()
            if step not in self._place:
                raise DamagedError(f"{self.folder / INDEX} names {listed_steps([step])} no more; restore it")
            name, row = self._place[step]
        path, steps = self.folder / name, self._files[name]
        raise DamagedError(f"{path}, which holds {listed_steps(steps)}, is missing; {self._way_out}")

    def _read(self, name: str, row: int) -> Arrays:
        path = self.folder / name
        with opened(path) as file:
            digests = self._told(name, file).digests
            arrays = {key: np.asarray(file.get_slice(key)[row]) for key in file.keys()}  # noqa: SIM118
        if digests and arrays_digest(arrays) != digests[row]:
            raise DamagedError(
                f"{path}: the weights at {listed_steps([self._files[name][row]])} are not what was written (their "
                f"digest is another); {self._way_out}"
            )
        return arrays

    def _digest(self, name: str, row: int) -> str | None:
        with opened(self.folder / name) as file:
            digests = self._told(name, file).digests
        return digests[row] if digests else None

    def _shapes(self, name: str, row: int) -> dict[str, tuple[int, ...]]:  # noqa: ARG002
        path = self.folder / name
        state = file_state(path)
        known, shapes = self._headers.get(name, (None, {}))
        if known is None or known != state:
            with opened(path) as file:
                self._told(name, file)
                shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
            if any(shape[:1] != (len(self._files[name]),) for shape in shapes.values()):
                raise DamagedError(f"{path} does not hold one row for each of its steps; {self._way_out}")
            self._headers[name] = state, shapes
        return {key: shape[1:] for key, shape in shapes.items()}

    def _told(self, name: str, file: safetensors.safe_open) -> Header:
        """Raises DamagedError where it does not hold what the index says."""
        told = what_is_told(self.folder / name, file)
        steps = self._files.get(name)
        if told.about != steps or len(told.digests) not in (0, len(steps or ())):
            raise DamagedError(f"{self.folder / name} holds other checkpoints than the index says; {self._way_out}")
        return told

    def save(self, step: int, weights: Mapping[str, np.ndarray]) -> None:
        """Add one checkpoint. Saving a step again replaces nothing."""
        if step in self._place:
            return
        name = f"step-{step:09d}.safetensors"
        self._write(name, [step], {key: np.asarray(value)[None] for key, value in weights.items()})
        self._set_index({**self._files, name: [step]})
        single = sorted((steps[0], name) for name, steps in self._files.items() if len(steps) == 1)
        while len(single) >= CHECKPOINTS_PER_BLOCK:
            full, single = single[:CHECKPOINTS_PER_BLOCK], single[CHECKPOINTS_PER_BLOCK:]
            self._stack([step for step, _ in full], [name for _, name in full])

    def stack(self) -> None:
        """Stack the checkpoints that are files of their own: a finished run needs no more room for new ones."""
        single = sorted((steps[0], name) for name, steps in self._files.items() if len(steps) == 1)
        if len(single) > 1:
            self._stack([step for step, _ in single], [name for _, name in single])
        for path in self._left_behind:
            path.unlink(missing_ok=True)

    @property
    def _left_behind(self) -> list[Path]:
        """The files that a process left which was killed before or after it wrote an index."""
        return [path for path in self.folder.glob("step*-*.safetensors") if path.name not in self._files]

    @property
    def _way_out(self) -> str:
        again = command_line("train", self.folder.parent)
        return f"restore the file, or, of a run trained here, train it again: {again}"

    def damaged(self) -> list[int]:
        """The steps whose weights cannot be loaded."""
        return [step for step in self.steps if not self._is_whole(step)]

    def _is_whole(self, step: int) -> bool:
        try:
            self.load(step)
        except DamagedError:
            return False
        return True

    def put_right(self, weights: Mapping[int, Arrays]) -> None:
        """Write these in the places of the damaged ones; what else lies in their files stays as it is."""
        for name, steps in self._files.items():
            if not weights.keys().isdisjoint(steps):
                self._write_rows(name, steps, [weights[step] if step in weights else self.load(step) for step in steps])

    def clear(self) -> None:
        """Remove all of them: the index first, so that it never names a file that is gone."""
        (self.folder / INDEX).unlink(missing_ok=True)
        self.refresh()
        self.stack()

    def _stack(self, steps: list[int], names: list[str]) -> None:
        block = f"steps-{steps[0]:09d}-{steps[-1]:09d}.safetensors"
        self._write_rows(block, steps, [self.load(step) for step in steps])
        self._set_index({name: steps for name, steps in self._files.items() if name not in names} | {block: steps})
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def _write_rows(self, name: str, steps: list[int], rows: list[Arrays]) -> None:
        self._write(name, steps, {key: np.stack([row[key] for row in rows]) for key in rows[0]})

    def _write(self, name: str, steps: list[int], arrays: Mapping[str, np.ndarray]) -> None:
        write_arrays(self.folder / name, arrays, steps, by_row=True)

    def _set_index(self, files: dict[str, list[int]]) -> None:
        ordered = dict(sorted(files.items(), key=lambda item: item[1]))
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(steps)}" for name, steps in ordered.items())
        write_text(self.folder / INDEX, f'{{"format": 1, "files": {{\n{lines}\n}}}}\n')
        self.refresh()


def _index(path: Path) -> dict[str, list[int]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if content.get("format") != 1:
        raise ValueError(f"format {content.get('format')!r}, expected 1")
    files: dict[str, list[int]] = content["files"]
    for name, steps in files.items():
        if not re.fullmatch(r"\w[\w.-]*\.safetensors", name):  # files are removed by the names in the index
            raise ValueError(f"{name!r} is not the name of a file of checkpoints")
        if type(steps) is not list or not all(type(step) is int and 0 <= step < 2**63 for step in steps):
            raise ValueError(f"the steps of {name} are not whole numbers")
    return files
