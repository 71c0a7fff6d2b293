"""Train a network, keeping its weights at chosen steps; killed at any moment, it resumes exactly.

At a step that is kept, the checkpoint is written first and the training state after it, each by renaming a
whole file into its place. A process killed between the two resumes from the state before and replays the same
updates; the checkpoint it meets again is the same, and is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from interp.contracts.architecture import Architecture
from interp.contracts.optimiser import Optimiser
from interp.contracts.task import Task
from interp.errors import AlreadyDoneError, InterpError
from interp.files.arrays import write_arrays
from interp.training.state import SPLIT, STATE, Meter, Progress, Training, advance, exactly, silent


def train(
    folder: Path,
    task: Task,
    architecture: Architecture,
    optimiser: Callable[[list[Tensor]], Optimiser],
    steps: int,
    save: list[int],
    seed: int,
    batch_size: int | None = None,
    recipe: str = "",
    progress: Progress = silent,
) -> None:
    """Train from `seed`, or from where the run in `folder` stopped, to `steps` updates.

    Keeps the weights of the steps in `save` and the split in `folder/weights`, and in
    `folder/training.safetensors` all that resuming needs. A resumed training is bit-identical to an
    uninterrupted one on the same machine with the same number of threads; the stored number is used again.
    `batch_size` None: every update sees all training pairs. `recipe` is the text by which a run is recognised.
    `progress(step, train_loss, test_loss, steps_per_second)` is called at kept steps, every two seconds at most.

    Call `torch.set_flush_denormal(True)` first thing in the process: this function does too, but threads that
    torch has started before keep their setting, and a step after grokking then takes four times as long.

    Raises InterpError where the run is finished, was begun with another recipe, is in use, has no known
    split, meets a loss that is not finite, or is interrupted by Ctrl-C (its state is saved).
    """
    with exactly(folder, "training", task, architecture, batch_size) as interrupted:
        training = _begin(folder, task, architecture, optimiser, seed, batch_size, recipe, save)
        if training.step >= steps:
            training.checkpoints.stack()
            raise AlreadyDoneError(f"{folder} is finished: it has all its {training.step} steps")
        advance(training, steps, set(save), Meter(training, progress), interrupted)
        training.checkpoints.stack()


def _begin(
    folder: Path,
    task: Task,
    architecture: Architecture,
    optimiser: Callable[[list[Tensor]], Optimiser],
    seed: int,
    batch_size: int | None,
    recipe: str,
    save: list[int],
) -> Training:
    """The training in `folder`, at the step where it stopped, or at step 0 with its state written."""
    training = Training.at_start(folder, folder, task, architecture, optimiser, seed, batch_size, recipe)
    checkpoints = training.checkpoints
    if training.state.exists():
        training.load_state()
    elif checkpoints.steps:
        if set(save) <= set(checkpoints.steps):
            raise AlreadyDoneError(f"{folder} is finished: it has every checkpoint of its recipe")
        raise InterpError(
            f"{folder} has weights but no {STATE} to resume from; restore it, or train in another folder, "
            f"or delete {checkpoints.folder} to start afresh"
        )
    else:
        write_arrays(checkpoints.folder / SPLIT, {"train": training.train.numpy()})
        training.save_state()
    return training
