"""Train networks, keeping their weights at chosen steps; killed at any moment, each of them resumes exactly.

One run is a stack of one: `train` and `train_stack` are the same loop. What is written, and in which order, stands in
`interp.training.course`; what a stack is, in `interp.training.stack`.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from interp.errors import AlreadyDoneError, InterpError
from interp.files.arrays import write_arrays
from interp.training.course import Course, exactly, follow
from interp.training.outcome import Outcome, early_end
from interp.training.parents import Inheritance
from interp.training.plan import Plan, PlannedRun
from interp.training.progress import Meter, Progress, Standing, Told, silent, untold
from interp.training.stack import Stack
from interp.training.state import SPLIT, STATE, Training, about_state


def train(folder: Path, plan: Plan, progress: Progress = silent) -> Outcome:
    """Train from fresh weights, or from where the run in `folder` stopped, to the plan's last update.

    Keeps the weights of the plan's steps and the split in `folder/weights`, and in `folder/training.safetensors` all
    that resuming needs. A resumed training is bit-identical to an uninterrupted one on the same machine, and to the
    same run trained in a stack. `progress(step, train_loss, test_loss, steps_per_second)` is called at kept steps,
    every two seconds at most. The outcome tells whether it came to its last step, ended before where its recipe's
    `stop` says so, or diverged: its loss was not finite. The last two are not tried again.

    Call it, or `torch.set_flush_denormal(True)`, before torch computes anything in several threads: threads that it
    has started before do not take denormal numbers for 0, and a step after grokking then takes four times as long.

    Raises InterpError where the run has ended already, was begun with another recipe or trained by an earlier version,
    is in use, has no known split or targets that its loss is not for, or is interrupted by Ctrl-C (its state is saved).
    """

    def tell(standing: Standing) -> None:
        losses = standing.train_loss, standing.test_loss
        progress(standing.step, *losses, standing.updates_a_second)

    (outcome,) = train_stack([PlannedRun(folder, plan)], tell)
    if isinstance(outcome, _Already):
        raise AlreadyDoneError(outcome.message)
    return outcome


def train_stack(members: Sequence[PlannedRun], tell: Told = untold, stretch: int | None = None) -> list[Outcome]:
    """Train these runs together, each as `train` would alone; how each ended, in their order.

    They must go together (`interp.training.stack.stacks` shares members out); some may be ahead of others, or have
    ended already: these are left as they are. With a `stretch` each makes so many updates at most, and is then
    "unfinished". `tell` is called with a `Standing` at kept steps, every two seconds at most.

    Raises InterpError as `train` does, but where a run has ended; no run is then left without its last state.
    """
    if not members:
        return []
    if len({member.plan.stacks_with for member in members}) > 1:
        raise InterpError(
            f"{members[0].folder} and {len(members) - 1} more do not all have the same shapes, type, threads and "
            "kind of update, and cannot be one stack; share them out with interp.training.stack.stacks"
        )
    with exactly([member.folder for member in members], "training", _threads(members)) as interrupted:
        trainings = [Training.fresh(member.folder, member.folder, member.plan) for member in members]
        stack = Stack(trainings)
        inheritance = Inheritance(interrupted)
        ended = {place: found for place, one in enumerate(trainings) if (found := _begin(one, inheritance))}
        stack.leave([trainings[place] for place in ended])
        courses = [_course(one, stretch) for one in stack.trainings]
        outcomes = iter(follow(courses, stack, Meter(tell), interrupted))
        every = [ended[place] if place in ended else next(outcomes) for place in range(len(members))]
        for training, outcome in zip(trainings, every, strict=True):
            if outcome.end != "unfinished":
                training.checkpoints.stack()
        return every


@dataclass(frozen=True)
class _Already(Outcome):
    """The outcome of a run that has ended before."""

    message: str = ""


def _course(training: Training, stretch: int | None) -> Course:
    plan = training.plan
    end = plan.steps if stretch is None else min(plan.steps, training.step + stretch)
    return Course(training, end, set(plan.save), stop=plan.training.stop)


def _begin(training: Training, inheritance: Inheritance) -> _Already | None:
    """Take the training to where it stopped, or to its first step with its state written; or tell that it has ended.

    Raises InterpError where it cannot go on.
    """
    plan, folder, checkpoints = training.plan, training.folder, training.checkpoints
    about = about_state(training.state, folder, plan.recipe) if training.state.exists() else None
    if found := early_end(folder):
        return _Already(found.folder, found.end, found.step, message=found.sentence)
    if about:
        if about["step"] >= plan.steps:
            found = Outcome(folder, "finished", about["step"])
            return _Already(found.folder, found.end, found.step, message=found.sentence)
        training.load_state()
    elif checkpoints.steps:
        if set(plan.save) <= set(checkpoints.steps):
            message = f"{folder} is finished: it has every checkpoint of its recipe"
            return _Already(folder, "finished", plan.steps, message=message)
        raise InterpError(
            f"{folder} has weights but no {STATE} to resume from; restore it, or train in another folder, "
            f"or delete {checkpoints.folder} to start afresh"
        )
    else:
        taken = inheritance.of(plan)
        write_arrays(checkpoints.folder / SPLIT, {"train": training.train.numpy()})
        training.start(taken)
    return None


def _threads(members: Sequence[PlannedRun]) -> int:
    """The number of threads of the members that were begun, else the one that their size asks for.

    Raises InterpError where they were begun with different ones.
    """
    wanted = members[0].plan.threads
    begun = {}
    for member in members:
        state = member.folder / STATE
        if state.exists():
            with contextlib.suppress(InterpError):  # it is told where the state is loaded
                begun[about_state(state, member.folder, member.plan.recipe)["threads"]] = member.folder
    if len(begun) > 1:
        different = " and ".join(f"{folder} with {number}" for number, folder in sorted(begun.items()))
        raise InterpError(f"begun with different numbers of threads: {different}; train these one after another")
    stored = next(iter(begun), wanted)
    if stored != wanted:
        warnings.warn(
            f"training with {stored} threads, as this run was begun, not {wanted}: another number gives other rounding",
            stacklevel=4,
        )
    return stored
