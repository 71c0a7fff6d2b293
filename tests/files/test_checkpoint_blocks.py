"""Checkpoints on disk: whatever kills the writer and whoever reads meanwhile, what is there is whole and right."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from interp.errors import DamagedError, InterpError
from interp.files import checkpoint_blocks
from interp.files.arrays import arrays_digest, write_arrays
from interp.files.checkpoint_blocks import CHECKPOINTS_PER_BLOCK, INDEX, CheckpointBlocks
from tests.files.test_arrays import assert_equal, flips, weights


def assert_holds(store, steps):
    assert store.steps == sorted(steps)
    for step in steps:
        assert_equal(store.load(step), weights(step))


def files(folder: Path):
    return sorted(path.name for path in folder.glob("*.safetensors"))


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
    monkeypatch.setattr(checkpoint_blocks, "CHECKPOINTS_PER_BLOCK", 3)

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
    monkeypatch.setattr(checkpoint_blocks, "CHECKPOINTS_PER_BLOCK", 3)
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


def test_a_flipped_bit_is_noticed_in_the_checkpoint_where_it_is_and_the_others_are_read(tmp_path):
    store = CheckpointBlocks(tmp_path)
    for step in (0, 10, 20):
        store.save(step, weights(step))
    store.stack()
    (name,) = files(tmp_path)
    data = (tmp_path / name).read_bytes()
    for place, damaged in flips(data):
        (tmp_path / name).write_bytes(damaged)
        right = []
        for step in (0, 10, 20):
            with contextlib.suppress(DamagedError):
                assert_equal(store.load(step), weights(step))
                right.append(step)
        if place >= len(data) - 3 * 32:  # in the arrays: 8 float32 a checkpoint
            (wrong,) = {0, 10, 20} - set(right)
            with pytest.raises(DamagedError, match=f"{name}: the weights at step {wrong} are not what.*; restore"):
                store.load(wrong)


def test_the_digest_beside_a_checkpoint_is_that_of_its_arrays(tmp_path):
    store = CheckpointBlocks(tmp_path)
    for _ in range(2):
        for step in (0, 10):
            store.save(step, weights(step))
            assert store.digest(step) == arrays_digest(store.load(step)) == arrays_digest(weights(step))
        store.stack()


def test_a_block_without_digests_is_read_and_stays_as_it_is(tmp_path):
    stacked = {name: np.stack([weights(0)[name], weights(10)[name]]) for name in weights(0)}
    name = "steps-000000000-000000010.safetensors"
    safetensors.numpy.save_file(stacked, tmp_path / name, {"about": "[0, 10]"})
    (tmp_path / INDEX).write_text(f'{{"format": 1, "files": {{"{name}": [0, 10]}}}}')
    before = (tmp_path / name).read_bytes()
    store = CheckpointBlocks(tmp_path)
    assert store.digest(10) is None
    store.save(20, weights(20))
    store.save(30, weights(30))
    store.stack()
    assert_holds(CheckpointBlocks(tmp_path), [0, 10, 20, 30])
    assert (tmp_path / name).read_bytes() == before


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
    monkeypatch.setattr(checkpoint_blocks, "CHECKPOINTS_PER_BLOCK", 4)
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
