"""A task whose targets another function gives, the teacher, which measures can ask anything."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.contracts.task import Task
from interp.errors import NothingToSay


class Teacher(ABC):
    """A function of vectors, fixed before any network learns it."""

    @abstractmethod
    def answers(self, inputs: Float[Tensor, "example d"]) -> Float[Tensor, "example output"]:
        """Return what it says of any inputs, in their precision; differentiable."""


@dataclass(frozen=True)
class Taught(Task):
    """Vectors drawn at random, and what a teacher says of them, to be met with the loss mse."""

    teacher: Teacher
    tolerance: float | None
    """The mean squared distance of an output from its target below which it counts as right; None where none does."""

    def correct(
        self, outputs: Float[Tensor, "example output"], examples: Int[Tensor, " example"] | None = None
    ) -> Bool[Tensor, " example"]:
        """Whether each output is within the tolerance of what the teacher says.

        Raises NothingToSay where there is none.
        """
        if self.tolerance is None:
            raise NothingToSay("the task asks for values and has no tolerance, so no answer is right or wrong")
        said = self.targets if examples is None else self.targets[examples]
        return (outputs - said.to(outputs)).square().mean(dim=1) < self.tolerance


def taught(task: Task) -> Taught:
    """`task`, which has a teacher. Raises NothingToSay where it has none."""
    if isinstance(task, Taught):
        return task
    raise task.silence("has no teacher")
