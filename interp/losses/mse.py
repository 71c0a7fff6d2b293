"""The mean squared error: for values, and for classes as in much of the work on why networks grok."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from interp.contracts.loss import Derivatives, Loss, Outputs, Targets
from interp.losses.shared.targets import values


def mse() -> MSE:
    r"""The squared distance of the outputs from the targets, the mean over an example's outputs.

    A class is the one-hot vector of as many numbers as there are outputs, and with a single output -1 or +1 for class
    0 or 1, so that the sign answers. Values are met as they are. The mean over the outputs, not their sum, is PyTorch's
    MSELoss, with which Omnigrok trains on one-hot digits and modular addition is trained in replications of Gromov.

    Formula: \ell_i = \frac{1}{K} \sum_{k=1}^{K} (z_{ik} - y_{ik})^2

    Paper: Liu et al. 2022, arXiv 2210.01117; Gromov 2023, arXiv 2301.02679
    """
    return MSE("mean squared error", "")


class MSE(Loss):
    def per_example(self, outputs: Outputs, targets: Targets) -> Float[Tensor, " example"]:
        return (outputs - values(targets, "mse", outputs)).square().mean(1)

    def derivatives(self, outputs: Outputs, targets: Targets) -> Derivatives:
        curvature = 2 / outputs.shape[1]
        slope = curvature * (outputs - values(targets, "mse", outputs))
        return Derivatives(slope, lambda along: curvature * along, lambda numbers: curvature**0.5 * numbers)
