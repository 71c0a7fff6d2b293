"""The hinge loss: nothing for an answer that is right by a margin of 1, else what is missing to it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from interp.contracts.loss import Derivatives, Loss, Outputs, Targets
from interp.losses.shared.over import Over, meant
from interp.losses.shared.targets import classes, signs


def hinge(over: Over = "examples") -> Loss:
    r"""What an example's margin lacks to 1.

    With one output z the margin of class 0 or 1 is -z or z, as in Merrill et al.'s sparse parity; with several it is
    how far the right class's output lies above the largest other one (Crammer and Singer 2001). The loss is made of
    straight pieces, so its curvature in the outputs is 0, and the Gauss–Newton matrix with it. `over`
    "examples_and_classes" divides the mean by the number of outputs too.

    Formula: \ell_i = \max(0, 1 - m_i), \quad m_i = (2 y_i - 1)\, z_i \quad \text{or} \quad
        m_i = z_{i y_i} - \max_{j \ne y_i} z_{ij}

    Paper: Merrill et al. 2023, arXiv 2303.11873
    """
    return meant(Hinge("hinge loss", ""), over)


class Hinge(Loss):
    def per_example(self, outputs: Outputs, targets: Targets) -> Float[Tensor, " example"]:
        if outputs.shape[1] == 1:
            return (1 - signs(targets, "hinge", outputs) * outputs[:, 0]).relu()
        right = classes(targets, "hinge")[:, None]
        others = outputs.scatter(1, right, -torch.inf).amax(1)
        return (1 - outputs.gather(1, right)[:, 0] + others).relu()

    def derivatives(self, outputs: Outputs, targets: Targets) -> Derivatives:
        return Derivatives(super().derivatives(outputs, targets).slope, torch.zeros_like, torch.zeros_like)
