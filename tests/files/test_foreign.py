"""What other people saved comes back as plain values, and what cannot be read is told in one line."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import datetime
import enum
import functools
import io
import math
import os
import pickle
import re
import struct
import sys
import zoneinfo
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.files import foreign
from interp.files.foreign import ForeignFileError
from tests.files.foreign_files import (
    LEGACY,
    assert_same,
    quick,
    refusal,
    saved,
    tensor,
    torch_zip,
)

MEGABYTE = 2**20
ROOT = Path(__file__).parents[2]

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


@pytest.mark.slow
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
    for name, parameter in network.state_dict().items():
        assert_same(found["model"][name], parameter)


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
    path = write(b"x")
    monkeypatch.setattr(Path, "open", lambda *_: (_ for _ in ()).throw(PermissionError(13, "denied")))
    assert "permission denied" in refusal(path)


def test_a_cut_torch_file_is_told_so(write):
    for options in ({}, LEGACY):
        data = saved({"weights": torch.zeros(100)}, **options)
        assert "cut short" in refusal(write(data[: len(data) - 100]))


def test_names_from_files_are_told_printable(write):
    making = b"\x80\x04\x8c\x0ctorch._utils\x8c\x10_rebuild\x1b[2\nsys\n\x93)R."
    assert "_rebuild?[2?sys?" in refusal(write(making))
