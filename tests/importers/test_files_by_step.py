"""Which file holds which step, and how often it is read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from interp.errors import InterpError
from interp.importers.shared.files_by_step import Place, arrays_at, by_step, reading_once


def save(path: Path, value: float) -> None:
    torch.save({0: {"w": torch.full((2,), value)}, 50: {"w": torch.full((2,), value + 1)}}, path)


def test_a_file_of_many_checkpoints_is_read_once_until_it_changes(tmp_path: Path):
    path, read = tmp_path / "all.pt", reading_once()
    save(path, 3.0)
    places = by_step(path, None, read)
    assert places == {0: Place(path, 0), 50: Place(path, 50)}
    assert read(path) is read(path)
    assert [arrays_at(place, read)["w"].tolist() for place in places.values()] == [[3, 3], [4, 4]]
    save(path, 7.0)
    assert arrays_at(places[50], read)["w"].tolist() == [8, 8]


def test_a_file_that_is_gone_is_not_answered_from_memory(tmp_path: Path):
    path, read = tmp_path / "all.pt", reading_once()
    save(path, 3.0)
    assert by_step(path, None, read)
    path.unlink()
    with pytest.raises(InterpError):
        read(path)
