"""Sweeps: what is trained, what is left alone, what is refused; a member alone is the member of the sweep."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import interp
from interp.errors import InterpError
from interp.executors.here import here
from interp.files.lock import locked
from interp.recipes.grid import Grid, read_grid
from interp.training import sweep
from tests.processes import python

ROOT = Path(interp.__file__).parent.parent
RECIPE = """
task: {sparse_parity: {n: 8, k: 2, n_train: 30, n_test: 10}}
model: {perceptron: {widths: [8]}}
training: {steps: 40, optimiser: {adamw: {lr: 1e-2}}, save: {every: 10}}
"""
GRID = """grid:
  training.seed: 0..2
  training.optimiser.adamw.weight_decay: [0.1, 1]
  model.perceptron.widths: [[8], [12]]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path / "sweep")


def written(folder: Path, grid: str = GRID, recipe: str = RECIPE) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "run.yaml").write_text(recipe + grid)
    return folder


def grid_of(folder: Path) -> Grid:
    found = read_grid(folder / "run.yaml")
    assert found is not None
    return found


def train(folder: Path) -> list:
    """What became of the members that were left."""
    grid = grid_of(folder)
    state = sweep.present(grid)
    with here(1, folder) as executor:
        return sweep.train(grid, state, executor, 1, sweep.Meter(grid, state, lambda _: None))


def files(folder: Path) -> dict[str, str]:
    """Every file of every member, by digest; but for what says where it was made."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def test_every_member_trains_and_opens_alone(folder: Path):
    ended = train(folder)
    assert [one.end for one in ended] == ["finished"] * 12
    for member in grid_of(folder).members:
        run = interp.open_run(folder / member.folder)
        assert run.steps == [0, 10, 20, 30, 40]
        assert run.training is not None
        assert run.training.seed == member.labels[0]


@pytest.mark.slow
def test_a_member_trained_alone_is_the_member_of_the_sweep(folder: Path, tmp_path: Path):
    train(folder)
    for name in (
        "seed=0,weight_decay=0.1,widths=8",
        "seed=2,weight_decay=1,widths=12",
        "seed=1,weight_decay=1,widths=8",
    ):
        alone = tmp_path / "alone" / name
        alone.mkdir(parents=True)
        shutil.copy(folder / name / "run.yaml", alone)
        done = python(["-m", "interp.train", str(alone)], tmp_path, os.environ | {"PYTHONPATH": str(ROOT)})
        assert done.returncode == 0, done.stderr
        assert files(alone) == files(folder / name)


def test_a_value_added_trains_the_new_members_only(folder: Path):
    train(folder)
    before = files(folder)
    written(folder, GRID.replace("0..2", "0..3"))
    assert {one.folder.name for one in train(folder)} == {
        f"seed=3,weight_decay={decay},widths={width}" for decay in ("0.1", "1") for width in (8, 12)
    }
    after = files(folder)
    assert {name: after[name] for name in before if name != "run.yaml"} == {
        name: digest for name, digest in before.items() if name != "run.yaml"
    }


def test_a_value_taken_away_deletes_nothing_and_is_told(folder: Path):
    train(folder)
    before = files(folder)
    written(folder, GRID.replace("0..2", "0..1"))
    state = sweep.present(grid_of(folder))
    assert len(state.gone) == 4
    assert all(name.startswith("seed=2,") for name in state.gone)
    assert not state.left
    assert files(folder).keys() == before.keys()


def test_another_option_under_trained_members_is_refused_with_both_values(folder: Path):
    train(folder)
    written(folder, recipe=RECIPE.replace("lr: 1e-2", "lr: 3e-2"))
    with pytest.raises(
        InterpError, match=r"training\.optimiser\.adamw\.lr is 0\.03, but .* 11 more were begun with 0\.01"
    ):
        sweep.present(grid_of(folder))


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE.replace("steps: 40", "steps: 40, batch_size: null, seed: 0"),
        RECIPE.replace("lr: 1e-2", "lr: 0.010"),
        RECIPE.replace("task:", "text: For the reader.\ntask:"),
    ],
)
def test_the_same_said_otherwise_is_no_other_recipe(folder: Path, recipe: str):
    train(folder)
    written(folder, recipe=recipe)
    assert not sweep.present(grid_of(folder)).left


def test_a_member_that_was_not_begun_takes_the_recipe_that_is_there_now(folder: Path):
    member = folder / "seed=0,weight_decay=0.1,widths=8"
    member.mkdir()
    (member / "run.yaml").write_text(RECIPE.replace("lr: 1e-2", "lr: 3e-2"))
    train(folder)
    assert interp.open_run(member).training.optimiser.options["lr"] == 0.01


def test_a_new_axis_must_say_what_the_present_members_have(folder: Path):
    written(folder, "grid: {training.seed: 0..1}\n", RECIPE.replace("lr: 1e-2", "lr: 1e-2, weight_decay: 1"))
    train(folder)
    before = files(folder)
    added = "grid: {training.seed: 0..1, training.optimiser.adamw.weight_decay: [0.1, 1]%s}\n"
    written(folder, added % "")
    with pytest.raises(InterpError, match=r"before the grid had the axis weight_decay; .*present: \{weight_decay"):
        sweep.present(grid_of(folder))
    written(folder, added % ", present: {weight_decay: 0.1}")
    with pytest.raises(InterpError, match=r"weight_decay is 0\.1, but .* begun with 1"):
        sweep.present(grid_of(folder))
    written(folder, added % ", present: {weight_decay: 1}")
    assert {one.folder.name for one in train(folder)} == {"seed=0,weight_decay=0.1", "seed=1,weight_decay=0.1"}
    after = files(folder)
    assert all(after[name] == digest for name, digest in before.items() if name != "run.yaml")
    assert interp.open_run(folder).run(seed=1, weight_decay=1).path.name == "seed=1"


def test_a_run_in_the_sweeps_own_folder_is_refused(folder: Path):
    train(folder)
    shutil.copytree(folder / "seed=0,weight_decay=1,widths=8" / "weights", folder / "weights")
    with pytest.raises(InterpError, match="weights of one run"):
        sweep.present(grid_of(folder))


def test_a_member_that_diverges_is_marked_and_not_tried_again_and_the_others_go_on(folder: Path):
    written(
        folder,
        "grid: {training.optimiser.sgd.lr: {calm: 0.01, wild: 1e30}}\n",
        RECIPE.replace("adamw: {lr: 1e-2}", "sgd: {lr: 1}"),
    )
    ended = {one.folder.name: one.end for one in train(folder)}
    assert ended == {"lr=calm": "finished", "lr=wild": "diverged"}
    state = sweep.present(grid_of(folder))
    assert not state.left
    frame = interp.open_run(folder).to_dataframe()
    assert frame.end.tolist() == ["finished", "diverged"]
    result = interp.over_steps("loss", interp.open_run(folder))
    assert result.train_loss.sel(lr="calm").notnull().all()
    assert result.train_loss.sel(lr="wild", step=40).isnull()


def test_a_member_that_cannot_be_trained_is_counted_apart_and_the_others_are_trained(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    def without_room_for_one(stack: list, told: object) -> object:
        if any(member.folder.name == "seed=1" for member in stack):
            raise InterpError("there is no room")
        return train_stack(stack, told)

    written(folder, "grid: {training.seed: 0..2}\n")
    train_stack = sweep.train_stack
    monkeypatch.setattr(sweep, "train_stack", without_room_for_one)
    told: list[sweep.Progress] = []
    grid = grid_of(folder)
    state = sweep.present(grid)
    with here(1, folder) as executor:
        ended = sweep.train(grid, state, executor, 1, sweep.Meter(grid, state, told.append))
    assert [isinstance(one, sweep.Failure) for one in ended] == [False, True, False]
    assert (told[-1].done, told[-1].failed, told[-1].total) == (2, 1, 3)


def test_the_second_command_on_a_sweep_is_told_who_is_at_it(folder: Path, tmp_path: Path):
    with locked(folder, "training"):
        done = python(["-m", "interp.train", str(folder)], tmp_path, os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 1
    assert re.search(r"is in use by training \(process \d+\)", done.stderr)


def test_plan_tells_members_minutes_and_bytes_and_trains_nothing(folder: Path, tmp_path: Path):
    done = python(["-m", "interp.train", str(folder), "--plan"], tmp_path, os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert "12 runs (3 seed × 2 weight_decay × 2 widths); 0 finished, 12 to train" in done.stdout
    assert re.search(r"in \d+ stacks; about .* MB of checkpoints", done.stdout)
    assert [path.name for path in folder.iterdir()] == ["run.yaml"]


def test_only_trains_some(folder: Path, tmp_path: Path):
    command = [
        "-m",
        "interp.train",
        str(folder),
        "--only",
        "seed=1..2,widths=12",
        "--only",
        "seed=0,weight_decay=1,widths=8",
    ]
    done = python(command, tmp_path, os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {
        "seed=0,weight_decay=1,widths=8",
        *(f"seed={seed},weight_decay={decay},widths=12" for seed in (1, 2) for decay in ("0.1", "1")),
    }


def test_files_that_a_kill_left_behind_beside_their_block_are_taken_away(tmp_path: Path):
    folder = written(tmp_path / "sweep")
    train(folder)
    whole = files(folder)
    member = next(path for path in sorted(folder.iterdir()) if (path / "weights").is_dir())
    (member / "weights" / "step-000000010.safetensors").write_bytes(b"as before its block was in the index")
    assert len(sweep.present(grid_of(folder)).left) == 1
    train(folder)
    assert files(folder) == whole


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_again_and_again_it_ends_as_if_it_had_not_been(tmp_path: Path, jobs: int):
    """Twelve members, killed at random moments, have the files of an uninterrupted sweep, byte for byte."""
    recipe = RECIPE.replace("steps: 40", "steps: 3_000").replace("every: 10", "every: 300")
    whole, killed = written(tmp_path / "whole", recipe=recipe), written(tmp_path / "killed", recipe=recipe)
    assert all(one.end == "finished" for one in train(whole))
    generator = random.Random(0)
    command = [sys.executable, "-m", "interp.train", str(killed), "--jobs", str(jobs)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    kills = 0
    for _ in range(60):
        process = subprocess.Popen(
            command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + generator.uniform(3, 7) if kills < 10 else None  # three seconds are imports
        while process.poll() is None and (deadline is None or time.monotonic() < deadline):
            time.sleep(0.05)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
        elif process.returncode == 0 or not sweep.present(grid_of(killed)).left:
            break
    assert files(killed) == files(whole)
