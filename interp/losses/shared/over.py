"""A loss whose mean is taken over the examples and over their classes: that of each, over the number of outputs.

It moves plain gradient descent by a K-th of each step, and Adam, which divides by the gradient's own size, hardly at
all; beside a decay that is part of the gradient, or a bar on the loss, it matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from interp.contracts.loss import Derivatives, Loss, Outputs, Targets, WritesSlope

Over = Literal["examples", "examples_and_classes"]
"""What a mean loss is the mean over."""


def meant(loss: Loss, over: Over) -> Loss:
    """The loss, or where its mean is over the classes too, it over their number."""
    return loss if over == "examples" else OverClasses(f"{loss.name}, mean over the classes", loss.units, loss)


@dataclass(frozen=True)
class OverClasses(Loss):
    of: Loss

    def per_example(self, outputs: Outputs, targets: Targets) -> Float[Tensor, " example"]:
        return self.of.per_example(outputs, targets) / outputs.shape[1]

    def mean(self, outputs: Outputs, targets: Targets) -> Float[Tensor, ""]:
        return self.of.mean(outputs, targets) / outputs.shape[1]

    def slope_writer(self, targets: Targets, outputs: Outputs) -> WritesSlope:
        n_outputs, write_whole = outputs.shape[1], self.of.slope_writer(targets, outputs)

        def write(at: Outputs, slope: Outputs) -> float:
            finite = write_whole(at, slope)
            slope.div_(n_outputs)
            return finite

        return write

    def derivatives(self, outputs: Outputs, targets: Targets) -> Derivatives:
        whole, n_outputs = self.of.derivatives(outputs, targets), outputs.shape[1]
        return Derivatives(
            slope=whole.slope / n_outputs,
            curved=lambda along: whole.curved(along) / n_outputs,
            root=lambda numbers: whole.root(numbers) / n_outputs**0.5,
        )
