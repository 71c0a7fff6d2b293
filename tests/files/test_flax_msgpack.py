"""The files of flax: what its own writer wrote comes back, and what lies is refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from interp.files import foreign
from tests.files.foreign_files import assert_same, outcome, refusal, refused

WRITTEN = bytes.fromhex(
    "84a47374657007a6706172616d7381a744656e73655f3082a66b65726e656cc7260193920203a7666c6f61743332c418000000000000803f"
    "0000004000004040000080400000a040a462696173c71201939102a862666c6f61743136c404803f003fa46d6f726588a130c712039390a569"
    "6e743634c4080300000000000000a131c0a132c3a133fba134cb3ff8000000000000a135c7130292cb4000000000000000cb3ff00000000000"
    "00a136d8039390a7666c6f61743332c4040000803ea137a2c3a9a46c6f6e67cd012c"
)
"""flax.serialization.to_bytes of WHAT, by flax 0.12 (its lists are maps)."""
WHAT = {
    "step": 7,
    "params": {
        "Dense_0": {
            "kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
            "bias": np.array([1, 0.5], np.float32),  # bfloat16 there
        }
    },
    "more": {"0": 3, "1": None, "2": True, "3": -5, "4": 1.5, "5": 2 + 1j, "6": 0.25, "7": "é"},
    "long": 300,
}
IN_PIECES = bytes.fromhex(
    "81a16183b95f5f6d73677061636b5f6368756e6b65645f61727261795f5fc3a5736861706582a13002a13103a66368756e6b7382a130c71d01"
    "939104a7666c6f61743332c410000000000000803f0000004000004040a131c71501939102a7666c6f61743332c408000080400000a040"
)
"""That of {"a": an array of 2 × 3}, with flax's MAX_CHUNK_SIZE at 16 bytes."""


def test_what_flax_wrote_comes_back(write):
    assert_same(foreign.read(write(WRITTEN)), WHAT)
    assert_same(foreign.read(write(IN_PIECES)), {"a": np.arange(6, dtype=np.float32).reshape(2, 3)})


def test_maps_and_lists_of_every_length_come_back(write):
    names = [f"n{number:05}" for number in range(70_000)]
    pairs = b"".join(b"\xa6" + name.encode() + b"\x01" for name in names)
    assert foreign.read(write(b"\xdf" + struct.pack(">I", len(names)) + pairs)) == dict.fromkeys(names, 1)
    numbers = b"\xcd\x01\x00" * 300
    assert foreign.read(write(b"\x81\xa1a\xdc" + struct.pack(">H", 300) + numbers)) == {"a": [256] * 300}


@pytest.mark.parametrize(
    "lie",
    [
        b"\x81\xa1a\xdd\xff\xff\xff\xff",  # a list of four thousand million
        b"\xdf\xff\xff\xff\xff\xa1a\x01",
        b"\x81\xa1a\xc6\xff\xff\xff\xffx",
        b"\x81\xa1a" + b"\x91" * 5000 + b"\x01",
        b"\x81\xa1a\xc7\x10\x01\x93\x92\x02\x03\xa7float32\xc4\x01x",
        b"\x81\xa1a\xc7\x0e\x01\x93\x91\x02\xa6object\xc4\x01x\x00",
        b"\x81\xa1a\xd4\x05\x01",
        b"\x81\xa1a\xc1",
        b"\x81\xa1a\x01\x01",
        b"\x82\xa1a\x01\x91\x01\x02",
    ],
)
def test_a_file_that_lies_is_refused(write, lie):
    assert refusal(write(lie))


@pytest.mark.parametrize("cut", range(1, len(WRITTEN), 7))
def test_a_file_cut_short_is_refused(write, cut):
    assert refusal(write(WRITTEN[:cut]))


def test_a_flipped_byte_ends_in_a_value_or_in_one_line(write):
    for place in range(len(WRITTEN)):
        path = write(WRITTEN[:place] + bytes([WRITTEN[place] ^ 0x55]) + WRITTEN[place + 1 :])
        found = outcome(path)
        assert isinstance(found, dict | list | int | str) or refused(found, path)
