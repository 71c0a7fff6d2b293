"""Cross-entropy, exact where the answers are all but certain: the loss of nearly every grokking run."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from interp.contracts.loss import Derivatives, Loss, Outputs, Targets
from interp.losses.shared.targets import classes, signs
from interp.maths.cross_entropy import cross_entropy as exact_cross_entropy
from interp.maths.cross_entropy import mean_cross_entropy

NAME = "cross_entropy"
CERTAIN = 40.0
"""A margin beyond which 1 + exp(-margin) is 1, and 1 + exp(margin) is exp(margin), in float64 too."""


def cross_entropy() -> CrossEntropy:
    r"""Minus the logarithm of the probability that the network gives the right class.

    With several outputs the probabilities are their softmax. With a single output z the probability of class 1 is
    1/(1 + e⁻ᶻ): the logistic loss.

    Formula: \ell_i = -\log \mathrm{softmax}(z_i)_{y_i} \quad \text{or} \quad \ell_i = \log(1 + e^{-(2 y_i - 1) z_i})

    Paper: Power et al. 2022, arXiv 2201.02177
    """
    return CrossEntropy("cross-entropy", "nats")


class CrossEntropy(Loss):
    """Minus the log-probability of the right class, by a softmax or, with one output, the logistic function."""

    def per_example(self, outputs: Outputs, targets: Targets) -> Float[Tensor, " example"]:
        if outputs.shape[1] == 1:
            return _logistic(signs(targets, NAME, outputs) * outputs[:, 0])
        return exact_cross_entropy(outputs, classes(targets, NAME))

    def mean(self, outputs: Outputs, targets: Targets) -> Float[Tensor, ""]:
        if outputs.shape[1] == 1:
            return super().mean(outputs, targets)
        return mean_cross_entropy(outputs, classes(targets, NAME))

    def derivatives(self, outputs: Outputs, targets: Targets) -> Derivatives:
        one = outputs.shape[1] == 1
        return _of_logistic(outputs, signs(targets, NAME, outputs)) if one else _of_softmax(outputs, targets)


def _logistic(margins: Float[Tensor, " example"]) -> Float[Tensor, " example"]:
    """log(1 + e⁻ᵐ), to full relative precision however large the margin m, as are its derivatives.

    Written with exp and log1p: torch's softplus and binary_cross_entropy_with_logits lose digits of small losses, and
    their last bit depends on where in memory a number lies.
    """
    near = margins.clamp(min=-CERTAIN)
    return torch.where(margins > -CERTAIN, torch.exp(-near).log1p(), -margins)


def _of_logistic(outputs: Outputs, signs: Float[Tensor, " example"]) -> Derivatives:
    """With q the probability of the wrong class: ∂ℓ/∂z = ∓q, ∂²ℓ/∂z² = q(1 - q)."""
    margins = signs[:, None] * outputs
    small = torch.exp(-margins.abs())  # the odds of the less likely class
    slope = -signs[:, None] * torch.where(margins > 0, small, 1.0) / (1 + small)
    root = small.sqrt() / (1 + small)
    return Derivatives(slope, lambda along: root**2 * along, lambda numbers: root * numbers)


def _of_softmax(outputs: Outputs, targets: Targets) -> Derivatives:
    """With p the softmax: ∂ℓ/∂z = p - one-hot(y), ∂²ℓ/∂z² = diag p - p pᵀ, of which R = diag √p - p √pᵀ is a root."""
    p, right = outputs.softmax(1), targets[:, None]
    slope = p.scatter(1, right, 0)
    slope.scatter_(1, right, -slope.sum(1, keepdim=True))  # p_y - 1, from the wrong classes alone: nothing cancels

    def curved(along: Outputs) -> Outputs:
        return p * (along - (p * along).sum(1, keepdim=True))

    def root(numbers: Outputs) -> Outputs:
        moved = p.sqrt() * numbers
        return moved - p * moved.sum(1, keepdim=True)

    return Derivatives(slope, curved, root)
