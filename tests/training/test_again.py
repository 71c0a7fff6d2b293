"""Checkpoints added to a finished run are the very ones that its training would have saved."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from interp.errors import AlreadyDoneError, InterpError
from interp.files import checkpoint_blocks
from interp.files.arrays import read_about, write_arrays
from interp.files.checkpoint_blocks import INDEX, CheckpointBlocks
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.training import again, loop
from interp.training.progress import silent
from interp.training.state import STATE
from tests.training.plans import plan
from tests.training.test_loop import digests, stop_after

pytestmark = pytest.mark.usefixtures("one_thread", "told_at_once")

STEPS = 40


def train(folder: Path, every: int, progress: Any = silent, **options: Any) -> None:
    loop.train(folder, plan(steps=STEPS, save={"every": every}, **options), progress)


def add(folder: Path, *windows: str, progress: Any = silent, **options: Any) -> None:
    again.add(folder, plan(steps=STEPS, **options), windows, progress)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


def files(folder: Path) -> dict[str, list[int]]:
    """The index: file -> steps."""
    return json.loads((folder / "weights" / INDEX).read_text())["files"]


def assert_tidy(folder: Path) -> None:
    """Nothing is there that the index does not name."""
    named = files(folder)
    assert {p.name for p in (folder / "weights").iterdir()} == {*named, INDEX, "split.safetensors"}
    assert {p.name for p in folder.iterdir()} <= {"weights", STATE, ".lock", "run.yaml"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run that kept every tenth step."""
    train(tmp_path / "run", 10)
    return tmp_path / "run"


@pytest.fixture
def every_step(tmp_path: Path) -> dict[int, str]:
    """The same training, that kept every step."""
    train(tmp_path / "every", 1)
    return digests(tmp_path / "every")


def test_a_window_is_added_bit_for_bit_and_nothing_else_changes(run: Path, every_step: dict[int, str]) -> None:
    state = (run / STATE).read_bytes()
    add(run, "12:16:2", "30:33:1")
    assert digests(run) == {step: every_step[step] for step in (0, 10, 12, 14, 16, 20, 30, 31, 32, 33, 40)}
    assert (run / STATE).read_bytes() == state
    assert_tidy(run)


def test_batches_are_drawn_again_in_the_same_order(tmp_path: Path) -> None:
    train(tmp_path / "run", 20, batch_size=7)
    train(tmp_path / "every", 1, batch_size=7)
    add(tmp_path / "run", "5:25:5", batch_size=7)
    found = digests(tmp_path / "run")
    assert list(found) == [0, 5, 10, 15, 20, 25, 40]
    assert found.items() <= digests(tmp_path / "every").items()


def test_added_checkpoints_are_stacked_into_blocks(
    run: Path, every_step: dict[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_blocks, "CHECKPOINTS_PER_BLOCK", 4)
    add(run, "1:39:1")
    assert digests(run) == every_step
    assert [len(steps) for steps in files(run).values()].count(4) == 9
    assert_tidy(run)


def test_a_new_checkpoint_is_not_in_the_index_before_the_next_of_the_run_has_agreed(run: Path) -> None:
    seen = {}

    def look(step: int, *_: float) -> None:
        seen[step] = CheckpointBlocks(run / "weights").steps

    add(run, "11:12:1", progress=look)
    assert seen[12] == [0, 10, 20, 30, 40]
    assert seen[20] == [0, 10, 11, 12, 20, 30, 40]
    assert max(seen) == 20


@pytest.mark.parametrize("step", [12, *(pytest.param(step, marks=pytest.mark.slow) for step in (0, 20, 31))])
def test_stopped_by_ctrl_c_and_called_again_it_goes_on(run: Path, every_step: dict[int, str], step: int) -> None:
    steps = []
    with pytest.raises(
        InterpError, match=f"stopped at step {step + (step == 0)} of 40; the same command resumes {run}$"
    ):
        add(run, "12:12:1", "31:32:1", progress=stop_after(step))
    add(run, "12:12:1", "31:32:1", progress=lambda at, *_: steps.append(at))
    assert digests(run) == {step: every_step[step] for step in (0, 10, 12, 20, 30, 31, 32, 40)}
    assert min(steps) >= step
    assert_tidy(run)


def test_another_window_after_a_stop_is_trained_from_where_it_is_whole(run: Path, every_step: dict[int, str]) -> None:
    with pytest.raises(InterpError, match="stopped"):
        add(run, "12:35:1", progress=stop_after(31))
    add(run, "5:5:1", "33:33:1")
    assert digests(run).items() <= every_step.items()
    assert {5, 33} <= digests(run).keys()
    assert_tidy(run)


def test_where_the_weights_differ_it_ends_and_the_run_is_left_as_it_was(run: Path) -> None:
    before = content(run)
    with pytest.raises(
        InterpError, match=r"at step 10 are not .* torch .* 1 thread .*earlier.*Nothing was added after step 0$"
    ):
        add(run, "1:5:1", lr=1.0001e-3)
    assert content(run) == before


def test_what_was_verified_before_a_difference_stays(run: Path, every_step: dict[int, str]) -> None:
    """The last bit of one number at step 20 is another."""
    (name,) = files(run)
    arrays, steps = load_file(run / "weights" / name), read_about(run / "weights" / name)
    arrays["unembed.W_U"][steps.index(20), 0, 0] = np.nextafter(arrays["unembed.W_U"][steps.index(20), 0, 0], 9)
    write_arrays(run / "weights" / name, arrays, steps, by_row=True)
    before = digests(run)
    with pytest.raises(InterpError, match=r"at step 20 are not those of the run.*Nothing was added after step 10$"):
        add(run, "3:4:1", "15:15:1")
    assert digests(run) == before | {step: every_step[step] for step in (3, 4)}
    assert_tidy(run)


def test_nothing_missing_says_so(run: Path) -> None:
    before = content(run)
    with pytest.raises(AlreadyDoneError, match=r"has every checkpoint of 10:30:10 already"):
        add(run, "10:30:10")
    assert content(run) == before


def test_without_a_state_it_trains_with_the_threads_of_its_size(run: Path, every_step: dict[int, str]) -> None:
    (run / STATE).unlink()
    add(run, "1:3:1")
    assert digests(run).items() <= every_step.items()
    assert not (run / STATE).exists()


def test_with_a_state_it_trains_with_the_threads_it_tells(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interp.machine.process.WORTH_A_THREAD", 0)
    monkeypatch.setattr("interp.machine.process.cores", lambda: 2)
    torch.set_num_threads(2)
    with pytest.warns(UserWarning, match="training with 1 threads, as this run was begun, not 2"):
        add(run, "1:3:1")
    assert torch.get_num_threads() == 2


def test_a_second_process_is_told_who_holds_the_run(run: Path) -> None:
    def another(*_: float) -> None:
        with pytest.raises(InterpError, match="in use by adding checkpoints"):
            add(run, "1:3:1")

    add(run, "1:3:1", progress=another)


def _unfinished(run: Path) -> None:
    shutil.rmtree(run)
    with pytest.raises(InterpError, match="stopped"):
        train(run, 10, progress=stop_after(20))


def _other_split(run: Path) -> None:
    write_arrays(run / "weights" / "split.safetensors", {"train": ~modular_arithmetic(p=11).train.numpy()})


@pytest.mark.parametrize(
    ("change", "windows", "message"),
    [
        (_unfinished, ["1:3:1"], r"not finished: it has no checkpoint at 40, its last step; train it first"),
        (_other_split, ["1:3:1"], r"split\.safetensors is another split"),
        (None, ["1-3"], r"dense window '1-3' is not \"start:stop:every\""),
        (None, ["1:41:1"], r"<= 40, the last step"),
        (None, ["3:1:1"], r"start <= stop"),
    ],
)
def test_what_cannot_be_added_is_one_line_and_changes_nothing(
    run: Path, change: Callable[[Path], None] | None, windows: list[str], message: str
) -> None:
    if change:
        change(run)
    before = content(run)
    with pytest.raises(InterpError, match=message) as error:
        add(run, *windows)
    assert "\n" not in str(error.value)
    assert content(run) == before


def test_another_recipe_is_refused(run: Path) -> None:
    with pytest.raises(InterpError, match="was begun with another recipe"):
        add(run, "1:3:1", recipe="another")


# What is damaged is put right.


def flipped(path: Path, place: int = -5) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "a bit of the last tensor": flipped,
    "a bit of every checkpoint": lambda path: [flipped(path, -place) for place in range(1, 400)],
    "the end": lambda path: path.write_bytes(path.read_bytes()[:-3]),
    "all of it": lambda path: path.write_bytes(b""),
    "no file": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "block", [pytest.param(0, id="first block"), pytest.param(-1, id="last block", marks=pytest.mark.slow)]
)
def test_damaged_checkpoints_are_put_right_byte_for_byte(tmp_path: Path, monkeypatch, damage: str, block: int):
    monkeypatch.setattr(checkpoint_blocks, "CHECKPOINTS_PER_BLOCK", 2)
    train(tmp_path, every=10)
    before = content(tmp_path)
    path = tmp_path / "weights" / list(files(tmp_path))[block]
    DAMAGES[damage](path)
    broken = again.damaged(tmp_path, STEPS).missing
    assert set(broken) <= set(files(tmp_path)[path.name])
    assert broken
    again.mend(tmp_path, plan(steps=STEPS, save={"every": 10}))
    assert content(tmp_path) == before
    assert again.damaged(tmp_path, STEPS).missing == []


@pytest.mark.parametrize("stop", [10, *(pytest.param(stop, marks=pytest.mark.slow) for stop in (0, 20))])
def test_a_mending_that_is_stopped_goes_on(tmp_path: Path, stop: int):
    train(tmp_path, every=10)
    before = content(tmp_path)
    (path,) = (tmp_path / "weights" / name for name in files(tmp_path))
    flipped(path)
    with pytest.raises(InterpError, match="stopped"):
        again.mend(tmp_path, plan(steps=STEPS, save={"every": 10}), stop_after(stop))
    again.mend(tmp_path, plan(steps=STEPS, save={"every": 10}))
    assert content(tmp_path) == before


def test_a_run_that_is_not_finished_is_trained_first(tmp_path: Path):
    with pytest.raises(InterpError, match="stopped"):
        train(tmp_path, every=10, progress=stop_after(20))
    path = tmp_path / "weights" / next(iter(files(tmp_path)))
    path.write_bytes(b"")
    assert again.damaged(tmp_path, STEPS).missing == []
