"""How trainings end: at their last step, before it where the recipe says so, or where the loss is not finite."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import interp
from interp.errors import AlreadyDoneError, InterpError
from interp.files.arrays import read_about, read_arrays, write_arrays
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.files.writing import write_text
from interp.models.mlp import mlp
from interp.recipes import run_recipe
from interp.recipes.call import Call
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.training import again
from interp.training.estimate import plan_of_stack
from interp.training.loop import train
from interp.training.outcome import FILE, early_end
from interp.training.plan import Plan, PlannedRun
from interp.training.state import STATE
from tests.training.pieces import StackPiece, train_piece
from tests.training.plans import plan, small_mlp
from tests.training.test_loop import digests, stop_after

pytestmark = pytest.mark.usefixtures("one_thread", "told_at_once")


def losses(folder: Path, chosen: Plan, step: int) -> tuple[float, float]:
    """The mean train and test loss of the weights that are stored."""
    arrays = CheckpointBlocks(folder / "weights").load(step)
    weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    outputs = chosen.architecture.outputs(weights, chosen.task.inputs)
    each = torch.nn.functional.cross_entropy(outputs.double(), chosen.task.targets, reduction="none")
    train = chosen.task.train
    assert train is not None
    return each[train].mean().item(), each[~train].mean().item()


def stopping(when: dict[str, float], **more: Any) -> Plan:
    return plan(small_mlp, steps=200, save={"every": 20}, stop={"when": when, **more}, lr=1e-2)


def test_it_ends_at_the_first_step_that_is_kept_at_which_the_loss_is_reached(tmp_path: Path) -> None:
    train(tmp_path / "whole", plan(small_mlp, steps=200, save={"every": 20}, lr=1e-2))
    chosen = stopping({"train_loss": 1.0})
    first = next(s for s in range(0, 201, 20) if losses(tmp_path / "whole", chosen, s)[0] <= 1.0)
    assert 0 < first < 200
    outcome = train(tmp_path / "run", chosen)
    assert (outcome.end, outcome.step, outcome.updates) == ("stopped", first, first)
    whole = digests(tmp_path / "whole")
    assert digests(tmp_path / "run") == {step: whole[step] for step in range(0, first + 1, 20)}
    assert early_end(tmp_path / "run") == replace(outcome, updates=0)
    (tmp_path / "run" / STATE).unlink()  # as of a run that ships
    with pytest.raises(AlreadyDoneError, match=rf"ended at step {first}: what its recipe says under stop"):
        train(tmp_path / "run", chosen)


@pytest.mark.slow
def test_with_every_it_is_asked_between_and_the_last_step_has_a_checkpoint(tmp_path: Path) -> None:
    train(tmp_path / "whole", plan(small_mlp, steps=200, save={"every": 1}, lr=1e-2))
    chosen = stopping({"train_loss": 1.0}, every=3)
    asked = [s for s in range(201) if s % 20 == 0 or s % 3 == 0]
    first = next(s for s in asked if losses(tmp_path / "whole", chosen, s)[0] <= 1.0)
    assert first % 20
    outcome = train(tmp_path / "run", chosen)
    assert outcome.step == first
    assert digests(tmp_path / "run")[first] == digests(tmp_path / "whole")[first]
    assert read_about(tmp_path / "run" / STATE)["step"] == first


def test_all_that_is_waited_for_must_be_there(tmp_path: Path) -> None:
    assert train(tmp_path, stopping({"train_accuracy": 0.5, "test_loss": 1e-9})).end == "finished"
    assert not (tmp_path / "weights" / FILE).exists()


def test_stopped_by_ctrl_c_before_it_ends_it_ends_where_it_would(tmp_path: Path) -> None:
    chosen = stopping({"train_loss": 1.0})
    outcome = train(tmp_path / "whole", chosen)
    with pytest.raises(InterpError, match="stopped at step 20 of 200"):
        train(tmp_path / "parted", chosen, stop_after(20))
    (tmp_path / "parted" / "weights" / FILE).unlink(missing_ok=True)
    assert train(tmp_path / "parted", chosen).step == outcome.step
    assert digests(tmp_path / "parted") == digests(tmp_path / "whole")
    (tmp_path / "parted" / "weights" / FILE).unlink()  # as if killed before it was written
    assert train(tmp_path / "parted", chosen) == replace(outcome, folder=tmp_path / "parted", updates=0)


@pytest.mark.parametrize(
    ("when", "change", "message"),
    [
        ({"test_loss": 1.0}, {"frac_train": 1.0}, "waits for test_loss, and the task has no test examples"),
        ({}, {}, "waits for nothing; give stop a loss or an accuracy"),
    ],
)
def test_what_can_never_be_reached_is_refused(tmp_path: Path, when: Any, change: Any, message: str) -> None:
    task = modular_arithmetic(p=11, **change)
    with pytest.raises(InterpError, match=message):
        train(tmp_path, plan(small_mlp, task=task, stop={"when": when}))


@pytest.mark.slow
def test_checkpoints_are_added_to_a_run_that_ended_early_up_to_its_end(tmp_path: Path) -> None:
    chosen = stopping({"train_loss": 1.0})
    last = train(tmp_path / "run", chosen).step
    train(tmp_path / "every", plan(small_mlp, steps=200, save={"every": 1}, lr=1e-2))
    again.add(tmp_path / "run", chosen, ["1:19:9"])
    found = digests(tmp_path / "run")
    assert set(found) == {1, 10, 19, *range(0, last + 1, 20)}
    assert found.items() <= digests(tmp_path / "every").items()
    with pytest.raises(InterpError, match=rf"ended early, and its last checkpoint is that at {last}; .* up to {last}"):
        again.add(tmp_path / "run", chosen, [f"{last + 1}:{last + 3}:1"])


# What an earlier version trained.


def as_before(folder: Path) -> None:
    """The state as the former loop wrote it: it told no loop."""
    arrays, about = read_arrays(folder / STATE)
    write_arrays(folder / STATE, arrays, {key: value for key, value in about.items() if key != "loop"})


def test_a_run_of_the_former_loop_is_finished_but_gets_no_more_checkpoints(tmp_path: Path) -> None:
    train(tmp_path, plan(small_mlp))
    as_before(tmp_path)
    before = digests(tmp_path)
    with pytest.raises(AlreadyDoneError, match="is finished"):
        train(tmp_path, plan(small_mlp))
    with pytest.raises(InterpError, match=r"was trained by an earlier version of interp, .* stays readable") as error:
        again.add(tmp_path, plan(small_mlp), ["1:3:1"])
    assert "\n" not in str(error.value)
    assert digests(tmp_path) == before


def test_a_run_that_the_former_loop_began_does_not_go_on(tmp_path: Path) -> None:
    with pytest.raises(InterpError, match="stopped"):
        train(tmp_path, plan(small_mlp), stop_after(20))
    as_before(tmp_path)
    before = digests(tmp_path)
    with pytest.raises(InterpError, match=r"was trained by an earlier version of interp, .* train it afresh"):
        train(tmp_path, plan(small_mlp))
    assert digests(tmp_path) == before


# The type of the numbers.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_state_and_files_are_of_the_recipe_s_type(tmp_path: Path, dtype: Any) -> None:
    train(tmp_path, plan(small_mlp, dtype=dtype))
    arrays, _ = read_arrays(tmp_path / STATE)
    stored = CheckpointBlocks(tmp_path / "weights").load(40)
    assert {array.dtype for name, array in arrays.items()} == {np.dtype(dtype)}
    assert {array.dtype for array in stored.values()} == {np.dtype(dtype)}
    fresh = plan(small_mlp).architecture.initial(1)
    for name, array in CheckpointBlocks(tmp_path / "weights").load(0).items():
        np.testing.assert_array_equal(array, fresh[name].numpy())


def test_a_training_in_float64_is_torch_s_own_in_float64(tmp_path: Path) -> None:
    chosen = plan(small_mlp, dtype="float64")
    train(tmp_path, chosen)
    weights = {name: w.double().requires_grad_() for name, w in chosen.architecture.initial(1).items()}
    optimiser = torch.optim.AdamW(weights.values(), lr=1.0, betas=(0.9, 0.98), weight_decay=1.0)
    train_rows = chosen.task.train
    for i in range(40):
        optimiser.param_groups[0]["lr"] = 1e-3 * min(i / 10, 1)
        outputs = chosen.architecture.outputs(weights, chosen.task.inputs)[train_rows]
        loss = torch.nn.functional.cross_entropy(outputs, chosen.task.targets[train_rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    for name, array in CheckpointBlocks(tmp_path / "weights").load(40).items():
        np.testing.assert_allclose(array, weights[name].detach().numpy(), rtol=1e-9, atol=1e-12)


# Recipes, pieces and estimates.

RECIPE = """
task: {sparse_parity: {n: 6, k: 2, n_train: 40, n_test: 20}}
model: {perceptron: {widths: [5]}}
training:
  steps: 30
  dtype: float64
  stop: {when: {train_accuracy: 1.1}}
  optimiser: {adamw: {lr: 1e-2}}
  loss: {logistic: {least: 1e-7}}
  save: {every: 10}
"""


def test_a_recipe_says_type_and_stop_and_mistakes_are_told(tmp_path: Path) -> None:
    write_text(tmp_path / "run.yaml", RECIPE)
    with pytest.raises(InterpError, match=r"stop.when.train_accuracy.* is 1.1; .*less than or equal to 1"):
        run_recipe.read(tmp_path / "run.yaml")
    write_text(tmp_path / "run.yaml", RECIPE.replace("1.1", "0.9").replace("float64", "float16"))
    with pytest.raises(InterpError, match=r"dtype.* is 'float16'; .*'float32' or 'float64'"):
        run_recipe.read(tmp_path / "run.yaml")
    write_text(tmp_path / "run.yaml", RECIPE.replace("1.1", "0.9"))
    training = run_recipe.read_to_train(tmp_path / "run.yaml").training
    assert training is not None
    assert (training.dtype, training.stop) == ("float64", {"when": {"train_accuracy": 0.9}})


def test_the_text_of_a_recipe_that_says_neither_is_that_of_before() -> None:
    chosen = run_recipe.Training(10, Call("optimisers", "adamw", {}))
    written = run_recipe.Recipe(Path(), None, None, chosen, None, None, "").canonical
    assert "dtype" not in written
    assert "stop" not in written


def test_a_piece_trains_what_the_recipes_in_its_folders_say_and_the_run_opens(tmp_path: Path) -> None:
    folders = tuple(tmp_path / str(seed) for seed in range(3))
    for seed, folder in enumerate(folders):
        folder.mkdir()
        write_text(folder / "run.yaml", RECIPE.replace("1.1", "1.0").replace("30", f"30\n  seed: {seed}"))
    told: list[dict[str, Any]] = []
    first = train_piece(StackPiece(folders, stretch=12), told.append)
    assert [(one.end, one.step) for one in first] == [("unfinished", 12)] * 3
    last = train_piece(StackPiece(folders), told.append)
    assert [(one.end, one.step, one.updates) for one in last] == [("finished", 30, 18)] * 3
    assert {(one["folder"], one["step"]) for one in told} >= {(str(folder), 30) for folder in folders}
    run = interp.open_run(folders[1])
    assert run.steps == [0, 10, 20, 30]
    assert run.final.weights["mlp.0.W_in"].dtype == torch.float64


def test_what_a_stack_takes_is_told_before_anything_is_written(tmp_path: Path) -> None:
    made = PlannedRun(tmp_path / "run", plan(lambda task: mlp(task, d_model=4, d_mlp=8), save={"every": 10}))
    found = plan_of_stack([made, replace(made, folder=tmp_path / "other")])
    assert (found.members, found.updates) == (2, 80)
    assert found.seconds == found.updates * found.seconds_per_update > 0
    weights = sum(w.numel() for w in made.plan.architecture.initial(0).values())
    assert found.bytes_on_disk == 2 * 4 * weights * (5 + 1 + 2)  # checkpoints, and a state with two moments
    assert not list(tmp_path.iterdir())
