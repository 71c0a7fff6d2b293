"""Other people's weight files as plain data: torch's, pickles, safetensors, NumPy's, flax's. They are never trusted."""

from __future__ import annotations

import io
import math
import os
import re
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from interp.errors import InterpError, shown
from interp.files.elements import PIECE, Storage, Type, count, numpy_elements, zeros
from interp.files.flax_msgpack import flax_content, is_flax
from interp.files.husks import STORAGE, Husk, Recorder, Refused
from interp.files.plain_values import PlainValues, stored_type
from interp.files.safetensors_header import Header, safetensors_header

LEGACY_MAGIC = re.compile(rb"\x80[\x02-\x05](\x95.{8})?\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19\.", re.DOTALL)
"""A pickle of 0x1950a86a20f9469cfc6c, of any protocol."""

EXPECTED = "expected a torch file, a pickle, safetensors, .npz or flax's msgpack"

HDF5 = b"\x89HDF\r\n\x1a\n"
SAVE_AGAIN = "save its weights as .npz or safetensors"
MAX_NPY_HEADER = 2**16
SMALL = 2**16
"""Bytes of an array that an outline has in full."""


class ForeignFileError(InterpError):
    """A file of others that cannot be read, or should not be."""


def read(path: Path) -> Any:
    """The content of a weight file: dicts, lists, tuples, text, numbers, None, bytes, and arrays for tensors.

    The format is told by the content: torch.save's (zip and legacy), a plain pickle, safetensors, .npz, .npy, flax's
    msgpack. An array has its tensor's shape and type, bfloat16 widened to float32; tensors that share a storage share
    memory, and the tensors of which safetensors kept one are there under both names. Of what a training script puts
    beside the weights,

    - an object (a config, a namespace) is the dict of its attributes, a network saved whole its state dict;
    - a dict of any kind is a dict, a set, deque or list of any kind a list, a named tuple a tuple, an Enum its value;
    - a function or class, and torch's types and devices, are text: the name; torch's sizes are tuples;
    - a path is text, a date or time text as in ISO 8601 (without its zone);
    - any other object is what its class would be called with: a single argument, or the tuple of them.

    None of them is imported or run. What contains itself is cut there ("..."): the result has no cycles. Raises
    ForeignFileError where the file is missing or damaged, or would take far more memory than its size.
    """
    return _read(path, math.inf)


def outline(path: Path, largest: int = SMALL) -> Any:
    """The content of a weight file as `read` gives it, but for its large arrays, whose numbers are not read.

    An array of more than `largest` bytes, 64 KiB, has its shape and type and is 0 throughout, without taking memory; so
    a folder of torch, safetensors or .npz files is looked through without reading its weights. (Others are read whole.)
    """
    return _read(path, largest)


class TensorsOneByOne(Mapping[str, np.ndarray]):
    """The tensors of a safetensors file, each read from it when it is asked for, and not kept.

    `path` may be a function that says where the file lies at each reading: it may have to be fetched again. `shapes`,
    `types`, `second_names` and `metadata` are told without reading any tensor. Raises ForeignFileError where it is no
    whole safetensors file.
    """

    def __init__(self, path: Path | Callable[[], Path]) -> None:
        self._path = path if callable(path) else lambda: path
        self._header = _told(self._path(), self._opened_header)
        self.metadata: dict[str, str] = self._header.metadata
        self.second_names = self._header.second_names
        """The names of tensors that were saved under another, and that other."""
        self.shapes = self._header.shapes()
        """The shape of each tensor, those of two names under both."""
        own = {name: tensor.type for name, tensor in self._header.tensors.items()}
        self.types = own | {name: own[first] for name, first in self.second_names.items()}
        """The type of each by torch's name for it: "bfloat16"."""

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.shapes:
            raise KeyError(name)
        path = self._path()
        return _told(path, lambda: self._tensor(path, self.second_names.get(name, name)))

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def _opened_header(self) -> Header:
        with _opened(self._path()) as file:
            head = file.read(1024)
            if head[7:9] != b"\0{":
                raise Refused(lfs_pointer(head) or "no safetensors file")
            return safetensors_header(file, os.fstat(file.fileno()).st_size)

    def _tensor(self, path: Path, name: str) -> np.ndarray:
        with _opened(path) as file:
            return self._header.read(file, name)


def is_safetensors(path: Path) -> bool:
    """Whether the file begins as a safetensors file does."""
    try:
        with _opened(path) as file:
            return file.read(9)[7:] == b"\0{"
    except (Refused, OSError):
        return False


def _read(path: Path, largest: float) -> Any:
    return _told(path, lambda: _content(path, largest))


def _told(path: Path, reading: Callable[[], Any]) -> Any:
    """What `reading` the file returns. Raises ForeignFileError, with the file's name, for whatever goes wrong."""
    try:
        return reading()
    except Refused as refused:
        reason = str(refused)
    except EOFError:
        reason = "it is cut short (it ends in the middle of its content); fetch it again"
    except MemoryError:
        reason = "it needs more memory than there is"
    except Exception as error:  # what damaged bytes make zipfile, pickle and NumPy raise has no end
        reason = f"it is damaged ({type(error).__name__}: {shown(error)}); fetch it again"
    raise ForeignFileError(f"{shown(path, 1000)}: {reason}")


def lfs_pointer(head: bytes) -> str | None:
    """What to say of a file that begins with `head`, where it is only a git-lfs pointer to the real one."""
    if not head.startswith(b"version https://git-lfs"):
        return None
    size = re.search(rb"\nsize (\d{1,15})\n", head)
    bytes_ = f" of {int(size[1]):,} bytes" if size else ""
    return f"a git-lfs pointer, not the file{bytes_} it stands for; fetch that with: git lfs pull"


def _content(path: Path, largest: float) -> Any:
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(1024)
        if not head:
            raise Refused("empty; fetch it again")
        if pointer := lfs_pointer(head):
            raise Refused(pointer)
        if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            return _zip(file, size, largest)
        if head[7:9] == b"\0{":
            header = safetensors_header(file, size)
            return header.with_second_names({name: header.read(file, name, largest) for name in header.tensors})
        if head.startswith(HDF5):
            raise Refused(f"an HDF5 file, such as Keras writes, which is not read here; {SAVE_AGAIN}")
        data = head + file.read()
    if LEGACY_MAGIC.match(data):
        return _legacy(data)
    if data.startswith(b"\x93NUMPY"):
        return _npy(data)
    if data[0] == 0x80 or (data[:1] in b"(]}cl" and data.endswith(b".")):
        return PlainValues(len(data), _no_storage, _nested).of(Recorder(io.BytesIO(data)).load())
    if is_flax(head):
        return flax_content(data)
    if _is_text(head):
        raise Refused(f"a text file, not weights; {EXPECTED}")
    raise Refused(f"not a kind of file that is read here (it begins with the bytes {head[:8].hex(' ')}); {EXPECTED}")


def _opened(path: Path) -> io.BufferedReader:
    try:
        kind = os.stat(path).st_mode
        if stat.S_ISDIR(kind):
            raise Refused("a folder; expected a file of weights")
        if not stat.S_ISREG(kind):
            raise Refused("not a regular file; expected a file of weights")
        return Path(path).open("rb")
    except FileNotFoundError:
        raise Refused("does not exist") from None
    except PermissionError:
        raise Refused("may not be read: permission denied") from None
    except (OSError, ValueError) as error:
        raise Refused(f"cannot be read: {shown(getattr(error, 'strerror', None) or error)}") from None


def _is_text(head: bytes) -> bool:
    text = head.decode("utf-8", errors="replace").rstrip("\ufffd")  # the last character may be cut
    return all(character.isprintable() or character in "\t\n\r\f" for character in text) and "\ufffd" not in text


def _npy(data: bytes | bytearray) -> Any:
    shape, fortran, dtype, start = _npy_header(data)
    if dtype.hasobject and data[start : start + 1] == b"\x80":
        return _objects(bytes(data[start:]), shape)
    flat = numpy_elements(dtype, data[start:], shape)
    return flat.reshape(shape, order="F" if fortran else "C")


def _objects(pickled: bytes, shape: tuple[int, ...]) -> Any:
    """What NumPy pickled because it is no number: the list of it, or the one thing that was not in a list."""
    found = PlainValues(len(pickled), _no_storage, _nested).of(Recorder(io.BytesIO(pickled)).load())
    return found[0] if shape == () and type(found) is list and len(found) == 1 else found


def _npy_header(data: bytes | bytearray) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, whether columns come first, type, and where the elements begin."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in headers:
        raise Refused(f"a .npy array of version {version}; save plain numbers")
    return *headers[version](file), file.tell()


def _legacy(data: bytes) -> Any:
    """torch.save before 1.6: magic number, version, system, object, keys of the storages, their contents."""
    recorded, storages = _recorded_legacy(data)

    def storage(key: str, *_: Any) -> Storage:
        return storages[key]

    return PlainValues(len(data), storage, _nested).of(recorded)


def _recorded_legacy(data: bytes) -> tuple[Any, dict[str, Storage]]:
    file = io.BytesIO(data)
    Recorder(file).load()
    version, system = Recorder(file).load(), Recorder(file).load()
    if version != 1001 or type(system) is not Husk:
        raise Refused(f"a legacy torch file of version {shown(version)}; expected 1001")
    pairs = system.pairs or []
    swapped = dict(zip(pairs[::2], pairs[1::2], strict=True)).get("little_endian") is False
    recorder = Recorder(file)
    recorded = recorder.load()
    told = {key: (kind, numel) for key, kind, numel in map(stored_type, recorder.storages)}
    keys = Recorder(file).load()
    if type(keys) is not list or not all(type(key) is str for key in keys) or set(keys) != told.keys():
        raise Refused("its list of storages does not fit its tensors; it is damaged")
    storages = {}
    for key in keys:
        kind, expected = told[key]
        (numel,) = struct.unpack(">q" if swapped else "<q", _exactly(file, 8))
        if numel != expected:
            raise Refused(f"storage {shown(key)} holds {numel:,} elements, its tensors say {expected:,}")
        storages[key] = Storage(key, kind, kind.array(_exactly(file, numel * kind.stored.itemsize), swapped))
    return recorded, storages


def _nested(raw: Any) -> Storage:
    """The storage that a tensor pickled without torch.save holds: a legacy file within the pickle."""
    if type(raw) is bytes and LEGACY_MAGIC.match(raw):
        recorded, storages = _recorded_legacy(raw)
        if type(recorded) is Husk and recorded.name == STORAGE:
            return storages[stored_type(recorded)[0]]
    raise Refused("a tensor without a storage; it is damaged")


def _no_storage(*_: Any) -> NoReturn:
    raise Refused("a pickle that refers to storages outside it; expected a whole torch file")


def _exactly(file: io.BytesIO, size: int) -> bytes:
    read = file.read(size)
    if len(read) < size:
        raise EOFError
    return read


class _Archive:
    """A zip file whose entries are stored, or small; each is read from the file when it is asked for."""

    def __init__(self, file: io.BufferedReader, size: int) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
        except zipfile.BadZipFile as error:
            raise Refused(f"it is cut short or damaged (zip: {shown(error)}); fetch it again") from None
        entries = self._zip.infolist()
        self.names = [entry.filename for entry in entries]
        for entry in entries:
            if entry.flag_bits & 1:
                raise Refused("an encrypted zip file; expected weights")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise Refused("a zip file compressed in a way no weights are; save it again without compression")
        total, limit = sum(entry.file_size for entry in entries), 16 * 2**20 + 4 * size
        if total > limit:
            raise Refused(f"its {size:,} bytes unpack to {total:,}, more than weights do; not unpacked")

    def size(self, name: str) -> int:
        return self._zip.getinfo(name).file_size

    def read(self, name: str, size: int | None = None) -> bytearray:
        """The entry, or its first `size` bytes, in memory of its own and without a second copy."""
        read = bytearray(min(self.size(name), self.size(name) if size is None else size))
        view, filled = memoryview(read), 0
        with self._zip.open(name) as entry:
            while filled < len(read):
                piece = entry.read(min(PIECE, len(read) - filled))
                if not piece:
                    raise EOFError
                view[filled : filled + len(piece)] = piece
                filled += len(piece)
        return read


def _zip(file: io.BufferedReader, size: int, largest: float) -> Any:
    archive = _Archive(file, size)
    pickles = [name for name in archive.names if name.count("/") <= 1 and name.rpartition("/")[2] == "data.pkl"]
    if len(pickles) == 1:
        return _torch_zip(archive, pickles[0], largest)
    if archive.names and all(name.endswith(".npy") for name in archive.names):
        return {name.removesuffix(".npy"): _npy_entry(archive, name, largest) for name in archive.names}
    if any(name.endswith(".weights.h5") for name in archive.names):
        raise Refused(f"a Keras file, which is not read here; {SAVE_AGAIN}")
    raise Refused(f"a zip file that is neither torch's (no data.pkl) nor NumPy's (not all .npy); {EXPECTED}")


def _npy_entry(archive: _Archive, name: str, largest: float) -> Any:
    if archive.size(name) <= largest:
        return _npy(archive.read(name))
    shape, _, dtype, _ = _npy_header(archive.read(name, MAX_NPY_HEADER))
    if dtype.hasobject:
        return _npy(archive.read(name))
    if count(shape) * dtype.itemsize > archive.size(name):
        raise Refused(f"an array of shape {shown(shape)} and type {shown(dtype)} that its bytes cannot hold")
    return zeros(dtype.newbyteorder("="), shape)


def _torch_zip(archive: _Archive, pickled: str, largest: float) -> Any:
    root, names = pickled.removesuffix("data.pkl"), set(archive.names)
    swapped = f"{root}byteorder" in names and archive.read(f"{root}byteorder") == b"big"
    storages: dict[str, Storage] = {}

    def storage(key: str, kind: Type, numel: int) -> Storage:
        if key not in storages:
            name = f"{root}data/{key}"
            if name not in names:
                raise Refused(f"storage {shown(key)} is missing; it is damaged")
            needed = numel * kind.stored.itemsize
            if archive.size(name) < needed:
                raise Refused(f"storage {shown(key)} holds {archive.size(name):,} bytes, its tensors need {needed:,}")
            if needed > largest:
                values = zeros(kind.array(b"").dtype, (numel,))
            else:
                values = kind.array(archive.read(name, needed), swapped)
            storages[key] = Storage(key, kind, values)
        return storages[key]

    data = archive.read(pickled)
    return PlainValues(len(data), storage, _nested).of(Recorder(io.BytesIO(data)).load())
