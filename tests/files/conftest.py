"""Whatever a file holds, nothing in it is run."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def canary(tmp_path):
    """A file that appears where something in a file was run."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


@pytest.fixture
def write(tmp_path):
    def write(content, name="weights"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write
