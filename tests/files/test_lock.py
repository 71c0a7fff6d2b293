"""A folder is held by one process at a time, and what killed writers left in it is removed."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest

from interp.errors import InterpError
from interp.files.lock import locked
from interp.files.writing import ABANDONED, remove_abandoned

HOLDER = """
import sys, time
from pathlib import Path
from interp.files.lock import locked
with locked(Path(sys.argv[1]), "training"):
    print("held", flush=True)
    time.sleep(600)
"""


def refusal(folder) -> str:
    """What is said to somebody who wants the folder."""
    with pytest.raises(InterpError) as refused, locked(folder, "another"):
        pass
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_lock_says_who_holds_it_and_a_killed_holder_blocks_nobody(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        assert f"{tmp_path} is in use by training (process {holder.pid})" in refusal(tmp_path)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    with locked(tmp_path, "an analysis"):
        pass


def test_a_lock_is_free_again_after_its_block_and_after_an_error_in_it(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path, "first"):
        raise ZeroDivisionError
    with locked(tmp_path, "second"):
        assert "second" in refusal(tmp_path)
    with locked(tmp_path, "third"):
        pass


def test_the_text_in_a_lock_cannot_play_with_the_terminal(tmp_path):
    with locked(tmp_path, "\x1b[2Jtraining\nerror: all is lost"):
        assert "\x1b" not in refusal(tmp_path)


def test_where_locks_are_not_to_be_had_it_is_one_line_that_says_why(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    assert f"{tmp_path} cannot be locked (No locks available)" in refusal(tmp_path)
    (tmp_path / "file").write_text("")
    assert "cannot be locked" in refusal(tmp_path / "file" / "run")


# What a killed writer left.


def test_the_temporary_files_of_writers_that_are_gone_are_removed_and_no_others(tmp_path):
    held = tmp_path / "held by another"
    (held / "weights").mkdir(parents=True)
    (held / ".lock").write_text("")
    (tmp_path / "weights").mkdir()
    left = [tmp_path / ".a.safetensors.123.tmp", tmp_path / "weights" / ".index.json.123.tmp"]
    others = [tmp_path / "a.123.tmp", tmp_path / ".a.tmp", held / "weights" / ".a.123.tmp"]
    for path in left + others:
        path.write_text("half")
    with locked(tmp_path, "training"):
        assert [path.exists() for path in left] == [False, False]
        assert all(path.exists() for path in others)


def test_in_a_folder_that_is_not_held_only_those_are_removed_that_nobody_writes_to(tmp_path):
    old, new = tmp_path / ".a.html.123.tmp", tmp_path / ".b.html.123.tmp"
    for path, age in ((old, ABANDONED + 60), (new, 60)):
        path.write_text("half")
        os.utime(path, (time.time() - age,) * 2)
    remove_abandoned(tmp_path, ABANDONED)
    assert (old.exists(), new.exists()) == (False, True)


def test_nothing_but_the_lock_itself_is_left_of_it(tmp_path):
    with locked(tmp_path, "training"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
