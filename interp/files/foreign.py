"""Other people's weight files as plain data: torch files, pickles, safetensors, .npz. They are never trusted."""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import safetensors

from interp.errors import InterpError, shown
from interp.files.elements import TYPES, Storage, Type, numpy_elements
from interp.files.husks import STORAGE, Husk, Recorder, Refused
from interp.files.plain_values import PlainValues, stored_type

LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""A pickle of 0x1950a86a20f9469cfc6c."""

EXPECTED = "expected a torch file, a pickle, safetensors or .npz"

SAFETENSORS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    **{f"I{bits}": f"int{bits}" for bits in (64, 32, 16, 8)},
    **{f"U{bits}": f"uint{bits}" for bits in (64, 32, 16, 8)},
    "BOOL": "bool",
    "C64": "complex64",
}


class ForeignFileError(InterpError):
    """A file of others that cannot be read, or should not be."""


def read(path: Path) -> Any:
    """The content of a weight file: dicts, lists, tuples, text, numbers, None, bytes, and arrays for tensors.

    The format is told by the content: torch.save's (zip and legacy), a plain pickle, safetensors, .npz, .npy. An array
    has its tensor's shape and type, bfloat16 widened to float32; tensors that share a storage share memory. Of what a
    training script puts beside the weights,

    - an object (a config, a namespace) is the dict of its attributes, a network saved whole its state dict;
    - a dict of any kind is a dict, a set, deque or list of any kind a list, a named tuple a tuple, an Enum its value;
    - a function or class, and torch's types and devices, are text: the name; torch's sizes are tuples;
    - a path is text, a date or time text as in ISO 8601 (without its zone);
    - any other object is what its class would be called with: a single argument, or the tuple of them.

    None of them is imported or run. What contains itself is cut there ("..."): the result has no cycles. Raises
    ForeignFileError where the file is missing or damaged, or would take far more memory than its size.
    """
    try:
        return _content(path)
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


def _content(path: Path) -> Any:
    data = _bytes(path)
    head = data[:1024]
    if pointer := lfs_pointer(head):
        raise Refused(pointer)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(data)
    if head[7:9] == b"\0{":
        return _safetensors(data)
    if head.startswith(LEGACY_MAGIC):
        return _legacy(data)
    if head.startswith(b"\x93NUMPY"):
        return _npy(data)
    if head[0] == 0x80 or (head[:1] in b"(]}cl" and data.endswith(b".")):
        return PlainValues(len(data), _no_storage, _nested).of(Recorder(io.BytesIO(data)).load())
    if _is_text(head):
        raise Refused(f"a text file, not weights; {EXPECTED}")
    raise Refused(f"not a kind of file that is read here (it begins with the bytes {head[:8].hex(' ')}); {EXPECTED}")


def _bytes(path: Path) -> bytes:
    try:
        kind = os.stat(path).st_mode
        if stat.S_ISDIR(kind):
            raise Refused("a folder; expected a file of weights")
        if not stat.S_ISREG(kind):
            raise Refused("not a regular file; expected a file of weights")
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise Refused("does not exist") from None
    except PermissionError:
        raise Refused("may not be read: permission denied") from None
    except (OSError, ValueError) as error:
        raise Refused(f"cannot be read: {shown(getattr(error, 'strerror', None) or error)}") from None
    if not data:
        raise Refused("empty; fetch it again")
    return data


def _is_text(head: bytes) -> bool:
    text = head.decode("utf-8", errors="replace").rstrip("\ufffd")  # the last character may be cut
    return all(character.isprintable() or character in "\t\n\r\f" for character in text) and "\ufffd" not in text


def _safetensors(data: bytes) -> dict[str, np.ndarray]:
    (header,) = struct.unpack("<Q", data[:8])
    if header > len(data) - 8:
        raise Refused(f"it is cut short (a header of {header:,} bytes in a file of {len(data):,}); fetch it again")
    arrays: dict[str, np.ndarray] = {}
    for name, tensor in safetensors.deserialize(data):
        kind = SAFETENSORS.get(str(tensor["dtype"]))
        if kind is None:
            raise Refused(f"tensor {shown(name)} is of type {shown(tensor['dtype'])}, which NumPy has not")
        raw = cast(bytearray, tensor["data"])
        arrays[name] = TYPES[kind].array(raw).reshape(cast("list[int]", tensor["shape"]))
    return arrays


def _npy(data: bytes) -> np.ndarray:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in headers:
        raise Refused(f"a .npy array of version {version}; save plain numbers")
    shape, fortran, dtype = headers[version](file)
    flat = numpy_elements(dtype, data[file.tell() :], shape)
    return flat.reshape(shape, order="F" if fortran else "C")


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
    if type(raw) is bytes and raw.startswith(LEGACY_MAGIC):
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
    """A zip file whose entries are stored, or small."""

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except zipfile.BadZipFile as error:
            raise Refused(f"it is cut short or damaged (zip: {shown(error)}); fetch it again") from None
        entries = self._zip.infolist()
        self.names = [entry.filename for entry in entries]
        for entry in entries:
            if entry.flag_bits & 1:
                raise Refused("an encrypted zip file; expected weights")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise Refused("a zip file compressed in a way no weights are; save it again without compression")
        total, limit = sum(entry.file_size for entry in entries), 16 * 2**20 + 4 * len(data)
        if total > limit:
            raise Refused(f"its {len(data):,} bytes unpack to {total:,}, more than weights do; not unpacked")

    def read(self, name: str) -> bytes:
        size = self._zip.getinfo(name).file_size
        with self._zip.open(name) as entry:
            read = entry.read(size)  # asked for without a size, zipfile unpacks all that is there
        if len(read) < size:
            raise EOFError
        return read


def _zip(data: bytes) -> Any:
    archive = _Archive(data)
    pickles = [name for name in archive.names if name.count("/") <= 1 and name.rpartition("/")[2] == "data.pkl"]
    if len(pickles) == 1:
        return _torch_zip(archive, pickles[0])
    if archive.names and all(name.endswith(".npy") for name in archive.names):
        return {name.removesuffix(".npy"): _npy(archive.read(name)) for name in archive.names}
    raise Refused(f"a zip file that is neither torch's (no data.pkl) nor NumPy's (not all .npy); {EXPECTED}")


def _torch_zip(archive: _Archive, pickled: str) -> Any:
    root, names = pickled.removesuffix("data.pkl"), set(archive.names)
    swapped = f"{root}byteorder" in names and archive.read(f"{root}byteorder") == b"big"
    storages: dict[str, Storage] = {}

    def storage(key: str, kind: Type, numel: int) -> Storage:
        if key not in storages:
            name = f"{root}data/{key}"
            if name not in names:
                raise Refused(f"storage {shown(key)} is missing; it is damaged")
            raw, needed = archive.read(name), numel * kind.stored.itemsize
            if len(raw) < needed:
                raise Refused(f"storage {shown(key)} holds {len(raw):,} bytes, its tensors need {needed:,}")
            storages[key] = Storage(key, kind, kind.array(raw[:needed], swapped))
        return storages[key]

    data = archive.read(pickled)
    return PlainValues(len(data), storage, _nested).of(Recorder(io.BytesIO(data)).load())
