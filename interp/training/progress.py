"""How trainings go on, told while they do: at which step each is, its losses, and how fast."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from interp.training.state import Training

SECONDS_BETWEEN_REPORTS = 2.0
"""A report is a forward pass over all examples: as much work as two updates."""


@dataclass(frozen=True)
class Standing:
    """How a stack's trainings go, told of the one that has just come to a step that is kept."""

    folder: str
    step: int
    steps: int
    train_loss: float
    test_loss: float
    updates: int
    """Those of all members of the stack, in this call."""
    updates_a_second: float


Progress = Callable[[int, float, float, float], None]
"""step, train loss, test loss, updates a second: what is told of one run."""
Told = Callable[[Standing], None]


def silent(step: int, train_loss: float, test_loss: float, steps_per_second: float) -> None:
    pass


def untold(standing: Standing) -> None:
    pass


class Meter:
    """Tells how a stack's trainings go, every two seconds at most, and at a member's last step."""

    def __init__(self, tell: Told) -> None:
        self._tell = tell
        self.updates = 0
        self._before, self._time = 0, time.monotonic()
        self._first = True

    def report(self, training: Training, steps: int) -> None:
        """Tell of this one, which is to come to `steps`."""
        elapsed = time.monotonic() - self._time
        if elapsed < SECONDS_BETWEEN_REPORTS and not (self._first or training.step == steps):
            return
        found = training.evaluation()
        rate = (self.updates - self._before) / elapsed if elapsed > 0 else 0.0
        losses = found.value("train_loss"), found.value("test_loss")
        self._tell(Standing(str(training.folder), training.step, steps, *losses, self.updates, rate))
        self._before, self._time, self._first = self.updates, time.monotonic(), False
