"""Files of checkpoints that lie or are damaged end in a value or in one line."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

import numpy as np
import pytest

from interp.errors import InterpError
from interp.files.arrays import read_about, read_arrays
from interp.files.checkpoint_blocks import INDEX as INDEX_FILE
from interp.files.checkpoint_blocks import CheckpointBlocks
from tests.damage import DAMAGES, assert_one_line

pytestmark = pytest.mark.slow

MEGABYTE = 2**20
ROOT = Path(__file__).parents[2]


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
