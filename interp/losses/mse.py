"""The mean squared error: for values, and for classes as in much of the work on why networks grok."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from interp.contracts.loss import Derivatives, Loss, Outputs, Targets, WritesSlope
from interp.losses.shared.over import Over
from interp.losses.shared.targets import values


def mse(over: Over = "examples_and_classes", centred: bool = False) -> MSE:
    r"""The squared distance of the outputs from the targets, the mean over an example's outputs.

    A class is the one-hot vector of as many numbers as there are outputs, and with a single output -1 or +1 for class
    0 or 1, so that the sign answers. Values are met as they are. The mean over the outputs, not their sum, is PyTorch's
    MSELoss, with which Omnigrok trains on one-hot digits and modular addition is trained in replications of Gromov;
    `over` "examples" is their sum. `centred` targets are one-hot vectors less their mean 1/K, as in Rubin et al.'s
    modular addition.

    Formula: \ell_i = \frac{1}{K} \sum_{k=1}^{K} (z_{ik} - y_{ik})^2

    Paper: Liu et al. 2022, arXiv 2210.01117; Gromov 2023, arXiv 2301.02679; Rubin et al. 2023, arXiv 2310.03789
    """
    return MSE("mean squared error" if over == "examples_and_classes" else "squared error", "", over, centred)


@dataclass(frozen=True)
class MSE(Loss):
    over: Over
    centred: bool

    def per_example(self, outputs: Outputs, targets: Targets) -> Float[Tensor, " example"]:
        squares = (outputs - self._wanted(targets, outputs)).square()
        return squares.mean(1) if self.over == "examples_and_classes" else squares.sum(1)

    def _wanted(self, targets: Targets, outputs: Outputs) -> Outputs:
        """What the outputs are to be. Raises ValueError where values, or one output, are to be centred."""
        wanted = values(targets, "mse", outputs)
        if not self.centred:
            return wanted
        if targets.is_floating_point() or outputs.shape[1] == 1:
            raise ValueError("centred is for classes with an output each; leave it out")
        return wanted - 1 / outputs.shape[1]

    def _by(self, outputs: Outputs) -> float:
        """What the derivative of each example's loss is, over the distance of an output from its target."""
        return 2 / outputs.shape[1] if self.over == "examples_and_classes" else 2.0

    def slope_writer(self, targets: Targets, outputs: Outputs) -> WritesSlope:
        wanted, by = self._wanted(targets, outputs), self._by(outputs) / len(outputs)

        def write(at: Outputs, slope: Outputs) -> float:
            torch.sub(at, wanted, out=slope)
            total = slope.square().sum().item()
            slope.mul_(by)
            return total

        return write

    def derivatives(self, outputs: Outputs, targets: Targets) -> Derivatives:
        curvature = self._by(outputs)
        slope = curvature * (outputs - self._wanted(targets, outputs))
        return Derivatives(slope, lambda along: curvature * along, lambda numbers: curvature**0.5 * numbers)
