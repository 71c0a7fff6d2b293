"""A result on disk: a flipped bit anywhere in it is noticed and told, and the file comes out as it was."""

from __future__ import annotations

import random
import warnings
from pathlib import Path

import h5py
import pytest
import xarray as xr

import interp
from interp.results.result_file import TEXTS, ResultFile, opened
from interp.results.schema import schemas_of
from tests.results.test_over_steps import MEASURES, rows_computed, write_run


def loaded(path: Path) -> xr.Dataset:
    with opened(path) as result:
        return result.load()


@pytest.mark.slow
def test_bits_flipped_anywhere_are_noticed_and_what_they_damaged_is_computed_again(tmp_path: Path):
    run = interp.open_run(write_run(tmp_path / "run", range(0, 1500, 150)))
    keep = tmp_path / "kept"
    interp.over_steps(MEASURES, run, keep=keep).close()
    whole = {path: path.read_bytes() for path in keep.glob("*.nc")}
    expected = {path: loaded(path) for path in whole}
    moments = random.Random(3)
    told = 0
    for path, content in whole.items():
        for _ in range(5):
            place = moments.randrange(len(content))
            flipped = bytearray(content)
            flipped[place] ^= 1 << moments.randrange(8)
            path.write_bytes(flipped)
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                interp.over_steps(MEASURES, run, keep=keep).close()
            told += any("damaged" in str(one.message) for one in warned)
            if path.read_bytes() != content:  # in bytes that HDF5 does not use nothing is damaged
                assert loaded(path).identical(expected[path]), f"{path.name}, byte {place}"
            path.write_bytes(content)
    assert told  # some of them hit numbers


@pytest.mark.parametrize("words", ["L2 norm of all", "training step", "L2 norm of each", "weight_norm"])
def test_a_letter_flipped_in_what_an_array_says_of_itself_is_noticed(tmp_path: Path, monkeypatch, words: str):
    run = interp.open_run(write_run(tmp_path / "run", range(5)))
    keep = tmp_path / "kept"
    interp.over_steps("weight_norm", run, keep=keep).close()
    path = keep / "weight_norm.nc"
    content = path.read_bytes()
    damaged = bytearray(content)
    damaged[content.index(words.encode()) + 3] ^= 1
    path.write_bytes(damaged)
    computed = rows_computed(monkeypatch)
    with pytest.warns(UserWarning, match="is damaged"):
        interp.over_steps("weight_norm", run, keep=keep).close()
    assert not computed or words == "weight_norm"
    assert path.read_bytes() == content


def test_a_result_of_an_earlier_version_is_written_anew_without_a_word(tmp_path: Path, monkeypatch):
    run = interp.open_run(write_run(tmp_path / "run", range(5)))
    keep = tmp_path / "kept"
    interp.over_steps("weight_norm", run, keep=keep).close()
    content = (keep / "weight_norm.nc").read_bytes()
    with h5py.File(keep / "weight_norm.nc", "r+") as file:
        del file.attrs[TEXTS]
    computed = rows_computed(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        interp.over_steps("weight_norm", run, keep=keep).close()
    assert computed == []
    assert (keep / "weight_norm.nc").read_bytes() == content


@pytest.mark.slow
def test_a_damaged_chunk_costs_its_rows_and_no_others(tmp_path: Path, monkeypatch):
    """The arrays of 200 steps lie in four chunks."""
    run = interp.open_run(write_run(tmp_path / "run", range(200)))
    keep = tmp_path / "kept"
    interp.over_steps("weight_norm", run, keep=keep).close()
    path = keep / "weight_norm.nc"
    content = path.read_bytes()
    with opened(path) as result:
        some = result.norm.values[120].tobytes()
    damaged = bytearray(content)
    damaged[content.index(some)] ^= 4
    path.write_bytes(damaged)
    computed = rows_computed(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interp.over_steps("weight_norm", run, keep=keep).close()
    assert 120 in computed
    assert len(computed) == 50
    assert path.read_bytes() == content


def test_rows_are_read_back_as_they_were_written(tmp_path: Path):
    run = interp.open_run(write_run(tmp_path / "run", range(0, 600, 150)))
    interp.over_steps("embedding_dft", run, keep=tmp_path / "kept").close()
    file = ResultFile(tmp_path / "kept" / "embedding_dft.nc", schemas_of("embedding_dft"))
    for step in run.steps:
        answer = run[step].measure("embedding_dft")
        row = file.row((step,))
        assert row.values is not None
        assert row.values["power"].tolist() == answer.power.tolist()
        assert tuple(row.values["basis"].tolist()) == answer.basis
    assert file.damaged() == set()
    file.close()
