"""Files of others as tests write them, torch's own code unasked, and what reading one may end in."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

import numpy as np
import torch
from hypothesis import HealthCheck, settings

from interp.files import foreign
from interp.files.foreign import ForeignFileError

quick = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def saved(value, **options):
    """The bytes that torch.save writes."""
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


LEGACY = {"_use_new_zipfile_serialization": False}


def assert_same(found, expected):
    """`found` is what torch or pickle would read, as plain data."""
    if isinstance(expected, torch.Tensor):
        expected = expected.detach()
        expected = (expected.float() if expected.dtype == torch.bfloat16 else expected).numpy()
    if isinstance(expected, np.ndarray):
        assert type(found) is np.ndarray
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert np.array_equal(found, expected, equal_nan=found.dtype.kind in "fc")
    elif isinstance(expected, dict):
        assert type(found) is dict
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, set | frozenset):
        assert_same(found, list(found))
        assert {*found} == expected
    elif isinstance(expected, list | tuple):
        assert type(found) is (list if isinstance(expected, list) else tuple)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        assert type(found) is type(expected)
        assert found == expected or found != found


def assert_plain(value):
    waiting, seen = [value], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            assert type(value) in (dict, list, tuple)
            waiting += [*value, *value.values()] if isinstance(value, dict) else value
        elif not isinstance(value, dict | list | tuple):
            assert type(value) in (str, int, float, complex, bool, bytes, type(None), np.ndarray)
            if isinstance(value, np.ndarray):
                assert not value.dtype.hasobject
                value.sum() if value.dtype.kind in "iufc" else value.tolist()


def outcome(path):
    """The value read, asserted to be plain, or the message, asserted to be one line, short and printable."""
    try:
        value = foreign.read(path)
    except ForeignFileError as error:
        message = str(error)
        assert message.startswith(f"{path}: ")
        assert message.isprintable()
        assert len(message) < len(str(path)) + 600
        return message
    assert_plain(value)
    return value


def refusal(path):
    message = outcome(path)
    assert refused(message, path), "it was read"
    return message.removeprefix(f"{path}: ")


def refused(found, path):
    """Whether an outcome is a message, rather than text that was read."""
    return isinstance(found, str) and found.startswith(f"{path}: ")


class Named:
    """Pickled as a global of this name, called with these arguments where there are any."""

    def __init__(self, name, *arguments):
        self.name, self.arguments = name, arguments


class Persistent:
    def __init__(self, *pid):
        self.pid = pid


class Pickler(pickle._Pickler):
    """Writes `Named` and `Persistent` without importing anything."""

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Named):
            module, _, name = obj.name.rpartition(".")
            self.write(b"c" + module.encode() + b"\n" + name.encode() + b"\n")
            if obj.arguments:
                super().save(obj.arguments)
                self.write(b"R")
        elif isinstance(obj, Persistent):
            super().save(obj.pid)
            self.write(b"Q")
        else:
            super().save(obj, save_persistent_id)


def pickled(value, protocol=2):
    file = io.BytesIO()
    Pickler(file, protocol).dump(value)
    return file.getvalue()


def tensor(
    offset=0, size=(4,), stride=(1,), key="0", kind="torch.FloatStorage", numel=4, function="_rebuild_tensor_v2"
):
    own = Persistent("storage", Named(kind), key, "cpu", numel)
    return Named(f"torch._utils.{function}", own, offset, size, stride, False, None)


def torch_zip(value, storages=None, byteorder=b"little", compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", value if isinstance(value, bytes) else pickled(value))
        archive.writestr("archive/byteorder", byteorder)
        for key, content in ({"0": bytes(16)} if storages is None else storages).items():
            archive.writestr(f"archive/data/{key}", content)
    return file.getvalue()


def torch_legacy(value, storages=None):
    storages = {"0": (4, bytes(16))} if storages is None else storages
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, system)]
    contents = [struct.pack("<q", numel) + content for numel, content in storages.values()]
    own = value if isinstance(value, bytes) else pickled(value)
    return b"".join([*head, own, pickle.dumps(list(storages), 2), *contents])
