"""How much of a file is read, and how much memory that takes."""

from __future__ import annotations

import os
import pickle
import tracemalloc

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from interp.files import foreign
from interp.files.foreign import ForeignFileError, TensorsOneByOne
from tests.files.foreign_files import LEGACY, assert_same, refusal, saved

MEGABYTE = 2**20


def peak(action):
    tracemalloc.start()
    result = action()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, most / MEGABYTE


@pytest.fixture
def tensors():
    return {f"layer.{number}": torch.full((2**20,), float(number)) for number in range(6)}  # of 4 MiB each


@pytest.mark.parametrize("kind", ["torch", "safetensors", "npz"])
def test_a_file_is_read_without_a_second_copy(tmp_path, tensors, kind):
    path = written(tmp_path, tensors, kind)
    found, most = peak(lambda: foreign.read(path))
    assert_same(found, tensors)
    assert most < (30 if kind != "npz" else 33)  # 24 are the tensors themselves; of .npz one is copied at a time


@pytest.mark.parametrize("kind", ["torch", "safetensors", "npz"])
def test_an_outline_reads_no_large_array(tmp_path, tensors, kind):
    path = written(tmp_path, {**tensors, "small": torch.arange(5.0)}, kind)
    found, most = peak(lambda: foreign.outline(path))
    assert most < 1
    assert {name: array.shape for name, array in found.items()} == {
        **dict.fromkeys(tensors, (2**20,)),
        "small": (5,),
    }
    assert found["small"].tolist() == [0, 1, 2, 3, 4]
    assert {array.dtype for array in found.values()} == {np.dtype("float32")}


def written(folder, tensors, kind):
    path = folder / f"weights.{kind}"
    if kind == "torch":
        torch.save(tensors, path)
    elif kind == "safetensors":
        safetensors.torch.save_file(tensors, path)
    else:
        np.savez(path, **{name: tensor.numpy() for name, tensor in tensors.items()})
        path = folder / "weights.npz.npz" if not path.exists() else path
    return path


def test_an_outline_has_views_and_parameters_in_their_shapes(write):
    weight = torch.arange(2.0**16).reshape(256, 256)
    content = {"turned": weight.T, "part": weight[1:, ::2], "half": weight.half(), "whole": nn.Linear(300, 200)}
    found = foreign.outline(write(saved(content)))
    assert [found[name].shape for name in ("turned", "part", "half")] == [(256, 256), (255, 128), (256, 256)]
    assert found["half"].dtype == np.float16
    assert found["whole"]["weight"].shape == (200, 300)


def test_tensors_of_safetensors_are_read_one_at_a_time(tmp_path, tensors):
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({**tensors, "half": torch.ones(3, dtype=torch.bfloat16)}, path, {"step": "300"})

    def largest():
        one_by_one = TensorsOneByOne(path)
        return max(float(one_by_one[name].max()) for name in one_by_one), one_by_one

    (found, one_by_one), most = peak(largest)
    assert found == 5
    assert most < 6  # of 24
    assert one_by_one.metadata == {"step": "300"}
    assert one_by_one.shapes["layer.0"] == (2**20,)
    assert_same(one_by_one["half"], torch.ones(3, dtype=torch.bfloat16))
    with pytest.raises(KeyError):
        one_by_one["none"]


def test_a_tensor_saved_under_one_of_its_two_names_is_there_under_both(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.unembed = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
            self.unembed.weight = self.embed.weight

    network, path = Tied(), tmp_path / "tied.safetensors"
    safetensors.torch.save_model(network, str(path))
    assert_same(dict(sorted(foreign.read(path).items())), dict(sorted(network.state_dict().items())))
    assert dict(TensorsOneByOne(path)).keys() == network.state_dict().keys()


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("options", [{}, LEGACY], ids=["zip", "legacy"])
def test_torch_files_of_every_protocol_come_back(write, options, protocol):
    content = {"w": torch.arange(6.0).reshape(2, 3), "beside": {1, 2}}
    found = foreign.read(write(saved(content, pickle_protocol=protocol, **options)))
    assert_same(found, {"w": content["w"], "beside": [1, 2]})


class Touches:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("save", [np.save, np.savez])
def test_what_numpy_pickled_is_read_and_not_run(tmp_path, canary, save):
    content = {"w": np.ones((2, 3)), "beside": Touches(canary), "steps": [0, 1]}
    with open(tmp_path / "file", "wb") as file:
        save(file, np.array(content, object))
    found = foreign.read(tmp_path / "file")
    found = found["arr_0"] if save is np.savez else found
    assert_same(found, {**content, "beside": f"touch {canary}"})


def test_what_is_not_read_is_named(write, tmp_path):
    assert "HDF5" in refusal(write(b"\x89HDF\r\n\x1a\n" + bytes(100)))
    path = tmp_path / "pickled.safetensors"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ForeignFileError, match="no safetensors file"):
        TensorsOneByOne(path)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}', "cut short"),
        (b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', "8 bytes"),
        (b'{"a":{"dtype":"F8","shape":[8],"data_offsets":[0,8]}}', "which NumPy has not"),
        (b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', "gaps"),
        (
            b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
            "overlap",
        ),
        (b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', "longer"),
        (b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', "not a shape"),
        (b'{"a":[1]}', "otherwise"),
    ],
)
def test_a_safetensors_header_that_lies_is_refused(write, header, told):
    assert told in refusal(write(len(header).to_bytes(8, "little") + header + bytes(8)))
