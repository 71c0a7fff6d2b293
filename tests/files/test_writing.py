"""A file that cannot be written leaves the old one whole, nothing half-written, and one line that says why."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys

import pytest

from interp.errors import InterpError
from interp.files.writing import write_text, writing


def test_a_file_that_could_not_be_written_leaves_the_old_one_and_no_rubbish(tmp_path):
    path = tmp_path / "text"
    write_text(path, "old")

    def fail():
        with writing(path) as temporary:
            temporary.write_text("half of the n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


# What cannot be written.

LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from interp.files import netcdf
from interp.files.arrays import write_arrays
from interp.files.writing import write_text, writing
from interp.errors import InterpError

path, kind = Path(sys.argv[1]), sys.argv[2]
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    if kind == "text":
        write_text(path, "x" * 20_000)
    elif kind == "arrays":
        write_arrays(path, {"a": np.zeros(20_000)})
    else:
        with writing(path) as temporary, netcdf.editing(temporary, "w") as file:
            file.dimensions = {"x": 20_000}
            file.create_variable("a", ("x",), np.float64, data=np.zeros(20_000))
except InterpError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("kind", ["text", "arrays", "netcdf"])
def test_what_does_not_fit_is_one_line_the_old_file_stays_whole_and_nothing_is_left(tmp_path, kind):
    """HDF5 would end the process with a segmentation fault."""
    path = tmp_path / "file"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path), kind], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1
    assert f"{path} cannot be written (" in done.stderr
    assert "File too large" in done.stderr
    assert "what was finished before is kept" in done.stderr
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("operation", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_disk_that_refuses_late_leaves_the_old_file(tmp_path, monkeypatch, operation, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    path = tmp_path / "file"
    write_text(path, "old")
    monkeypatch.setattr(os, operation, refuse)
    with pytest.raises(InterpError, match=re.escape(os.strerror(number))):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_the_place_of_a_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InterpError, match=r"file/a cannot be written \((Not a directory|File exists)\)"):
        write_text(tmp_path / "file" / "a", "")


def test_an_error_about_another_file_is_not_called_a_failed_write(tmp_path):
    with pytest.raises(FileNotFoundError), writing(tmp_path / "file"):
        (tmp_path / "another").read_text()
