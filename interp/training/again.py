"""A finished run trained a second time: for checkpoints that it did not keep, or that are damaged.

A run's state holds what its last step needs, so the run is trained again from its first step, which is 0 or that at
which it starts from its parent. Every checkpoint of the run
that is passed on the way is compared with the weights of this training, every bit of them. A new checkpoint waits
beside the run, in `<run>/.dense`, until the next checkpoint of the run, at or after it, has agreed; only then does it
become one of the run's. The training therefore goes on past what is asked for to that next checkpoint. Killed at any
moment, it resumes from its own state in `<run>/.dense`; at the end that folder is removed. `run.yaml` is never written.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from interp.errors import AlreadyDoneError, InterpError, command_line
from interp.files.arrays import arrays_digest, read_arrays
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.recipes.save_schedule import window_steps
from interp.training.course import Course, exactly, follow
from interp.training.outcome import early_end
from interp.training.parents import inherited
from interp.training.plan import Plan
from interp.training.progress import Meter, Progress, Standing, silent
from interp.training.stack import Stack
from interp.training.state import SPLIT, WEIGHTS, Training, about_state, threads_of

PLACE = ".dense"


@dataclass(frozen=True)
class Gaps:
    """The checkpoints that a run lacks."""

    missing: list[int]
    end: int
    """The step to train to: the run's first checkpoint at or after the last missing one, or the last missing one."""


def gaps(folder: Path, plan: Plan, windows: Sequence[str]) -> Gaps:
    """Raises InterpError where a window is not one of the run's, or its last step is not there."""
    steps = plan.steps
    try:
        wanted = {step for window in windows for step in window_steps(window, steps)}
    except ValueError as error:
        raise InterpError(f"{folder}: {error}") from None
    stored = CheckpointBlocks(folder / WEIGHTS).steps
    last = _last(folder, steps, stored)
    if last not in stored:
        raise InterpError(
            f"{folder} is not finished: it has no checkpoint at {steps}, its last step; "
            f"train it first: {command_line('train', folder)}"
        )
    if beyond := [step for step in sorted(wanted) if step > last]:
        raise InterpError(
            f"{folder} ended early, and its last checkpoint is that at {last:,}; none can be added at {beyond[0]:,} or "
            f"later: give windows up to {last}"
        )
    if plan.parent and min(wanted) < plan.start:
        (every, *_) = (window_steps(window, steps).step for window in windows)
        there = command_line("train", plan.parent.folder, "--dense", f"{min(wanted)}:{plan.start}:{every}")
        raise InterpError(f"{folder} starts at step {plan.start:,}; what is before belongs to its parent: {there}")
    missing = sorted(wanted - set(stored))
    return Gaps(missing, min(step for step in stored if step >= max(missing, default=0)))


def _last(folder: Path, steps: int, stored: Sequence[int]) -> int:
    """The last step of a finished run: of one that ended early, its last checkpoint."""
    return steps if early_end(folder) is None else max(stored, default=steps)


def add(folder: Path, plan: Plan, windows: Sequence[str], progress: Progress = silent) -> None:
    """Add the checkpoints of `windows`, "start:stop:every", that the run in `folder` lacks.

    It is trained with the number of threads that it was trained with, where its state tells, else with that of its
    size. `progress` is told what that of `interp.training.loop.train` is.

    Raises InterpError where the run is not finished or has another recipe or split, where a window is not one of it
    or nothing is missing, where it is in use, where Ctrl-C interrupts (the same call goes on), and where the weights
    of this training differ from the run's: then what was verified before stays, and nothing else is added.
    """
    with exactly([folder], "adding checkpoints", _threads(folder, plan)) as interrupted:
        lacking = gaps(folder, plan, windows)
        if not lacking.missing:
            _finish(CheckpointBlocks(folder / WEIGHTS), folder / PLACE)
            raise AlreadyDoneError(f"{folder} has every checkpoint of {', '.join(windows)} already")
        second = _Retraining.of(folder, plan, lacking, interrupted)
        second.train(progress, interrupted, second.publish)
        second.finish()


def damaged(folder: Path, steps: int) -> Gaps:
    """The checkpoints of a finished run that cannot be read any more; none of a run that is not finished."""
    stored = CheckpointBlocks(folder / WEIGHTS)
    broken = stored.damaged() if _last(folder, steps, stored.steps) in stored.steps else []
    whole = (step for step in stored.steps if step not in broken)
    return Gaps(broken, min((step for step in whole if step >= max(broken, default=0)), default=max(broken, default=0)))


def mend(folder: Path, plan: Plan, progress: Progress = silent) -> None:
    """Put the checkpoints right that cannot be read any more. It raises what `add` does."""
    with exactly([folder], "training damaged checkpoints again", _threads(folder, plan)) as interrupted:
        second = _Retraining.of(folder, plan, damaged(folder, plan.steps), interrupted)
        second.train(progress, interrupted, lambda: None)
        second.put_right()
        second.finish()


@dataclass
class _Retraining:
    """A second training of a run, whose checkpoints wait for the run's own."""

    training: Training
    stack: Stack
    stored: CheckpointBlocks
    lacking: Gaps
    kept: set[int]
    """The checkpoints of the run that are compared."""
    agreed: int | None = None
    """The last checkpoint of the run that was compared and is the same."""

    @classmethod
    def of(cls, folder: Path, plan: Plan, lacking: Gaps, interrupted: Callable[[], bool]) -> _Retraining:
        """Where an earlier one stopped, or at its first step. Raises InterpError where it cannot give this run."""
        stored, place = CheckpointBlocks(folder / WEIGHTS), folder / PLACE
        training = Training.fresh(folder, place, plan)
        _check_split(training)
        stack = Stack([training])
        if _goes_on(training, lacking):
            training.load_state()
        else:
            shutil.rmtree(place, ignore_errors=True)
            training.checkpoints.refresh()
            training.start(inherited(plan, interrupted))
        kept = {step for step in stored.steps if step <= lacking.end and step not in lacking.missing}
        return cls(training, stack, stored, lacking, kept)

    def train(self, progress: Progress, interrupted: Callable[[], bool], after_agreement: Callable[[], None]) -> None:
        """Up to the end of the gaps; `after_agreement` follows every checkpoint that is the same."""

        def keep() -> None:
            if self.training.step not in self.kept:
                self.training.save_checkpoint()
                return
            self._compare()
            after_agreement()

        save = self.kept | set(self.lacking.missing)

        def tell(standing: Standing) -> None:
            losses = standing.train_loss, standing.test_loss
            progress(standing.step, *losses, standing.updates_a_second)

        follow([Course(self.training, self.lacking.end, save, keep)], self.stack, Meter(tell), interrupted)

    def finish(self) -> None:
        """Nothing is left of this training beside the run."""
        _finish(self.stored, self.training.state.parent)

    def _compare(self) -> None:
        step = self.training.step
        if arrays_digest(self.stored.load(step)) == arrays_digest(self.training.arrays):
            self.agreed = step
            return
        self.finish()
        parent = self.training.plan.parent
        if parent and step == parent.step:
            told = f"the weights that its parent has at step {step:,} are not those that this run began with"
            raise InterpError(parent.told("run", f"{told}: the parent was trained anew; nothing was added"))
        threads = f"{torch.get_num_threads()} thread" + "s" * (torch.get_num_threads() > 1)
        raise InterpError(
            f"{self.training.folder}: trained again, the weights at step {step} are not those of the run: this "
            f"machine, torch {torch.__version__} or {threads} gives other rounding up to there, or an earlier "
            "version of interp trained it. "
            f"Nothing was added{'' if self.agreed is None else f' after step {self.agreed}'}"
        )

    def publish(self) -> None:
        """The checkpoints that wait become the run's."""
        waiting = self.training.checkpoints
        if not waiting.steps:
            return
        for step in waiting.steps:
            self.stored.save(step, waiting.load(step))
        self.training.save_state()  # past them, before they go
        waiting.clear()

    def put_right(self) -> None:
        """The checkpoints that wait take the places of the damaged ones."""
        waiting = self.training.checkpoints
        self.stored.put_right({step: waiting.load(step) for step in waiting.steps})


def _threads(folder: Path, plan: Plan) -> int:
    """The number of threads that the run was trained with. Raises InterpError as `threads_of` does."""
    found = threads_of(folder, plan)
    if found != plan.threads:
        warnings.warn(
            f"training with {found} threads, as this run was begun, not {plan.threads}: another number gives other "
            "rounding",
            stacklevel=3,
        )
    return found


def _goes_on(training: Training, lacking: Gaps) -> bool:
    """Whether there is a state of this second training that has left out no missing step."""
    if not training.state.exists():
        return False
    try:
        step = about_state(training.state, training.folder, training.plan.recipe)["step"]
    except InterpError:
        return False
    passed = {missing for missing in lacking.missing if missing <= step}
    return step <= lacking.end and passed <= set(training.checkpoints.steps)


def _check_split(training: Training) -> None:
    path = training.folder / WEIGHTS / SPLIT
    if not path.exists():
        return
    split, _ = read_arrays(path)
    if not np.array_equal(split.get("train", ()), training.train.numpy()):
        raise InterpError(f"{path} is another split than the one of the recipe: training again cannot give this run")


def _finish(stored: CheckpointBlocks, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    stored.stack()
