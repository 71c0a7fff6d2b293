"""Damaged files of others, and any bytes at all, end in a value or in one line."""

from __future__ import annotations

import collections
import io
import pickle
import random
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.damage import DAMAGES
from tests.files.foreign_files import (
    LEGACY,
    assert_same,
    outcome,
    quick,
    refused,
    saved,
    torch_zip,
)

pytestmark = pytest.mark.slow

MEGABYTE = 2**20
ROOT = Path(__file__).parents[2]


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
