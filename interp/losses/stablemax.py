"""StableMax: a softmax without exponentials, which no rounding turns into certainty."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from interp.contracts.loss import Derivatives, Loss, Outputs, Targets
from interp.errors import NothingToSay
from interp.losses.shared.targets import classes


def stablemax() -> StableMax:
    r"""Minus the logarithm of the right class's share, with s(z) in the place of the softmax's exponential.

    s grows as z does, and falls as 1/|z|: that a network which knows its training examples makes its logits larger and
    larger, until a softmax in float32 gives 1 and no gradient any more, is of no use here. Prieto et al.'s networks
    generalise with it, without weight decay. It is not convex in the outputs, so that there is no Gauss–Newton matrix
    with a root, and measures that need one have nothing to say. It is for networks with an output for each class.

    Formula: \ell_i = -\log \frac{s(z_{i y_i})}{\sum_k s(z_{ik})}, \quad s(z) = z + 1 \;(z \ge 0), \quad
        s(z) = \frac{1}{1 - z} \;(z < 0)

    Paper: Prieto et al. 2025, arXiv 2501.04697
    """
    return StableMax("StableMax cross-entropy", "nats")


def log_terms(outputs: Outputs) -> Outputs:
    """log s(z) of each output."""
    return torch.where(outputs >= 0, outputs.clamp(min=0).log1p(), -(-outputs.clamp(max=0)).log1p())


class StableMax(Loss):
    def per_example(self, outputs: Outputs, targets: Targets) -> Float[Tensor, " example"]:
        right = classes(targets, "stablemax")
        if outputs.shape[1] == 1:
            raise ValueError("stablemax is for an output for each class, and this network has one: take cross_entropy")
        logs = log_terms(outputs)
        return logs.logsumexp(1) - logs.gather(1, right[:, None])[:, 0]

    def derivatives(self, outputs: Outputs, targets: Targets) -> Derivatives:
        def root(numbers: Outputs) -> Outputs:
            del numbers
            raise NothingToSay("the StableMax cross-entropy is not convex in the outputs, so its curvature has no root")

        return replace(super().derivatives(outputs, targets), root=root)
