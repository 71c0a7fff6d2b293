"""Train a network, keeping its weights at chosen steps; killed at any moment, it resumes exactly.

At a step that is kept, the checkpoint is written first and the training state after it, each by renaming a
whole file into its place. A process killed between the two resumes from the state before and replays the same
updates; the checkpoint it meets again is the same, and is left as it is.
"""

from __future__ import annotations

from pathlib import Path

from interp.errors import AlreadyDoneError, InterpError
from interp.files.arrays import write_arrays
from interp.training.plan import Plan
from interp.training.state import SPLIT, STATE, Meter, Progress, Training, advance, exactly, silent


def train(folder: Path, plan: Plan, progress: Progress = silent) -> None:
    """Train from fresh weights, or from where the run in `folder` stopped, to the plan's last update.

    Keeps the weights of the plan's steps and the split in `folder/weights`, and in `folder/training.safetensors` all
    that resuming needs. A resumed training is bit-identical to an uninterrupted one on the same machine with the same
    number of threads; the stored number is used again. `progress(step, train_loss, test_loss, steps_per_second)` is
    called at kept steps, every two seconds at most.

    Call `torch.set_flush_denormal(True)` first thing in the process: this function does too, but threads that
    torch has started before keep their setting, and a step after grokking then takes four times as long.

    Raises InterpError where the run is finished, was begun with another recipe, is in use, has no known
    split or targets that its loss is not for, meets a loss that is not finite, or is interrupted by Ctrl-C (its state
    is saved).
    """
    with exactly(folder, "training", plan) as interrupted:
        training = _begin(folder, plan)
        if training.step >= plan.steps:
            training.checkpoints.stack()
            raise AlreadyDoneError(f"{folder} is finished: it has all its {training.step} steps")
        advance(training, plan.steps, set(plan.save), Meter(training, progress), interrupted)
        training.checkpoints.stack()


def _begin(folder: Path, plan: Plan) -> Training:
    """The training in `folder`, at the step where it stopped, or at step 0 with its state written."""
    training = Training.fresh(folder, folder, plan)
    checkpoints = training.checkpoints
    if training.state.exists():
        training.load_state()
    elif checkpoints.steps:
        if set(plan.save) <= set(checkpoints.steps):
            raise AlreadyDoneError(f"{folder} is finished: it has every checkpoint of its recipe")
        raise InterpError(
            f"{folder} has weights but no {STATE} to resume from; restore it, or train in another folder, "
            f"or delete {checkpoints.folder} to start afresh"
        )
    else:
        write_arrays(checkpoints.folder / SPLIT, {"train": training.train.numpy()})
        training.start()
    return training
