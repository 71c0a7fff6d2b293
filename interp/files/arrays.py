"""Arrays and a JSON value about them as one safetensors file, with digests that tell when a bit of it has flipped."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
"""The one metadata entry of our files (of several, safetensors would write the order at random): a JSON value, in
files of earlier versions the one about the arrays itself."""

DIGESTS = "digests"
"""In that entry, first the digest of what is said of the arrays, then those of the arrays."""


@dataclass(frozen=True)
class Header:
    """What a file says of its arrays; `digests` is empty where it was written without, and `about` None by others."""

    about: Any = None
    digests: tuple[str, ...] = ()


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], about: Any = None, *, by_row: bool = False) -> None:
    """Write `packed` to the file at `path`, which is whole at any moment."""
    content = packed(arrays, about, by_row=by_row)
    with writing(path) as temporary:
        # not `save_file`: it writes a temporary file of its own, which would outlive a killed process
        temporary.write_bytes(content)


def packed(arrays: Mapping[str, np.ndarray], about: Any = None, *, by_row: bool = False) -> bytes:
    """`arrays` and a JSON value about them as one safetensors file, byte for byte the same for the same content.

    Beside them stands their digest, `arrays_digest`; where `by_row`, one for each place on their first axis.
    """
    contiguous = {name: np.asarray(arrays[name], order="C") for name in sorted(arrays)}
    parts = _rows(contiguous) if by_row else [contiguous]
    about = json.loads(json.dumps(about))  # as it will be read: a digest of its text is the same then
    told = {ABOUT: about, DIGESTS: [_digest(about), *map(arrays_digest, parts)]}
    return safetensors.numpy.save(contiguous, {ABOUT: json.dumps(told, sort_keys=True)})


def read_arrays(path: Path) -> tuple[Arrays, Any]:
    """What `write_arrays` wrote; None about arrays that others wrote. Raises DamagedError where it is damaged."""
    with opened(path) as file:
        told = what_is_told(path, file)
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if told.digests and told.digests != (arrays_digest(arrays),):
        raise DamagedError(f"{path} is not what was written (its digest is another); restore it or delete it")
    return arrays, told.about


def read_about(path: Path) -> Any:
    """The JSON value alone; the arrays are not looked at. Raises DamagedError where it is damaged."""
    with opened(path) as file:
        return what_is_told(path, file).about


def _rows(arrays: Arrays) -> Iterator[Arrays]:
    for row in range(len(next(iter(arrays.values()), ()))):
        yield {name: np.asarray(array[row]) for name, array in arrays.items()}


def _digest(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()


def what_is_told(path: Path, file: safetensors.safe_open) -> Header:
    """What an opened file says of its arrays. Raises DamagedError where it is not what was written."""
    try:
        content = json.loads((file.metadata() or {}).get(ABOUT, "null"))
        if type(content) is not dict or not content.keys() & {ABOUT, DIGESTS}:  # one of them may have been damaged
            return Header(content)
        about, digests = content[ABOUT], content[DIGESTS]
        if digests[0] != _digest(about):
            raise DamagedError(f"{path}: what is said of its arrays is not what was written; restore it or delete it")
        return Header(about, tuple(digests[1:]))
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise DamagedError(f"{path}: what is said of its arrays is not JSON ({shown(error)}); restore it") from None


@contextlib.contextmanager
def opened(path: Path) -> Iterator[safetensors.safe_open]:
    """A safetensors file to read. Raises DamagedError, in which it says what stands in its place."""
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
    """What stands in the place of a safetensors file, and what to do about it."""
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
    """A fingerprint of their names, types and shapes and of every byte, 32 hexadecimal digits."""
    state = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        state.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        state.update(array.tobytes() if array.ndim == 0 else array.data)
    return state.hexdigest()
