"""Arrays come back from a file as they were, and their digest tells every bit apart."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import safetensors.numpy

from interp.errors import DamagedError, InterpError
from interp.files.arrays import arrays_digest, read_about, read_arrays, write_arrays


def weights(step):
    """Different at every step."""
    return {"embed.W_E": np.arange(6, dtype=np.float32).reshape(2, 3) + step, "b": np.full(2, step, np.float32)}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array)


# Arrays in a file.


def test_arrays_come_back_as_they_were(tmp_path):
    arrays = {
        "matrix": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "double": np.array([1e-300]),
        "mask": np.array([True, False]),
        "count": np.array([-1, 2**40]),
        "empty": np.zeros((0, 3), np.float32),
        "scalar": np.array(2.5),
    }
    write_arrays(tmp_path / "a.safetensors", arrays, {"made": ["by", "hand"]})
    found, about = read_arrays(tmp_path / "a.safetensors")
    assert_equal(found, arrays)
    assert about == read_about(tmp_path / "a.safetensors") == {"made": ["by", "hand"]}


def test_the_same_arrays_make_the_same_file_whatever_their_order(tmp_path):
    arrays = weights(3)
    write_arrays(tmp_path / "a", arrays, {"x": "1", "y": "2"})
    write_arrays(tmp_path / "b", dict(reversed(arrays.items())), {"y": "2", "x": "1"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("kept", [0, 7, 40, -1])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path, kept):
    path = tmp_path / "weights.safetensors"
    write_arrays(path, weights(1))
    path.write_bytes(path.read_bytes()[:kept])
    for read in (read_arrays, read_about):
        with pytest.raises(InterpError, match=r"weights\.safetensors") as refused:
            read(path)
        assert "\n" not in str(refused.value)


# The digest.


def test_the_digest_depends_on_content_alone():
    arrays = weights(1)
    strided = {"embed.W_E": np.asfortranarray(arrays["embed.W_E"]), "b": np.full(4, 1, np.float32)[::2]}
    assert arrays_digest(arrays) == arrays_digest(dict(reversed(arrays.items()))) == arrays_digest(strided)


@pytest.mark.parametrize(
    "other",
    [
        {"c": np.array([1.0, 2.0])},
        {"b": np.array([1.0, np.nextafter(2.0, 3.0)])},
        {"b": np.array([1.0, 2.0], np.float32)},
        {"b": np.array([[1.0, 2.0]])},
        {"b": np.array([1.0, 2.0]).view(np.int64)},
        {"b": np.array([1.0, 2.0]), "empty": np.zeros(0)},
        {},
    ],
    ids=["name", "last bit", "precision", "shape", "type", "one more", "none"],
)
def test_the_digest_tells_names_types_shapes_and_every_bit_apart(other):
    assert arrays_digest({"b": np.array([1.0, 2.0])}) != arrays_digest(other)


def test_the_digest_tells_a_number_from_an_array_of_one():
    assert arrays_digest({"b": np.array(1.0)}) != arrays_digest({"b": np.array([1.0])})


# Flipped bits.


def flips(data):
    """A bit of each byte, one after the other."""
    for place in range(len(data)):
        yield place, data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :]


def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path):
    path, about = tmp_path / "a.safetensors", {"step": 3, "made": [0.1, "größer"]}
    write_arrays(path, weights(3), about)
    for place, damaged in flips(path.read_bytes()):
        path.write_bytes(damaged)
        with contextlib.suppress(DamagedError):
            assert read_about(path) in (about, None), place
        with contextlib.suppress(DamagedError):  # none comes of a space, or the name of what is said of the arrays
            found, told = read_arrays(path)
            assert_equal(found, weights(3))
            assert told in (about, None), place
    with pytest.raises(DamagedError, match=r"a\.safetensors is not what was written.*; restore it"):
        read_arrays(path)  # the last bit


def test_files_without_digests_are_read(tmp_path):
    """Those of others, and our own of before."""
    for metadata, about in ((None, None), ({"about": "[0, 10]"}, [0, 10]), ({"about": '{"step": 3}'}, {"step": 3})):
        safetensors.numpy.save_file(weights(3), tmp_path / "a.safetensors", metadata)
        found, told = read_arrays(tmp_path / "a.safetensors")
        assert_equal(found, weights(3))
        assert told == about


def test_what_json_writes_otherwise_than_it_was_is_no_damage(tmp_path):
    write_arrays(tmp_path / "a", weights(3), {10: (1, 2), 9: float("inf")})
    assert read_about(tmp_path / "a") == {"10": [1, 2], "9": float("inf")}
