"""Tasks whose answers are vectors: each class has one, its code, and an output answers with the class it is nearest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.contracts.task import Task
from interp.errors import NothingToSay


@dataclass(frozen=True)
class NearestCode(Task):
    """Classes, each of which has a vector that outputs are to meet; the targets are those vectors, or the classes.

    So a network that is trained on values, by the loss mse, still has an accuracy: an output is right where the code
    that it is nearest to is that of its class. With the unit vectors as codes that is its largest number.
    """

    codes: Float[Tensor, "class output"]
    """The vector of each class."""
    classes: Int[Tensor, " example"]
    """The number of the right class."""

    def correct(
        self, outputs: Float[Tensor, "example output"], examples: Int[Tensor, " example"] | None = None
    ) -> Bool[Tensor, " example"]:
        """Whether the code of its class is the nearest to each example's output, the first of several as near."""
        distances = torch.cdist(outputs, self.codes.to(outputs), compute_mode="donot_use_mm_for_euclid_dist")
        own = self.classes if examples is None else self.classes[examples]
        return distances.argmin(dim=1) == own.to(outputs.device)


def classes(task: Task) -> Int[Tensor, " example"]:
    """The number of each example's right class. Raises NothingToSay where the task asks for values without classes."""
    if isinstance(task, NearestCode):
        return task.classes
    if task.targets.is_floating_point():
        raise NothingToSay("the task asks for values, not for classes")
    return task.targets
