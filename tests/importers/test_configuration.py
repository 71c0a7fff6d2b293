"""The configuration beside or inside a file of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from interp.errors import InterpError
from interp.importers.shared import configuration


def test_beside_is_the_first_that_is_there(tmp_path: Path):
    places = [tmp_path / name for name in ("missing.json", "one.json", "two.json")]
    places[1].write_text('{"p": 7}')
    places[2].write_text('{"p": 11}')
    assert configuration.beside(places) == ({"p": 7}, places[1])
    assert configuration.beside(places[:1]) is None
    assert configuration.beside([tmp_path]) is None  # a folder is no file


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{'p': 7}", "cannot be read as JSON"),
        (b"\xff\xfe", "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b'{"a\nb\x1b[31m', "cannot be read as JSON"),
        (b"[7]", "should hold names and values"),
    ],
)
def test_what_is_not_names_and_values_is_refused_in_one_line(content: bytes, said: str, tmp_path: Path):
    place = tmp_path / "config.json"
    place.write_bytes(content)
    with pytest.raises(InterpError) as refused:
        configuration.beside([place])
    assert str(refused.value).startswith(f"{place} {said}")
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("content", "settings"),
    [({"config": {"p": 7}}, {"p": 7}), ({"cfg": {"p": 7}}, {"p": 7}), ({"config": 7}, {}), ({}, {}), ([1], {})],
)
def test_inside_is_what_the_file_of_the_weights_says(content: Any, settings: dict[str, Any]):
    assert configuration.inside(content) == settings
