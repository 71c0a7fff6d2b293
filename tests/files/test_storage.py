from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from interp.errors import InterpError
from interp.files.arrays import arrays_digest, read_about, read_arrays, write_arrays
from interp.files.checkpoint_blocks import CHECKPOINTS_PER_BLOCK, INDEX, CheckpointBlocks
from interp.files.lock import locked
from interp.files.writing import write_text, writing


def weights(step):
    """Different at every step."""
    return {"embed.W_E": np.arange(6, dtype=np.float32).reshape(2, 3) + step, "b": np.full(2, step, np.float32)}


def assert_holds(store, steps):
    assert store.steps == sorted(steps)
    for step in steps:
        assert_equal(store.load(step), weights(step))


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array)


def files(folder: Path):
    return sorted(path.name for path in folder.glob("*.safetensors"))


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


# Checkpoints.


def test_checkpoints_come_back_in_order_whatever_the_order_they_were_saved_in(tmp_path):
    store = CheckpointBlocks(tmp_path)
    for step in (300, 0, 1_000_000_000_000, 5):
        store.save(step, weights(step))
    assert_holds(store, [300, 0, 1_000_000_000_000, 5])
    assert_holds(CheckpointBlocks(tmp_path), [300, 0, 1_000_000_000_000, 5])


def test_an_empty_folder_and_a_missing_one_hold_nothing(tmp_path):
    assert CheckpointBlocks(tmp_path).steps == []
    assert CheckpointBlocks(tmp_path / "none").steps == []
    assert not (tmp_path / "none").exists()
    with pytest.raises(KeyError):
        CheckpointBlocks(tmp_path).load(0)


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_block_is_made_of_exactly_as_many_as_fill_it(tmp_path, extra):
    store = CheckpointBlocks(tmp_path)
    steps = list(range(0, 10 * (CHECKPOINTS_PER_BLOCK + extra), 10))
    for step in steps:
        store.save(step, weights(step))
    blocks, single = (0, len(steps)) if extra < 0 else (1, extra)
    assert len([name for name in files(tmp_path) if name.startswith("steps-")]) == blocks
    assert len([name for name in files(tmp_path) if name.startswith("step-")]) == single
    assert_holds(CheckpointBlocks(tmp_path), steps)


def test_stack_leaves_one_file_and_a_second_time_changes_nothing(tmp_path):
    store = CheckpointBlocks(tmp_path)
    for step in (20, 0, 10):
        store.save(step, weights(step))
    store.stack()
    assert len(files(tmp_path)) == 1
    assert_holds(store, [0, 10, 20])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    store.stack()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    store.save(15, weights(15))
    store.stack()
    assert_holds(CheckpointBlocks(tmp_path), [0, 10, 15, 20])


def test_numbers_without_axes_survive_saving_and_stacking(tmp_path):
    store = CheckpointBlocks(tmp_path)
    for step in (0, 1):
        store.save(step, {"scale": np.array(step + 0.5)})
    for _ in range(2):
        for step in (0, 1):
            assert_equal(store.load(step), {"scale": np.array(step + 0.5)})
        store.stack()


def test_a_step_saved_again_replaces_nothing(tmp_path):
    store = CheckpointBlocks(tmp_path)
    store.save(5, weights(5))
    store.save(5, weights(6))
    CheckpointBlocks(tmp_path).save(5, weights(7))
    assert_holds(store, [5])


def test_the_stored_files_do_not_depend_on_when_the_run_was_interrupted(tmp_path):
    whole = CheckpointBlocks(tmp_path / "whole")
    for step in range(CHECKPOINTS_PER_BLOCK + 3):
        whole.save(step, weights(step))
        CheckpointBlocks(tmp_path / "parts").save(step, weights(step))
    whole.stack()
    CheckpointBlocks(tmp_path / "parts").stack()
    contents = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("whole", "parts")]
    assert contents[0] == contents[1]


class Killed(BaseException):
    pass


@contextlib.contextmanager
def killed_at(monkeypatch, count):
    """Whatever runs inside dies before its file operation number `count` (a rename or a removal), from 0."""
    done = 0

    def dying(operation):
        def wrapped(*args, **options):
            nonlocal done
            if done >= count:  # a dead process does nothing more, cleaning up included
                raise Killed
            done += 1
            return operation(*args, **options)

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dying(os.replace))
        patch.setattr(Path, "unlink", dying(Path.unlink))
        with contextlib.suppress(Killed):
            yield lambda: done


def operations_of(monkeypatch, work):
    with killed_at(monkeypatch, 10**9) as done:
        work()
    return done()


def test_killed_between_any_two_file_operations_nothing_is_lost_and_nothing_half(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "CHECKPOINTS_PER_BLOCK", 3)

    def filled(name):
        store = CheckpointBlocks(tmp_path / name)
        for step in (0, 1):
            store.save(step, weights(step))
        return store

    whole = filled("whole")
    total = operations_of(monkeypatch, lambda: whole.save(2, weights(2)))  # the one that fills a block
    assert total >= 7  # two files and two indices renamed, three files removed
    for count in range(total + 1):
        store = filled(f"killed-{count}")
        with killed_at(monkeypatch, count):
            store.save(2, weights(2))
        again = CheckpointBlocks(store.folder)
        assert again.steps in ([0, 1], [0, 1, 2]), count
        assert_holds(again, again.steps)
        again.save(2, weights(2))
        again.save(3, weights(3))
        again.stack()
        assert_holds(CheckpointBlocks(store.folder), [0, 1, 2, 3])


def test_what_a_killed_process_left_behind_is_removed_by_the_time_the_run_is_finished(tmp_path, monkeypatch):
    """Files that the index does not name would double the size of a run, unseen."""
    monkeypatch.setattr(storage, "CHECKPOINTS_PER_BLOCK", 3)
    for count in range(12):
        folder = tmp_path / str(count)
        store = CheckpointBlocks(folder)
        for step in (0, 1):
            store.save(step, weights(step))
        with killed_at(monkeypatch, count):
            store.save(2, weights(2))
        again = CheckpointBlocks(folder)
        for step in (2, 3, 4):
            again.save(step, weights(step))
        again.stack()
        named = set(json.loads((folder / INDEX).read_text())["files"]) | {INDEX}
        assert {path.name for path in folder.iterdir() if not path.name.endswith(".tmp")} == named, count


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


# What is damaged.


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"format": 2, "files": {}}',
        '{"format": 1, "files": []}',
        '{"format": 1, "files": {"a": 3}}',
    ],
)
def test_a_damaged_index_is_an_error_that_names_it(tmp_path, text):
    (tmp_path / INDEX).write_text(text)
    with pytest.raises(InterpError, match=r"index\.json"):
        CheckpointBlocks(tmp_path)


def test_a_damaged_checkpoint_is_an_error_that_names_its_file_and_the_others_are_read(tmp_path):
    store = CheckpointBlocks(tmp_path)
    for step in (0, 10):
        store.save(step, weights(step))
    path = tmp_path / files(tmp_path)[1]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InterpError, match=path.name):
        store.load(10)
    assert_equal(store.load(0), weights(0))
    path.unlink()
    with pytest.raises(InterpError, match=rf"{path.name}.* step 10\b.*missing"):
        store.load(10)


def test_a_file_that_holds_other_steps_than_the_index_says_is_an_error(tmp_path):
    store = CheckpointBlocks(tmp_path)
    for step in (0, 10):
        store.save(step, weights(step))
    first, second = files(tmp_path)
    (tmp_path / second).write_bytes((tmp_path / first).read_bytes())
    with pytest.raises(InterpError, match=second):
        store.load(10)


@pytest.mark.parametrize("metadata", [None, "steps", 3, {"steps": [0]}])
def test_a_safetensors_file_that_is_not_a_checkpoint_is_an_error_that_names_it(tmp_path, metadata):
    store = CheckpointBlocks(tmp_path)
    store.save(0, weights(0))
    (name,) = files(tmp_path)
    write_arrays(tmp_path / name, weights(0), metadata)
    with pytest.raises(InterpError, match=name):
        store.load(0)


# Several processes.


def test_a_reader_sees_what_another_process_adds_when_it_looks_again(tmp_path):
    writer, reader = CheckpointBlocks(tmp_path), CheckpointBlocks(tmp_path)
    writer.save(1, weights(1))
    assert reader.steps == []
    reader.refresh()
    assert_holds(reader, [1])


def test_a_reader_is_not_disturbed_while_files_are_stacked_under_it(tmp_path):
    writer = CheckpointBlocks(tmp_path)
    for step in range(4):
        writer.save(step, weights(step))
    reader = CheckpointBlocks(tmp_path)  # its index names four files
    writer.stack()
    assert_holds(reader, range(4))


def test_a_reader_reads_the_right_weights_all_the_time_that_a_writer_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "CHECKPOINTS_PER_BLOCK", 4)
    done = threading.Event()

    def write():
        store = CheckpointBlocks(tmp_path)
        for step in range(30):
            store.save(step, weights(step))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reader = CheckpointBlocks(tmp_path)
    seen = 0
    while True:
        last = done.is_set()
        reader.refresh()
        steps = reader.steps
        assert steps == list(range(len(steps)))
        assert len(steps) >= seen
        seen = len(steps)
        for step in steps:
            assert_equal(reader.load(step), weights(step))
        if last:
            break
    writer.join()
    assert seen == 30


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
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    held = tmp_path / "held by another"
    (held / "weights").mkdir(parents=True)
    (held / ".lock").write_text("")
    (tmp_path / "weights").mkdir()
    left = [tmp_path / f".a.safetensors.{gone.pid}.tmp", tmp_path / "weights" / f".index.json.{gone.pid}.tmp"]
    others = [
        tmp_path / f".a.safetensors.{os.getppid()}.tmp",
        tmp_path / f"a.{gone.pid}.tmp",
        tmp_path / ".a.tmp",
        held / "weights" / f".a.{gone.pid}.tmp",
    ]
    for path in left + others:
        path.write_text("half")
    with locked(tmp_path, "training"):
        assert [path.exists() for path in left] == [False, False]
        assert all(path.exists() for path in others)


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
