"""Arrays and a JSON value about them as one safetensors file."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from interp.errors import DamagedError, shown
from interp.files.foreign import lfs_pointer
from interp.files.writing import writing

Arrays = dict[str, np.ndarray]
ABOUT = "about"
"""The one metadata entry of our files: of several, safetensors would write the order at random."""


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


def arrays_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """A fingerprint of names, types, shapes and every byte."""
    state = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        state.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        state.update(array.tobytes() if array.ndim == 0 else array.data)
    return state.hexdigest()
