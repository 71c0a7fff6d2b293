"""What a stack's training will take, from a few updates that are timed; nothing is written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from interp.machine import denormals, process
from interp.training.plan import PlannedRun
from interp.training.stack import Stack
from interp.training.state import Training

UPDATES = 50
WARM_UP = 3
MOST_SECONDS = 5.0
"""A network so large that fewer updates take longer than this is timed by these."""


@dataclass(frozen=True)
class StackPlan:
    """What the training of a stack takes, from its first update to its last."""

    members: int
    seconds_per_update: float
    """Process seconds, of one member."""
    updates: int
    """Those of all members."""
    bytes_on_disk: int
    """What the members' checkpoints and states take, at most: those that end early keep fewer."""

    @property
    def seconds(self) -> float:
        """Process seconds of all updates; checkpoints and `stop` are not counted."""
        return self.seconds_per_update * self.updates


def plan_of_stack(members: Sequence[PlannedRun]) -> StackPlan:
    """Time fifty updates of a stack of these members, in memory alone.

    Interventions act on it as they do in training, but from fresh weights on, also where it has a parent; what training
    a parent a second time takes is not counted. Raises InterpError as `train_stack` does
    where a member cannot be trained.
    """
    plan = members[0].plan
    with denormals.flushed(), process.deterministic(), process.threads(plan.threads):
        process.keep_freed_memory()
        trainings = [Training.fresh(member.folder, member.folder, member.plan) for member in members]
        stack = Stack(trainings)
        for training in trainings:
            training.begin()
        start, made = time.process_time(), 0
        for number in range(WARM_UP + UPDATES):
            if number == WARM_UP:
                start, made = time.process_time(), 0
            made += len(stack.trainings)
            stack.update()
            if number > WARM_UP and time.process_time() - start > MOST_SECONDS:
                break
        seconds = (time.process_time() - start) / max(made, 1)
    kept = [training.optimiser.state() for training in trainings]
    weights = plan.n_parameters * plan.dtype.itemsize
    states = sum(sum(array.nbytes for array in of_one.values()) for of_one in kept)
    checkpoints = sum(len(member.plan.save) for member in members)
    return StackPlan(
        members=len(members),
        seconds_per_update=seconds,
        updates=sum(member.plan.steps - member.plan.start for member in members),
        bytes_on_disk=checkpoints * weights + len(members) * weights + states,
    )
