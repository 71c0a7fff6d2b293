"""Whatever stands in a file, reading it ends in a value or in one line, runs nothing, and takes little memory."""

from __future__ import annotations

import argparse
import builtins
import collections
import copy
import copyreg
import dataclasses
import datetime
import enum
import functools
import io
import json
import math
import os
import pickle
import random
import re
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zoneinfo
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interp.errors import InterpError
from interp.files import foreign
from interp.files.arrays import read_about, read_arrays
from interp.files.checkpoint_blocks import INDEX as INDEX_FILE
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.files.foreign import ForeignFileError
from interp.recipes import analysis_recipe, run_recipe
from interp.recipes.document import dump_yaml, parse_value

ROOT = Path(__file__).parents[2]
MEGABYTE = 2**20

quick = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def canary(tmp_path):
    """A file that appears where something in a file was run."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


@pytest.fixture
def write(tmp_path):
    def write(content, name="weights"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


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


# What is read.

DTYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
DTYPES += ["complex64", "complex128", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("options", [{}, LEGACY], ids=["zip", "legacy"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_of_every_type_come_back(write, dtype, options):
    matrix = torch.arange(6).to(getattr(torch, dtype)).reshape(2, 3)
    tensors = {
        "matrix": matrix,
        "transposed": matrix.T,
        "part": matrix[1:, ::2],
        "number": torch.tensor(1, dtype=matrix.dtype),
        "empty": matrix[:, :0],
        "expanded": matrix[:, :1].expand(2, 5),
    }
    assert_same(foreign.read(write(saved(tensors, **options))), tensors)


@pytest.mark.parametrize("options", [{}, LEGACY], ids=["zip", "legacy"])
def test_a_training_checkpoint_comes_back(write, options):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimiser = torch.optim.AdamW(model.parameters())
    model(torch.ones(5, 3)).sum().backward()
    optimiser.step()
    content = {
        "model": model.state_dict(),
        "optimizer": optimiser.state_dict(),
        "weight": model[0].weight,
        "shape": model[0].weight.shape,
        "epoch": 3,
        "losses": [1.5, math.inf, 2**70, None, True, "größer", b"\xff"],
        (0, 1): {1: (2, ())},
    }
    found = foreign.read(write(saved(content, **options)))
    assert_same(found, {**content, "shape": (4, 3)})
    assert found["weight"].flags.writeable


def test_tensors_that_share_a_storage_share_memory(write):
    weight = torch.ones(3)
    found = foreign.read(write(saved({"a": weight, "b": weight[1:]})))
    found["a"][1] = 7
    assert found["b"][0] == 7


def test_devices_and_types_are_text(write):
    found = foreign.read(write(saved({"device": torch.device("cuda", 1), "dtype": torch.float32})))
    assert found == {"device": "cuda:1", "dtype": "torch.float32"}


@dataclasses.dataclass
class Config:
    p: int = 113
    device: torch.device = torch.device("cpu")  # noqa: RUF009
    layers: tuple = (1, 2)


@dataclasses.dataclass
class HookedTransformerConfig(Config):
    inner: Config = dataclasses.field(default_factory=Config)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_config_is_the_dict_of_its_attributes_and_its_class_is_not_needed(write, monkeypatch, protocol):
    for made in (Config, HookedTransformerConfig):
        made.__module__ = "some_training_script"
        module = type(sys)("some_training_script")
        setattr(module, made.__name__, made)
        monkeypatch.setitem(sys.modules, "some_training_script", module)
        monkeypatch.setattr(sys.modules["some_training_script"], "Config", Config, raising=False)
        content = pickle.dumps({"config": made(p=7), "zip": 1}, protocol)
        in_torch = saved({"config": made(p=7), "weights": torch.ones(2)})
        monkeypatch.delitem(sys.modules, "some_training_script")
        expected = {"p": 7, "device": "cpu", "layers": (1, 2)}
        if made is HookedTransformerConfig:
            expected["inner"] = {"p": 113, "device": "cpu", "layers": (1, 2)}
        for data in (content, in_torch):
            assert foreign.read(write(data))["config"] == expected
    assert "some_training_script" not in sys.modules


NUMPY = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    np.arange(4, dtype=">f4"),
    np.array([True, False]),
    np.array(["a", "größer"]),
    np.array([b"ab", b"c"]),
    np.zeros((0, 3)),
    np.array(2.5),
    np.array([1 + 2j]),
]


@pytest.mark.parametrize("protocol", range(6))
def test_numpy_arrays_and_numbers_in_pickles_come_back(write, protocol):
    found = foreign.read(write(pickle.dumps([*NUMPY, *NUMPY, np.float32(2.5), np.int64(-4), np.bool_(True)], protocol)))
    assert_same(found[-3:], [2.5, -4, True])
    assert_same(found[:-3], [array.astype(array.dtype.newbyteorder("=")) for array in (*NUMPY, *NUMPY)])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_numpy_archives_come_back(write, save):
    file = io.BytesIO()
    arrays = {str(number): array for number, array in enumerate(NUMPY)}
    save(file, **arrays)
    native = {name: array.astype(array.dtype.newbyteorder("=")) for name, array in arrays.items()}
    assert_same(foreign.read(write(file.getvalue())), native)


def test_safetensors_come_back(write):
    from safetensors.torch import save

    tensors = {dtype: torch.arange(6).to(getattr(torch, dtype)).reshape(2, 3) for dtype in DTYPES[:11]}
    found = foreign.read(write(save({**tensors, "empty": torch.zeros(0, 3), "number": torch.tensor(2.0)})))
    assert_same({name: found[name] for name in tensors}, tensors)
    assert_same([found["empty"], found["number"]], [torch.zeros(0, 3), torch.tensor(2.0)])


def test_a_file_written_on_a_big_endian_machine_is_read(write):
    data = torch_zip(tensor(), {"0": np.arange(4, dtype=">f4").tobytes()}, byteorder=b"big")
    assert_same(foreign.read(write(data)), np.arange(4, dtype=np.float32))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inside: (
        st.lists(inside)
        | st.lists(inside).map(tuple)
        | st.dictionaries(st.text() | st.integers(-(2**63), 2**63) | st.tuples(st.text(), st.booleans()), inside)
    ),
    max_leaves=20,
)


@quick
@given(value=PLAIN, protocol=st.integers(0, 5))
def test_plain_values_come_back(write, value, protocol):
    assert_same(foreign.read(write(pickle.dumps([value], protocol))), [value])


def test_published_networks_are_as_torch_reads_them(reference):
    paths = [path for path in reference.rglob("*.pt*") if path.suffix in (".pt", ".pth")]
    assert {path.relative_to(reference).parts[0] for path in paths} >= {"pizza", "progress_measures", "rep_theory"}
    for path in paths:
        assert_same(foreign.read(path), torch.load(path, map_location="cpu", weights_only=True))


# What training scripts put beside the weights.


class Colour(enum.Enum):
    RED = 3


class Point(NamedTuple):
    x: int
    y: float


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self):
        self.a, self.b = 1, "x"


class Names(dict):
    pass


class Many(list):
    pass


class Parent:
    def __init__(self):
        self.child = Names(parent=self)


class Stated:
    def __getstate__(self):
        return [1, 2]

    def __setstate__(self, state):
        raise AssertionError


def some_function():
    raise AssertionError


BERLIN = datetime.timezone(datetime.timedelta(hours=2))
HERE = __name__
BESIDE = {
    "set": ({3}, [3]),
    "empty set": (set(), []),
    "frozenset": (frozenset({"a"}), ["a"]),
    "deque": (collections.deque([1, 2], 5), [1, 2]),
    "empty deque": (collections.deque(), []),
    "defaultdict": (collections.defaultdict(list, {"loss": [0.5]}), {"loss": [0.5]}),
    "empty defaultdict": (collections.defaultdict(list), {}),
    "OrderedDict": (collections.OrderedDict([("b", 1), ("a", 2)]), {"b": 1, "a": 2}),
    "empty OrderedDict": (collections.OrderedDict(), {}),
    "Counter": (collections.Counter("aab"), {"a": 2, "b": 1}),
    "dict of its own": (Names(a=1), {"a": 1}),
    "list of its own": (Many([1, 2]), [1, 2]),
    "date": (datetime.date(2024, 2, 29), "2024-02-29"),
    "time": (datetime.time(12, 30), "12:30:00"),
    "moment": (datetime.datetime(2024, 2, 29, 12, 30, 1, 5), "2024-02-29T12:30:01.000005"),
    "moment with a zone": (datetime.datetime(2024, 2, 29, 12, tzinfo=BERLIN), "2024-02-29T12:00:00"),
    "moment in UTC": (datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC), "2024-02-29T00:00:00"),
    "moment in a place": (
        datetime.datetime(2024, 2, 29, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        "2024-02-29T00:00:00",
    ),
    "duration": (datetime.timedelta(hours=1, microseconds=5), (0, 3600, 5)),
    "Enum": (Colour.RED, 3),
    "namedtuple": (Point(1, 2.5), (1, 2.5)),
    "path": (Path("runs") / "a", "runs/a"),
    "absolute path": (PurePosixPath("/runs/a"), "/runs/a"),
    "path of Windows": (PureWindowsPath("runs", "a"), "runs/a"),
    "function": (some_function, f"{HERE}.some_function"),
    "class": (Slotted, f"{HERE}.Slotted"),
    "type": (list, "builtins.list"),
    "complex": (1 + 2j, 1 + 2j),
    "bytearray": (bytearray(b"\xff"), b"\xff"),
    "Namespace": (argparse.Namespace(p=97, lr=0.1), {"p": 97, "lr": 0.1}),
    "object without attributes": (argparse.Namespace(), {}),
    "object with a state of its own": (Stated(), [1, 2]),
    "partial function": (functools.partial(some_function, 1), (f"{HERE}.some_function", (1,), {}, None)),
    "object in itself": (Parent(), {"child": {"parent": "..."}}),
    "array of objects": (np.array([Colour.RED, None]), [3, None]),
    "array of moments": (np.array(["2024-02-29"], "M8[D]"), "an array of type M8"),
    "type of NumPy": (np.dtype("f4"), "float32"),
    "size": (torch.Size([2, 3]), (2, 3)),
    "keys": ({Colour.RED: 1, Path("a"): 2, np.int64(5): 3, (Colour.RED, "x"): 4}, {3: 1, "a": 2, 5: 3, (3, "x"): 4}),
    "keys that are none": (
        {frozenset({1}): 1, frozenset({2}): 2},
        {"builtins.frozenset 0": 1, "builtins.frozenset 1": 2},
    ),
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_training_scripts_put_beside_the_weights_is_plain(write, name):
    value, expected = BESIDE[name]
    for protocol in range(6):
        assert_same(foreign.read(write(pickle.dumps([value, 1.5], protocol))), [expected, 1.5])
    for options in ({}, LEGACY):
        found = foreign.read(write(saved({"beside": value, "weights": torch.ones(2)}, **options)))
        assert_same(found, {"beside": expected, "weights": np.ones(2, np.float32)})


@pytest.mark.parametrize("protocol", range(2, 6))
def test_slots_and_named_arguments_are_attributes(write, protocol):
    assert_same(foreign.read(write(pickle.dumps([Slotted()], protocol))), [{"a": 1, "b": "x"}])


@pytest.mark.parametrize("options", [{}, LEGACY], ids=["zip", "legacy"])
def test_a_network_saved_whole_is_its_state_dict(write, options):
    inner = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    network = torch.nn.Sequential(inner, torch.nn.Linear(3, 1, bias=False))
    network.register_buffer("mask", torch.ones(2))
    network.register_buffer("left_out", torch.ones(2), persistent=False)
    found = foreign.read(write(saved({"model": network}, **options)))
    assert found["model"].keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert_same(found["model"][name], tensor)


@pytest.mark.parametrize("protocol", range(6))
def test_tensors_pickled_without_torch_come_back(write, protocol):
    weight = torch.arange(6.0).reshape(2, 3)
    tensors = {"weight": weight, "part": weight[1:, ::2], "other": torch.nn.Parameter(torch.ones(3))}
    found = foreign.read(write(pickle.dumps(tensors, protocol)))
    assert_same(found, tensors)


# What is told of files that are not weights.


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"p: 113\nseed: 0\n", "a text file, not weights"),
        ("größer\n".encode() * 200, "a text file, not weights"),
        (b"\x1f\x8b\x08" + bytes(40), "1f 8b 08"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 852341\n", "lfs pointer.*852,341.*lfs pull"),
        (b"PK\x03\x04" + bytes(100), "cut short or damaged"),
        (struct.pack("<Q", 2**40) + b"{" + bytes(20), "cut short"),
        (pickle.dumps([1.5] * 100)[:-20], "cut short"),
        (b"\x80\x02q\xff.", "damaged"),
    ],
)  # fmt: skip
def test_what_a_file_is_instead_is_told(write, content, told):
    assert re.search(told, refusal(write(content)))


def test_what_is_no_readable_file_is_told(tmp_path, write, monkeypatch):
    assert "does not exist" in refusal(tmp_path / "none")
    assert "a folder" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path / "pipe")
    assert "not a regular file" in refusal(Path("/dev/zero"))
    with pytest.raises(ForeignFileError, match="cannot be read"):
        foreign.read(Path("a\0b"))
    monkeypatch.setattr(Path, "read_bytes", lambda _: (_ for _ in ()).throw(PermissionError(13, "denied")))
    assert "permission denied" in refusal(write(b"x"))


def test_a_cut_torch_file_is_told_so(write):
    for options in ({}, LEGACY):
        data = saved({"weights": torch.zeros(100)}, **options)
        assert "cut short" in refusal(write(data[: len(data) - 100]))


def test_names_from_files_are_told_printable(write):
    making = b"\x80\x04\x8c\x0ctorch._utils\x8c\x10_rebuild\x1b[2\nsys\n\x93)R."
    assert "_rebuild?[2?sys?" in refusal(write(making))


# Files that lie about tensors.


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


def test_the_files_written_by_hand_here_are_read(write):
    assert_same(foreign.read(write(torch_zip(tensor()))), np.zeros(4, np.float32))
    assert_same(foreign.read(write(torch_legacy(tensor()))), np.zeros(4, np.float32))


LIES = {
    "beyond": ({"size": (5,)}, "storage 0 holds 16 bytes, the tensor needs 20"),
    "offset": ({"offset": 1}, "holds 16 bytes, the tensor needs 20"),
    "rows": ({"size": (2, 3), "stride": (3, 1)}, "the tensor needs 24"),
    "far": ({"size": (2, 2), "stride": (2**61, 1)}, "the tensor needs"),
    "huge": ({"size": (2**62,)}, "is not a shape"),
    "large": ({"size": (2**61,)}, "the tensor needs"),
    "product": ({"size": (2**40, 2**40), "stride": (0, 0)}, "repeats"),
    "expanded": ({"size": (2**25,), "stride": (0,)}, "repeats"),
    "empty": ({"size": (0, 2**61, 8), "stride": (1, 1, 1)}, "damaged"),
    "negative": ({"size": (-1,)}, "is not a shape"),
    "backwards": ({"stride": (-1,)}, "is not a shape"),
    "before": ({"offset": -1}, "damaged"),
    "strides": ({"stride": (1, 1)}, "damaged"),
    "float": ({"size": (1.5,)}, "is not a shape"),
    "truth": ({"size": (True,)}, "is not a shape"),
    "text": ({"size": "four"}, "is not a shape"),
    "axes": ({"size": (1,) * 40, "stride": (1,) * 40}, "is not a shape"),
    "numel": ({"numel": 5}, "storage 0 holds 16 bytes"),
    "many": ({"numel": 2**61}, "storage 0 holds 16 bytes"),
    "none": ({"numel": -1}, "no storage"),
    "name": ({"numel": "4"}, "no storage"),
    "missing": ({"key": "1"}, "storage 1 is missing"),
    "outside": ({"key": "../data.pkl"}, "missing"),
    "double": ({"kind": "torch.DoubleStorage"}, "holds 16 bytes"),
    "quantised": ({"kind": "torch.QInt8Storage"}, "QInt8Storage"),
    "function": ({"function": "_rebuild_qtensor"}, "_rebuild_qtensor"),
    "arguments": ({"function": "_rebuild_tensor"}, "damaged"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_tensor_lies_inside_its_storage(write, lie):
    options, told = LIES[lie]
    assert told in refusal(write(torch_zip(tensor(**options))))


def test_two_types_of_one_storage_are_refused(write):
    both = [tensor(), tensor(kind="torch.IntStorage")]
    assert "two types" in refusal(write(torch_zip(both)))


def test_tensors_expanded_within_bounds_are_read_and_take_no_memory(write):
    path = write(torch_zip([tensor(size=(1000, 4), stride=(0, 1)) for _ in range(100)]))
    tracemalloc.start()
    found = foreign.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [array.shape for array in found] == [(1000, 4)] * 100
    assert peak < MEGABYTE
    assert "repeats" in refusal(write(torch_zip([tensor(size=(2**20, 4), stride=(0, 1)) for _ in range(5)])))


@pytest.mark.parametrize(
    ("numel", "claimed", "told"),
    [(4, 5, "holds 5 elements"), (2**50, 2**50, "cut short"), (4, -1, "holds -1 elements"), (-4, 4, "no storage")],
)
def test_a_legacy_storage_is_as_long_as_it_says(write, numel, claimed, told):
    own = Persistent("storage", Named("torch.FloatStorage"), "0", "cpu", numel, None)
    value = Named("torch._utils._rebuild_tensor_v2", own, 0, (4,), (1,), False, None)
    assert told in refusal(write(torch_legacy(value, {"0": (claimed, bytes(16))})))


def npy(header, content=bytes(32), version=1):
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + content


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (5,)}", "needs 40 bytes, it has 32"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,)}", "needs 8,796,093,022,208 bytes"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (-4,)}", "is not a shape"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (9223372036854775807, 2)}", "is not a shape"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (4,)}", "expected numbers or text"),
        ("{'descr': '|V8', 'fortran_order': False, 'shape': (4,)}", "expected numbers or text"),
        ("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (4,)}", "expected numbers or text"),
        ("{'descr': '<U0', 'fortran_order': False, 'shape': (1099511627776,)}", "expected numbers or text"),
        ("{'descr': '(99999999,99999999)f8', 'fortran_order': False, 'shape': (4,)}", "damaged"),
        ("{'descr': __import__('os').system('touch canary'), 'fortran_order': False, 'shape': (4,)}", "damaged"),
        ("[" * 9000, "damaged"),
        ("{", "damaged"),
    ],
    ids=lambda text: text[:60],
)
def test_arrays_of_numpy_are_as_large_as_they_say(write, header, reason):
    for version in (1, 2):
        assert reason in refusal(write(npy(header, version=version)))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", npy(header))
    assert reason in refusal(write(file.getvalue()))


def test_text_that_is_no_text_is_refused(write):
    assert "no text" in refusal(write(npy("{'descr': '<U2', 'fortran_order': False, 'shape': (4,)}", b"\xff" * 32)))


# Pickles that would run something.


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def attacks(canary):
    """name -> a pickle that would run something, change something, or make Python crash."""
    touch, python = f"touch {canary}", f"open({str(canary)!r}, 'w')"
    words = pickle.dumps((touch,), 2)[2:-1]
    text = b"X" + struct.pack("<I", len(touch)) + touch.encode()
    system = b"cposix\nsystem\n"
    by_call = {
        "posix.system": Calls(os.system, touch),
        "eval": Calls(builtins.eval, python),
        "exec": Calls(builtins.exec, python),
        "open": Calls(builtins.open, str(canary), "w"),
        "getattr": Calls(builtins.getattr, Calls(builtins.__import__, "os"), "system"),
        "__import__": Calls(builtins.__import__, "os"),
        "subprocess.Popen": Calls(subprocess.Popen, ["touch", str(canary)]),
        "torch.hub.load": Calls(torch.hub.load, str(canary.parent), "x"),
        "torch.serialization.load": Calls(torch.load, str(canary)),
        "numpy.load": Calls(np.load, str(canary)),
        "functools.partial": Calls(functools.partial, os.system, touch),
        "pickle.loads": Calls(pickle.loads, b"cposix\nsystem\n."),
        "defaultdict": collections.defaultdict(functools.partial(os.system, touch), {}),
        "bytearray": bytearray(b"x"),
        "complex": 1j,
    }
    found = {}
    for name, value in by_call.items():
        for protocol in range(5):
            found[f"{name}-{protocol}"] = pickle.dumps(value, protocol)
    nested = {"model": {"weight": [1.0, (Calls(os.system, touch),)]}, "epoch": 3}
    found["nested"] = pickle.dumps(nested, 2)
    found["in an object array"] = pickle.dumps(np.array([Calls(os.system, touch)], dtype=object), 2)
    copyreg.add_extension("posix", "system", 0x70)
    try:
        raw = {
            "GLOBAL": system + words + b"R.",
            "STACK_GLOBAL": b"\x80\x04\x8c\x05posix\x8c\x06system\x93" + words + b"R.",
            "dotted": b"\x80\x04\x8c\x02os\x8c\x0bpath.sys.os\x93" + words + b"R.",
            "INST": b"(" + text + b"iposix\nsystem\n.",
            "OBJ": b"(" + system + text + b"o.",
            "NEWOBJ": b"\x80\x02" + system + words + b"\x81.",
            "NEWOBJ_EX": b"\x80\x04" + system + words + b"}\x92.",
            "never called": system + b"0N.",
            "in a Config": b"\x80\x02cx\nConfig\n)\x81}X\x01\x00\x00\x00a" + system + b"sb.",
            "BUILD of setstate": b"\x80\x02ccollections\nOrderedDict\n)R}X\x0c\x00\x00\x00__setstate__"
            + system
            + b"sb"
            + text
            + b"b.",
            "Config called": b"\x80\x02cx\nConfig\n" + words + b"R.",
            "Config's own": b"\x80\x02cx\nConfig\ncx\nConfig\n\x85R.",
            "list called": b"\x80\x02](K\x01e)R.",
            "text called": b"\x80\x02" + text + b")R.",
            "BUILD of a global": b"\x80\x02ccollections\nOrderedDict\n}b.",
            "BUILD of text": b"\x80\x02" + text + b"}b.",
            "BUILD of a tensor's maker": b"\x80\x02ctorch._utils\n_rebuild_tensor\n}X\x04\x00\x00\x00makeNsb.",
            "APPEND to a global": b"\x80\x02ccollections\nOrderedDict\nNa.",
            "SETITEM of a list": b"\x80\x02]K\x00Ns.",
            "PERSID": b"Pposix.system\n.",
            "BINPERSID": b"\x80\x02" + text + b"Q.",
            "BINPERSID of a module": pickled(Persistent("module", Named("torch.FloatStorage"), "0", "cpu", 4)),
            "a global by itself": b"\x80\x02cnumpy\nndarray\n.",
            "a storage by itself": pickled(Persistent("storage", Named("torch.FloatStorage"), "0", "cpu", 4)),
            "encode by another codec": pickled(Named("_codecs.encode", "x", "rot13")),
            "encode by import": pickled(Named("_codecs.encode", "x", "posix")),
            "an array's state twice": pickle.dumps(np.ones(3), 2)[:-1] + b"}b.",
        }
        raw["EXT1"] = b"\x80\x02\x82\x70" + words + b"R."
        raw["EXT2"] = b"\x80\x02\x83\x70\x00" + words + b"R."
        raw["EXT4"] = b"\x80\x02\x84\x70\x00\x00\x00" + words + b"R."
        yield from {**found, **raw}.items()
    finally:
        copyreg.remove_extension("posix", "system", 0x70)


REFUSED = {
    *("list called", "text called", "BUILD of a global", "BUILD of text", "BUILD of a tensor's maker", "PERSID"),
    *("APPEND to a global", "SETITEM of a list", "BINPERSID", "EXT1", "EXT2", "EXT4", "an array's state twice"),
}  # fmt: skip
"""What is no object of others, but damage."""


def beside(data):
    """The pickle of weights and of what `data` pickles."""
    weights = pickled(tensor())[2:-1]
    return b"\x80\x02}(X\x07\x00\x00\x00weights" + weights + b"X\x06\x00\x00\x00beside" + data[:-1] + b"u."


def test_nothing_in_a_pickle_is_run_and_the_weights_beside_it_are_right(write, canary):
    """The canary tells."""
    tried = 0
    for name, data in attacks(canary):
        for around in (torch_zip, torch_legacy):
            if name in REFUSED:
                assert refusal(write(around(beside(data)))), name
            elif name != "a storage by itself" or around is torch_zip:
                assert_same(outcome(write(around(beside(data))))["weights"], np.zeros(4, np.float32))
            outcome(write(around(data)))
            tried += 1
        outcome(write(data))
    assert tried > 200
    assert not canary.exists()


def test_the_attacks_do_run_where_a_pickle_is_unguarded(tmp_path):
    """They are attacks."""
    canary = tmp_path / "loose"
    for name in ("posix.system-2", "eval-2", "GLOBAL", "INST", "OBJ"):
        data = dict(attacks(canary))[name]
        pickle._loads(data)
        assert canary.exists(), name
        canary.unlink()


# Pickles that would take memory or time.


def text8(size):
    return b"\x8d" + struct.pack("<Q", size) + b"x"


def doubled(times, leaf=b"N", pair=b"\x86"):
    """A tuple of itself twice, and so on."""
    return b"\x80\x02" + leaf + b"".join(b"2" + pair for _ in range(times)) + b"."


def zip_of(entries, compression=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def overlapping():
    """A zip of 2,000 storages that are all the same bytes of the file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled([tensor(key=str(n), numel=2**18) for n in range(2000)]))
        archive.writestr("archive/data/0", bytes(MEGABYTE))
        whole = archive.getinfo("archive/data/0")
        for number in range(1, 2000):
            alias = zipfile.ZipInfo(f"archive/data/{number}")
            alias.header_offset, alias.CRC, alias.file_size, alias.compress_size = (
                whole.header_offset, whole.CRC, whole.file_size, whole.compress_size,
            )  # fmt: skip
            archive.filelist.append(alias)
            archive.NameToInfo[alias.filename] = alias
    return file.getvalue()


def lying_bomb():
    """A deflated entry that says it is short."""
    data = bytearray(zip_of({"archive/data.pkl": bytes(100 * MEGABYTE)}))
    real, short = struct.pack("<I", 100 * MEGABYTE), struct.pack("<I", 1000)
    return bytes(data.replace(real, short))


def attributes_often():
    """A thousand attributes, and one, of many objects."""
    many = b"}(" + b"".join(b"M" + struct.pack("<H", n) + b"N" for n in range(1000)) + b"uq\x00"
    return b"\x80\x02" + many + b"}K\x01Nsq\x01cx\ny\nq\x02(" + b"h\x02)Rh\x00h\x01\x86b" * 50_000 + b"l."


def amplified(before=b"", after=b""):
    """Half a megabyte of text, encoded again and again."""
    again = b"c_codecs\nencode\nh\x00h\x01\x86R" * 20_000
    return (
        b"\x80\x02X"
        + struct.pack("<I", 500_000)
        + b"x" * 500_000
        + b"q\x00X\x06\x00\x00\x00latin1q\x01"
        + before
        + again
        + after
        + b"."
    )


CONFIGS = b"h\x00\x8c\x06Config\x93" * 50_000

BOMBS = {
    "memo": lambda: b"\x80\x02Nr\xff\xff\xff\xff.",
    "memo by text": lambda: b"Np99999999999\n.",
    "long text": lambda: b"\x80\x04" + text8(2**62) + b".",
    "longer text": lambda: b"\x80\x04" + text8(2**63) + b".",
    "long bytes": lambda: b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.",
    "long bytearray": lambda: b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
    "long frame": lambda: b"\x80\x04\x95" + struct.pack("<Q", 2**50) + b"N.",
    "long number": lambda: b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"\x01.",
    "huge number": lambda: b"\x80\x02\x8b" + struct.pack("<i", 500_000) + b"\x7f" * 500_000 + b".",
    "marks": lambda: b"\x80\x02" + b"(" * 500_000 + b".",
    "dicts": lambda: b"\x80\x02" + b"}" * 500_000 + b".",
    "lists": lambda: b"\x80\x02" + b"]" * 500_000 + b".",
    "marked lists": lambda: b"\x80\x02" + b"(l" * 500_000 + b".",
    "memos": lambda: b"\x80\x04N" + b"\x94" * 500_000 + b".",
    "nested": lambda: b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",
    "tuples": lambda: b"\x80\x02)" + b"\x85" * 200_000 + b".",
    "a key of doubled tuples": lambda: b"\x80\x02}" + doubled(60)[2:-1] + b"Ns.",
    "a tuple of doubled keys": lambda: b"\x80\x02}(" + doubled(60)[2:-1] + b"Nu.",
    "dicts in a list": lambda: b"\x80\x02(" + b"}" * 500_000 + b"l.",
    "sets in a list": lambda: b"\x80\x04(" + b"\x8f" * 500_000 + b"l.",
    "marked tuples in a list": lambda: b"\x80\x04(" + b"(t" * 500_000 + b"l.",
    "objects in a list": lambda: b"\x80\x04(" + b"cx\ny\nq\x00" + b"h\x00)R" * 200_000 + b"l.",
    "arguments often": lambda: b"\x80\x04(" + b"N" * 100_000 + b"tq\x00cx\ny\nq\x01(" + b"h\x01h\x00R" * 50_000 + b"l.",
    "attributes often": attributes_often,
    "amplified": amplified,
    "amplified in a list": lambda: amplified(b"(", b"l"),
    "names": lambda: b"\x80\x04X" + struct.pack("<I", 500_000) + b"x" * 500_000 + b"q\x00" + CONFIGS + b".",
    "contains itself": lambda: b"\x80\x02]q\x00h\x00a.",
    "dict in itself": lambda: b"\x80\x02}q\x00K\x01h\x00s.",
    "tuple in itself": lambda: b"\x80\x02]q\x00h\x00\x85a.",
    "Config in itself": lambda: b"\x80\x02cx\nConfig\n)\x81q\x00}X\x01\x00\x00\x00ah\x00sb.",
    "deflated": lambda: torch_zip(tensor(), {"0": bytes(100 * MEGABYTE)}, compression=zipfile.ZIP_DEFLATED),
    "deflated numpy": lambda: zip_of({"a.npy": bytes(100 * MEGABYTE)}),
    "deflated and lying": lying_bomb,
    "lzma": lambda: zip_of({"a.npy": bytes(MEGABYTE)}, zipfile.ZIP_LZMA),
    "overlapping": overlapping,
    "safetensors": lambda: struct.pack("<Q", 2**62) + b'{"a": 1}',
}  # fmt: skip


def test_what_is_shared_many_times_is_only_shared(write):
    value = foreign.read(write(doubled(50)))
    for _ in range(50):
        assert value[0] is value[1]
        value = value[0]
    assert value is None


UNDER_A_LIMIT = """
import json, resource, sys, tracemalloc
from pathlib import Path
from interp.files import foreign
resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
for name in json.loads(sys.argv[2]):
    path = Path(sys.argv[1]) / name
    tracemalloc.start()
    try:
        foreign.read(path)
        told = "a value"
    except foreign.ForeignFileError as error:
        told = str(error)
    print(json.dumps([name, told, tracemalloc.get_traced_memory()[1]]))
    tracemalloc.stop()
"""


def test_memory_stays_within_a_small_multiple_of_the_file(tmp_path):
    """In a process of its own: where every call is type-checked, as here, millions of opcodes take minutes."""
    sizes = {name: (tmp_path / name).write_bytes(bomb()) for name, bomb in BOMBS.items()}
    command = [sys.executable, "-c", UNDER_A_LIMIT, str(tmp_path), json.dumps(list(sizes))]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [name for name, _, _ in found] == list(sizes)
    for name, told, peak in found:
        assert told.startswith(f"{tmp_path / name}: ") or told == "a value", told
        assert told.isprintable()
        assert len(told) < len(str(tmp_path)) + 600
        assert "more memory than there is" not in told
        assert peak < 64 * MEGABYTE + 50 * sizes[name], (name, peak)


# Damaged files.


def flipped(data, rng):
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :]


def cut(data, rng):
    return data[: rng.randrange(len(data))]


def overwritten(data, rng):
    place, extreme = rng.randrange(len(data)), rng.choice([b"\xff", b"\x00", b"\x7f", b"\x80"])
    return data[:place] + extreme * rng.choice([1, 2, 4, 8]) + data[place + 8 :]


def doubled_part(data, rng):
    start, stop = sorted((rng.randrange(len(data)), rng.randrange(len(data))))
    return data[:stop] + data[start:]


def swapped(data, rng):
    first, second = rng.randrange(len(data)), rng.randrange(len(data))
    changed = bytearray(data)
    changed[first : first + 4], changed[second : second + 4] = data[second : second + 4], data[first : first + 4]
    return bytes(changed)


DAMAGES = [flipped, cut, overwritten, doubled_part, swapped]


def whole_files():
    from safetensors.numpy import save

    state = {"embed.W_E": torch.ones(5, 4), "mask": torch.tensor([True]), "half": torch.ones(3, dtype=torch.bfloat16)}
    content = {"model": collections.OrderedDict(state), "epoch": 3, "losses": [1.0, 2.0], "array": np.arange(5.0)}
    npz, packed = io.BytesIO(), io.BytesIO()
    np.savez(npz, a=np.arange(4.0), b=np.array(["x"]))
    np.savez_compressed(packed, a=np.zeros(400), b=np.array(["x"]))
    data_pkl = zipfile.ZipFile(io.BytesIO(saved(content))).read("archive/data.pkl")
    config = b"\x80\x02cx\nConfig\n)\x81}X\x01\x00\x00\x00aK\x01sb."
    return {
        "zip": (saved(content), bytes),
        "pickle in a zip": (data_pkl, lambda data: torch_zip(data, {str(n): bytes(80) for n in range(4)})),
        "legacy": (saved(content, **LEGACY), bytes),
        "pickle": (pickle.dumps({"a": np.arange(9.0), "b": [np.float32(1), {"c": (1, 2.5, "x", None)}]}, 2), bytes),
        "new pickle": (pickle.dumps({"a": np.arange(9.0), "b": [np.float32(1), {"c": (1, 2.5, "x", None)}]}, 5), bytes),
        "config": (config, torch_zip),
        "safetensors": (save({"a": np.arange(6.0).reshape(2, 3), "b": np.zeros(4, np.int8)}, {"about": "[0]"}), bytes),
        "npz": (npz.getvalue(), bytes),
        "compressed npz": (packed.getvalue(), bytes),
    }


@pytest.mark.parametrize("kind", whole_files())
def test_a_damaged_file_ends_in_a_value_or_in_one_line(write, kind):
    data, around = whole_files()[kind]
    assert not isinstance(outcome(write(around(data))), str)
    rng = random.Random(kind)
    tracemalloc.start()
    for number in range(100):
        damaged = DAMAGES[number % len(DAMAGES)](data, rng)
        outcome(write(around(damaged)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * MEGABYTE


def test_a_zip_with_a_damaged_directory_gives_its_content_or_ends_in_one_line(write):
    content = {"a": torch.ones(5, 4)}
    data = saved(content)
    start = data.index(b"PK\x01\x02")
    rng = random.Random(0)
    refusals = 0
    for _ in range(100):
        path = write(data[:start] + DAMAGES[rng.randrange(len(DAMAGES))](data[start:], rng))
        found = outcome(path)
        if refused(found, path):
            refusals += 1
        else:
            assert_same(found, content)
    assert 0 < refusals < 100


@quick
@given(
    head=st.sampled_from([b"", b"\x80\x02", b"\x80\x04\x95", b"PK\x03\x04", b"(", b"\x93NUMPY\x01\x00"]),
    rest=st.binary(),
)
def test_any_bytes_end_in_a_value_or_in_one_line(write, head, rest):
    assert_as_python_reads(write(head + rest + b"."))


class Plain(pickle.Unpickler):
    """Python's own reading of a pickle that makes plain values alone."""

    def find_class(self, module, name):
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, pid):
        raise pickle.UnpicklingError(pid)


def assert_as_python_reads(path):
    """It ends in a value or in one line, and in Python's value where both have one."""
    found = outcome(path)
    try:
        expected = Plain(io.BytesIO(path.read_bytes())).load()
    except Exception:  # of no pickle, anything
        return
    if not refused(found, path):
        assert_same(found, expected)


OPCODES = [bytes([code]) for code in pickle._Unpickler.dispatch]
ARGUMENTS = [
    b"",
    b"\x00",
    b"\x01",
    b"\x04\x00\x00\x00",
    b"\xff" * 8,
    b"posix\nsystem\n",
    b"cx\nConfig\n",
    b"ctorch\nSize\n",
]
ARGUMENTS += [
    b"h\x00",
    b")",
    b"K\x02",
    b"N",
    b"]",
    b"}",
    b"(",
    b"X\x01\x00\x00\x00a",
    b"cnumpy\ndtype\n",
    b"ccollections\nOrderedDict\n",
]
ORDINARY = [b"K\x02", b"X\x01\x00\x00\x00a", *(bytes([code]) for code in b"]}()N\x88\x85\x86tldasue02")]


@quick
@given(parts=st.lists(st.sampled_from(OPCODES) | st.sampled_from(ARGUMENTS), max_size=40))
def test_any_program_of_a_pickle_ends_in_a_value_or_in_one_line(write, parts):
    assert_as_python_reads(write(b"\x80\x02" + b"".join(parts) + b"."))


@quick
@given(parts=st.lists(st.sampled_from(ORDINARY), max_size=12))
def test_any_program_of_plain_values_is_read_as_python_reads_it(write, parts):
    assert_as_python_reads(write(b"\x80\x02" + b"".join(parts) + b"."))


# Our own files.


def safetensors_file(header, content=b"12345678", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + content


def described(**changes):
    one = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}
    return {"x": one, "__metadata__": {"about": "[0]"}}


OWN_LIES = {
    "type": safetensors_file(described(dtype="Q7")),
    "type of others": safetensors_file(described(dtype="BF16", shape=[4])),
    "newer type": safetensors_file(described(dtype="F8_E4M3", shape=[8])),
    "half a byte": safetensors_file(described(dtype="F4", shape=[16])),
    "huge": safetensors_file(described(shape=[2**40])),
    "overflow": safetensors_file(described(shape=[2**63, 2])),
    "negative": safetensors_file(described(shape=[-2])),
    "outside": safetensors_file(described(data_offsets=[0, 800])),
    "backwards": safetensors_file(described(data_offsets=[8, 0])),
    "no axes": safetensors_file(described(shape=[], data_offsets=[0, 4]), b"1234"),
    "no rows": safetensors_file(described(shape=[0], data_offsets=[0, 0]), b""),
    "long header": safetensors_file(described(), length=2**60),
    "short header": safetensors_file(described(), length=5),
    "deep header": safetensors_file(b'{"x":' + b"[" * 100_000),
    "about is a number": safetensors_file({**described(), "__metadata__": {"about": 3}}),
    "about is deep": safetensors_file({**described(), "__metadata__": {"about": "[" * 100_000}}),
    "about is long": safetensors_file({**described(), "__metadata__": {"about": json.dumps([7] * 10_000)}}),
    "overlapping": safetensors_file({**described(), "y": described(data_offsets=[4, 12])["x"]}, b"123456781234"),
    "empty": b"",
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 852341\n",
}
INDEX = '{"format": 1, "files": {"a.safetensors": [0]}}'


def assert_one_line(error, limit=800):
    message = str(error)
    assert message.isprintable()
    assert len(message) < limit


@pytest.mark.parametrize("lie", OWN_LIES)
def test_a_lying_file_of_checkpoints_is_told_in_one_line(tmp_path, lie):
    (tmp_path / "a.safetensors").write_bytes(OWN_LIES[lie])
    (tmp_path / INDEX_FILE).write_text(INDEX)
    with pytest.raises(InterpError, match=r"a\.safetensors") as refused:
        CheckpointBlocks(tmp_path).load(0)
    assert_one_line(refused.value)
    for read in (read_arrays, read_about):
        try:
            read(tmp_path / "a.safetensors")
        except InterpError as error:
            assert_one_line(error)


def test_a_pointer_in_the_place_of_weights_is_told_so(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(OWN_LIES["pointer"])
    with pytest.raises(InterpError, match=r"git-lfs pointer.*852,341.*git lfs pull"):
        read_arrays(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "files",
    [
        *('{"a.safetensors": [1e400]}', '{"a.safetensors": [NaN]}', '{"a.safetensors": [true]}'),
        *('{"a.safetensors": [-4]}', '{"a.safetensors": "123"}', '{"a.safetensors": {"0": 1}}'),
        '{"a.safetensors": [[0]]}',
        *('{"../a.safetensors": [0]}', '{"/tmp/a.safetensors": [0]}', '{"": [0]}', '{".": [0]}', '{"a\\u0000": [0]}'),
        *("[" * 100_000, "3", "null", "[]", '"' + "x" * 10_000, '{"a.safetensors": [' + "9" * 5000 + "]}"),
    ],
)  # fmt: skip
def test_an_index_of_wrong_content_is_told_in_one_line(tmp_path, files):
    (tmp_path / INDEX_FILE).write_text(f'{{"format": 1, "files": {files}}}')
    with pytest.raises(InterpError, match=r"index\.json") as refused:
        CheckpointBlocks(tmp_path)
    assert_one_line(refused.value)


def test_a_damaged_file_of_checkpoints_ends_in_a_value_or_in_one_line(tmp_path):
    store = CheckpointBlocks(tmp_path)
    store.save(0, {"w": np.arange(6.0).reshape(2, 3), "b": np.zeros(2, np.float32)})
    (name,) = (path.name for path in tmp_path.glob("*.safetensors"))
    rng = random.Random(0)
    for place in (name, INDEX_FILE):
        data = (tmp_path / place).read_bytes()
        for number in range(60):
            (tmp_path / place).write_bytes(DAMAGES[number % len(DAMAGES)](data, rng))
            try:
                damaged = CheckpointBlocks(tmp_path)
                for step in damaged.steps:
                    damaged.load(step)
            except InterpError as error:
                assert_one_line(error)
        (tmp_path / place).write_bytes(data)


# Recipes and analyses.

RECIPES = sorted(ROOT.glob("checkpoints/*/run.yaml"))
ANALYSIS = ROOT / "analyses" / "fourier.yaml"


def read_text(path, text):
    """What a recipe or an analysis of this text is: a value, or lines, asserted to name the file and to be short."""
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    try:
        return (analysis_recipe if "analysis" in path.name else run_recipe).read(path)
    except InterpError as error:
        for line in str(error).split("\n"):
            assert line.startswith(str(path)), line
            assert_one_line(line, len(str(path)) + 600)
        return str(error)


VALUES = [
    *(None, True, -1, 0, 0.5, 10**9, 10**12, 2**63, 2**64 - 1, 1e300, math.inf, -math.inf, math.nan, ""),
    *("x", "x" * 5000),
    *("\x1b[31m\x07", "a\nb\u2028c", "\u202e", "$HOME", "$NOT_THERE_AT_ALL", "~/x", "*", "\x00", "all", "1:2:3"),
    *([], {}, [[]], [{}], [None] * 3, {"a": None}, {1: 2}, {None: 3}, {"every": 10**12}),
    *({"log": 10**9}, {"dense": ["0:9:1"]}),
    *({"every": 1, "log": None}, {"count": 2.5}, ["x", 3], {"path": 3}, {"adamw": {"lr": 0}}),
    {"adamw": {"betas": [1, 2]}},
]  # fmt: skip


def places(value, place=()):
    """Every path into nested dicts and lists."""
    yield place
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(part, (*place, key))


def replaced(content, rng):
    """`content` with one or two of its parts replaced, removed or named differently."""
    content = copy.deepcopy(content)
    for _ in range(rng.choice([1, 1, 2])):
        path = rng.choice([path for path in places(content) if path] or [("x",)])
        parent = functools.reduce(lambda value, key: value[key], path[:-1], content)
        kind = rng.randrange(4)
        if kind == 0:
            del parent[path[-1]]
        elif kind == 1 and isinstance(parent, dict):
            parent[rng.choice(["lr", "path", "every", "seed", "x" * 200, "\x1b", 3])] = parent.pop(path[-1])
        else:
            parent[path[-1]] = rng.choice(VALUES)
    return content


PIECES = [
    *(
        "",
        "\t",
        ":",
        "{",
        "}",
        "[",
        "]",
        "-",
        "&a ",
        "*a",
        "!!int ",
        "!!timestamp ",
        "!!binary ",
        "|",
        "'",
        '"',
        "\n",
        "#",
    ),
    *("\x00", "\x1b", "\udcff", "\u2028", "9" * 30, "e", "?", "%", "@", "<<: ", "~"),
]


def damaged_text(text, rng):
    place = rng.randrange(len(text))
    piece = rng.choice(PIECES)
    return text[:place] + piece + text[place + rng.randrange(3) :]


@pytest.mark.parametrize("path", [*RECIPES, ANALYSIS], ids=lambda path: path.parent.name)
def test_a_mangled_recipe_or_analysis_is_valid_or_ends_in_lines(tmp_path, path):
    name = "analysis.yaml" if path == ANALYSIS else "run.yaml"
    text = path.read_text().replace("p: 113", "p: 13")
    content = parse_value(text)
    rng = random.Random(path.parent.name)
    mangled = [damaged_text(text, rng) for _ in range(50)]
    mangled += [dump_yaml(replaced(content, rng)) for _ in range(50)]
    found = {type(read_text(tmp_path / name, one)) for one in mangled}
    assert found == {str, analysis_recipe.Analysis if path == ANALYSIS else run_recipe.Recipe}


SIZES = {
    "p": "task: {modular_arithmetic: {p: 1000000000}}",
    "small p": "task: {modular_arithmetic: {p: 2001}}",
    "d_model": "model: {transformer: {d_model: 1000000000000}}",
    "n_layers": "model: {transformer: {n_layers: 1000000000000}}",
    "d_mlp": "model: {mlp: {d_mlp: 1000000000000}}",
    "steps": "training: {steps: 1000000000000, save: {every: 1}}",
    "log": "training: {steps: 100, save: {log: 1000000000000}}",
    "dense": "training: {steps: 1000000000000, save: {dense: ['0:1000000000000:1']}}",
    "hexadecimal": f"training: {{steps: 0x{'f' * 9000}}}",
    "base 60": f"training: {{steps: 1{':59' * 3000}}}",
    "digits": f"training: {{steps: {'9' * 9000}}}",
}


@pytest.mark.parametrize("size", SIZES)
def test_a_size_no_run_has_is_refused_with_its_line(tmp_path, size):
    parts = {
        "task": "task: {modular_arithmetic: {p: 7}}",
        "model": "model: {transformer: {d_model: 8, n_heads: 2}}",
        "training": "training: {steps: 10}",
    }
    parts[SIZES[size].partition(":")[0]] = SIZES[size]
    tracemalloc.start()
    message = read_text(tmp_path / "run.yaml", "\n".join(parts.values()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    line = list(parts.values()).index(SIZES[size]) + 1
    assert isinstance(message, str)
    assert message.startswith(f"{tmp_path / 'run.yaml'}:{line}: ") or "digits" in message
    assert peak < 32 * MEGABYTE


LAUGHS = "a: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
YAML_BOMBS = {
    "aliases": LAUGHS,
    "merges": "a: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40)),
    "long text by aliases": f"a: &a {'x' * 50_000}\nb: [{'*a, ' * 5000}]\n",
    "contains itself": "task: &a {b: *a}\n",
    "nested": "a: " + "[" * 400 + "]" * 400,
    "nested names": "a: " + "{b: " * 300 + "}" * 300,
    "nested by aliases": "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 2000)),
    "long": "a: 1\n" * 100_000,
    "many names": "".join(f"a{n}: 1\n" for n in range(1000)),
    "one name often": "a: 1\n" * 1500,
    "no time": "a: !!timestamp x",
    "no number": "a: !!int ''",
    "no truth": "a: !!bool perhaps",
    "a day 99": "a: 2001-99-99",
    "before all time": "a: 0001-01-01 00:00:00 +23:00",
    "a key of a list": "{? [1, 2] : 3}",
    "a key of names": "{? {a: 1} : 3}",
    "base 60": "a: 1" + ":1" * 2000 + ".5",
}


@pytest.mark.parametrize("bomb", YAML_BOMBS)
def test_yaml_made_to_take_time_or_memory_is_refused(tmp_path, bomb):
    for name in ("run.yaml", "analysis.yaml"):
        tracemalloc.start()
        message = read_text(tmp_path / name, YAML_BOMBS[bomb])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert isinstance(message, str)
        assert message.count("\n") <= 50
        assert peak < 100 * MEGABYTE
