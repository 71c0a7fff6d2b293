"""The way of a stack's trainings to their last steps: what is kept on it, and how each of them ends.

At a step that is kept, the checkpoint is written first and the training state after it, each by renaming a
whole file into its place. A process killed between the two resumes from the state before and replays the same
updates; the checkpoint it meets again is the same, and is left as it is. That a training ended before its last step is
written after both; killed before that, it finds out again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from interp.errors import Stopped
from interp.files.lock import locked
from interp.machine import denormals, process
from interp.recipes.run_recipe import Stop
from interp.training.outcome import Outcome, write_early_end
from interp.training.progress import Meter
from interp.training.stack import Stack
from interp.training.state import Training


@contextlib.contextmanager
def exactly(folders: Sequence[Path], purpose: str, threads: int) -> Iterator[Callable[[], bool]]:
    """Hold the runs in these folders while the process is set to train them; tells whether Ctrl-C was pressed."""
    process.keep_freed_memory()
    with contextlib.ExitStack() as held:
        for folder in folders:
            held.enter_context(locked(folder, purpose))
        held.enter_context(denormals.flushed())
        held.enter_context(process.deterministic())
        held.enter_context(process.threads(threads))
        yield held.enter_context(process.interruption())


@dataclass
class Course:
    """Where a training goes from its present step on."""

    training: Training
    end: int
    """The step to train to."""
    save: set[int]
    """The steps at which a checkpoint is kept."""
    keep: Callable[[], None] | None = None
    """What is done at each of these before the state is saved, in the place of saving a checkpoint."""
    stop: Stop | None = None
    begun: int = field(init=False)

    def __post_init__(self) -> None:
        self.begun = self.training.step

    def arrive(self, meter: Meter, *, resumed: bool = False) -> bool:
        """Keep what is to be kept at the present step; return whether the training ends here."""
        training = self.training
        step = training.step
        kept = step in self.save
        ends = self._stops(step, kept)
        if kept or ends:
            self._keep()
        if (kept or ends or step == self.end) and not resumed:
            training.save_state()
        if kept or ends:
            meter.report(training, self.end)
        return ends or step == self.end

    def _keep(self) -> None:
        (self.keep or self.training.save_checkpoint)()

    def _stops(self, step: int, kept: bool) -> bool:
        stop = self.stop
        asks = stop is not None and (kept or ("every" in stop and step % stop["every"] == 0))
        self.stopped = stop is not None and asks and self.training.evaluation().reaches(stop)
        return self.stopped

    def outcome(self) -> Outcome:
        """How it has ended, once it has come to an end."""
        step = self.training.step
        finished = step >= self.training.plan.steps
        end = "finished" if finished else "stopped" if self.stopped else "unfinished"
        return Outcome(self.training.folder, end, step, step - self.begun)

    def diverged(self) -> Outcome:
        """The outcome where the loss at the present step is not finite."""
        step = self.training.step
        return Outcome(self.training.folder, "diverged", step, step - self.begun)


def follow(courses: Sequence[Course], stack: Stack, meter: Meter, interrupted: Callable[[], bool]) -> list[Outcome]:
    """Update the stack until each of its trainings has come to its end; how they ended, in the order of `courses`.

    Raises Stopped, with every state saved, where Ctrl-C was pressed.
    """
    of = {id(course.training): course for course in courses}
    ended: dict[int, Outcome] = {}

    def leave(training: Training, outcome: Outcome) -> None:
        ended[id(training)] = outcome
        if outcome.end in ("diverged", "stopped"):
            write_early_end(training.checkpoints.folder, outcome)

    def arrive(*, resumed: bool) -> None:
        there = [one for one in stack.trainings if of[id(one)].arrive(meter, resumed=resumed)]
        for training in there:
            leave(training, of[id(training)].outcome())
        stack.leave(there)

    arrive(resumed=True)
    while stack.trainings:
        for training in stack.update():
            leave(training, of[id(training)].diverged())
        meter.updates += len(stack.trainings)
        arrive(resumed=False)
        if interrupted() and stack.trainings:
            for training in stack.trainings:
                training.save_state()
            raise Stopped(_where(stack.trainings, of))
    return [ended[id(course.training)] for course in courses]


def _where(trainings: Sequence[Training], of: dict[int, Course]) -> str:
    """What is said where Ctrl-C was pressed."""
    steps = [training.step for training in trainings]
    if len(steps) == 1:
        (training,) = trainings
        end = of[id(training)].end
        return f"stopped at step {training.step:,} of {end:,}; the same command resumes {training.folder}"
    least, most = min(steps), max(steps)
    at = f"step {least:,}" if least == most else f"steps {least:,} to {most:,}"
    return f"stopped {len(steps)} trainings at {at}; the same command resumes them"
