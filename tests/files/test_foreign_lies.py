"""Files that lie, attack or swell end in a value or in one line, run nothing, and take little memory."""

from __future__ import annotations

import builtins
import collections
import copyreg
import functools
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from interp.files import foreign
from tests.files.foreign_files import (
    Named,
    Persistent,
    assert_same,
    outcome,
    pickled,
    refusal,
    tensor,
    torch_legacy,
    torch_zip,
)

MEGABYTE = 2**20
ROOT = Path(__file__).parents[2]


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
import json, os, resource, sys
from pathlib import Path
from interp.files import foreign
resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in json.loads(sys.argv[2]):
    if os.fork():
        _, status = os.wait()
        assert status == 0, (name, status)
        continue
    path, before = Path(sys.argv[1]) / name, peak()
    try:
        foreign.read(path)
        told = "a value"
    except foreign.ForeignFileError as error:
        told = str(error)
    print(json.dumps([name, told, peak() - before]), flush=True)
    os._exit(0)
"""


@pytest.mark.slow
def test_memory_stays_within_a_small_multiple_of_the_file(tmp_path):
    """Each file in a process of its own, whose memory at its largest is what the system tells."""
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
