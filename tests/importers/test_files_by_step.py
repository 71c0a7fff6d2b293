"""Which file holds which step, and how often it is read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from interp.errors import InterpError
from interp.importers.shared.files_by_step import Place, arrays_at, find, reading_once


def save(path: Path, value: float) -> None:
    torch.save({step: {name: torch.full((2, 2), value + (step > 0)) for name in "wv"} for step in (0, 50)}, path)


def test_a_file_of_many_checkpoints_is_read_once_until_it_changes(tmp_path: Path):
    path, read = tmp_path / "all.pt", reading_once()
    save(path, 3.0)
    places = find(path, read=read).places
    assert places == {0: Place(path, (0,)), 50: Place(path, (50,))}
    assert read(path) is read(path)
    assert [arrays_at(place, read)["w"][0].tolist() for place in places.values()] == [[3, 3], [4, 4]]
    save(path, 7.0)
    assert arrays_at(places[50], read)["w"][0].tolist() == [8, 8]


def test_a_file_that_is_gone_is_not_answered_from_memory(tmp_path: Path):
    path, read = tmp_path / "all.pt", reading_once()
    save(path, 3.0)
    assert find(path, read=read)
    path.unlink()
    with pytest.raises(InterpError):
        read(path)
