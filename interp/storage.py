"""Weights and other arrays on disk: safetensors in blocks with an index, write-then-rename, locks.

Everything is written beside its place and renamed into it, so that a process killed at any moment
leaves either the old file or the new one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import safetensors
import safetensors.numpy

from interp.errors import DamagedError, InterpError, shown
from interp.foreign import lfs_pointer
from interp.steps import listed

Arrays = dict[str, np.ndarray]

CHECKPOINTS_PER_BLOCK = 50
INDEX = "index.json"
LOCK = ".lock"
ABOUT = "about"
"""The one metadata entry of our files: of several, safetensors would write the order at random."""


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends without an error.

    Raises InterpError where it cannot be written (a full disk, a quota, a folder without permission): what stood
    at `path` is left whole, and the temporary file is removed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if not _concerns(error, path, temporary):
            raise
        raise InterpError(
            f"{path} cannot be written ({error.strerror}); what was finished before is kept: "
            "make room (or choose another folder) and start the same command again"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _concerns(error: OSError, path: Path, temporary: Path) -> bool:
    """Whether it is about writing `path`, not about another file that was read on the way."""
    if error.filename is None:
        return error.errno is not None
    return str(error.filename) in {str(one) for one in (path, temporary, *path.parents)}


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files in and below `folder` whose writers are gone: they were killed while writing.

    A folder below it that has a lock is left to whoever locks that one.
    """
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not Path(place, name, LOCK).exists()]
        for name in files:
            writer = re.fullmatch(r"\..+\.(\d{1,9})\.tmp", name)
            if writer and not _running(int(writer[1])):
                with contextlib.suppress(OSError):
                    Path(place, name).unlink()


def _running(process: int) -> bool:
    """Whether another process of this number is there."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def write_text(path: Path, text: str) -> None:
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], about: Any = None) -> None:
    """`arrays` and a JSON value about them as one safetensors file, byte for byte the same for the same content."""
    contiguous = {name: np.asarray(arrays[name], order="C") for name in sorted(arrays)}
    with writing(path) as temporary:
        # not `save_file`: it writes a temporary file of its own, which would outlive a killed process
        temporary.write_bytes(safetensors.numpy.save(contiguous, {ABOUT: json.dumps(about, sort_keys=True)}))


def read_arrays(path: Path) -> tuple[Arrays, Any]:
    """What `write_arrays` wrote; None about arrays that others wrote. Raises DamagedError where it is damaged."""
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, _about(path, file)  # noqa: SIM118


def read_about(path: Path) -> Any:
    """The JSON value alone."""
    with _opened(path) as file:
        return _about(path, file)


def _about(path: Path, file: safetensors.safe_open) -> Any:
    try:
        return json.loads((file.metadata() or {}).get(ABOUT, "null"))
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path}: what is said of its arrays is not JSON ({shown(error)}); restore it") from None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[safetensors.safe_open]:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            yield file
    except FileNotFoundError:
        raise
    except (safetensors.SafetensorError, TypeError, AttributeError) as error:  # the last two: its types
        raise DamagedError(f"{path} is {_what_it_is(path, error)}") from error
    except OSError as error:
        raise DamagedError(f"{path} cannot be read ({shown(error)}); restore it") from error


def _what_it_is(path: Path, error: Exception) -> str:
    """In the place of a safetensors file."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        start = file.read(1024)
        if not start:
            return "empty; restore it or delete it"
        if pointer := lfs_pointer(start):
            return pointer
    if "not fully covered" in str(error):
        return "cut short, or longer than its header says; restore it or delete it"
    return f"not a whole safetensors file ({shown(error)}); restore it or delete it"


def file_state(path: Path) -> tuple[Any, ...] | None:
    """What changes when the file at `path` is replaced or written to, whatever its time is set to; None without one."""
    try:
        found = path.stat()
    except OSError:
        return None
    return str(path), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """A fingerprint of names, types, shapes and every byte."""
    state = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        state.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        state.update(array.tobytes() if array.ndim == 0 else array.data)
    return state.hexdigest()


class Checkpoints:
    """The weights of one run: a folder of safetensors files and an index of which step lies where.

    A new checkpoint is a file of its own; every 50 of them are stacked, [checkpoint, ...], into one
    block. The index is replaced after the files it names are whole, and files are removed after the
    index no longer names them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, list[int]] = {}
        self._place: dict[int, tuple[str, int]] = {}
        self._headers: dict[str, tuple[Any, dict[str, tuple[int, ...]]]] = {}
        self.refresh()

    @property
    def steps(self) -> list[int]:
        """In ascending order."""
        return sorted(self._place)

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
        """Of the weights at `step`, from the header of their file alone. Raises as `load` does.

        A file that is cut short does not pass: its header tells its length.
        """
        return self._found(step, self._shapes)

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
                raise DamagedError(f"{self.folder / INDEX} names {listed([step])} no more; restore it")
            name, row = self._place[step]
        path, steps = self.folder / name, self._files[name]
        raise DamagedError(f"{path}, which holds {listed(steps)}, is missing; restore it")

    def _read(self, name: str, row: int) -> Arrays:
        path = self.folder / name
        with _opened(path) as file:
            self._check(name, _about(path, file))
            return {key: np.asarray(file.get_slice(key)[row]) for key in file.keys()}  # noqa: SIM118

    def _shapes(self, name: str, row: int) -> dict[str, tuple[int, ...]]:  # noqa: ARG002
        path = self.folder / name
        state = file_state(path)
        known, shapes = self._headers.get(name, (None, {}))
        if known is None or known != state:
            with _opened(path) as file:
                self._check(name, _about(path, file))
                shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
            if any(shape[:1] != (len(self._files[name]),) for shape in shapes.values()):
                raise DamagedError(f"{path} does not hold one row for each of its steps; restore it")
            self._headers[name] = state, shapes
        return {key: shape[1:] for key, shape in shapes.items()}

    def _check(self, name: str, stored: Any) -> None:
        if stored != self._files.get(name):
            raise DamagedError(f"{self.folder / name} holds other checkpoints than the index says; restore it")

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
        for path in self.folder.glob("step*-*.safetensors"):  # left by a process killed before or after an index
            if path.name not in self._files:
                path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all of them: the index first, so that it never names a file that is gone."""
        (self.folder / INDEX).unlink(missing_ok=True)
        self.refresh()
        self.stack()

    def _stack(self, steps: list[int], names: list[str]) -> None:
        rows = [self.load(step) for step in steps]
        block = f"steps-{steps[0]:09d}-{steps[-1]:09d}.safetensors"
        self._write(block, steps, {key: np.stack([row[key] for row in rows]) for key in rows[0]})
        self._set_index({name: steps for name, steps in self._files.items() if name not in names} | {block: steps})
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def _write(self, name: str, steps: list[int], arrays: Mapping[str, np.ndarray]) -> None:
        write_arrays(self.folder / name, arrays, steps)

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


@contextlib.contextmanager
def locked(folder: Path, purpose: str) -> Iterator[None]:
    """Hold `folder` for this process, and remove what killed writers left half-written in it.

    Raises InterpError that says who holds it, or why it cannot be held; a killed holder blocks nobody.
    """
    with contextlib.ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = held.enter_context(open(folder / LOCK, "a+", encoding="utf-8"))
            _lock(file, folder)
            file.truncate(0)
            file.write(f"{purpose} (process {os.getpid()})")
            file.flush()
        except OSError as error:
            with contextlib.suppress(OSError):
                held.close()  # what the file could not take it tries to write again
            raise InterpError(
                f"{folder} cannot be locked ({error.strerror}), so nothing is written there; "
                "choose a folder that can be written to, on a file system with locks (flock)"
            ) from error
        remove_abandoned(folder)
        yield


def _lock(file: TextIO, folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = re.sub(r"[^\x20-\x7e]", "?", file.read(200).strip()) or "another process"
        raise InterpError(f"{folder} is in use by {holder}; wait for it, or stop it") from None
