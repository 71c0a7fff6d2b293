"""Cross-entropy, exact where the answers are all but certain: the loss of nearly every grokking run."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from interp.contracts.loss import Derivatives, Loss, Outputs, Targets, WritesSlope
from interp.losses.shared.margins import LogisticSlope, logistic, logistic_derivatives
from interp.losses.shared.over import Over, meant
from interp.losses.shared.targets import classes, signs
from interp.maths.cross_entropy import cross_entropy as exact_cross_entropy
from interp.maths.cross_entropy import mean_and_slope, mean_cross_entropy

NAME = "cross_entropy"


def cross_entropy(over: Over = "examples") -> Loss:
    r"""Minus the logarithm of the probability that the network gives the right class.

    With several outputs the probabilities are their softmax. With a single output z the probability of class 1 is
    1/(1 + e⁻ᶻ): the logistic loss. The mean is over the examples; `over` "examples_and_classes" divides it by the
    number of outputs too, as in the code of PAIR's explorable (Pearce et al. 2023).

    Formula: \ell_i = -\log \mathrm{softmax}(z_i)_{y_i} \quad \text{or} \quad \ell_i = \log(1 + e^{-(2 y_i - 1) z_i})

    Paper: Power et al. 2022, arXiv 2201.02177
    """
    return meant(CrossEntropy("cross-entropy", "nats"), over)


class CrossEntropy(Loss):
    """Minus the log-probability of the right class, by a softmax or, with one output, the logistic function."""

    def per_example(self, outputs: Outputs, targets: Targets) -> Float[Tensor, " example"]:
        if outputs.shape[1] == 1:
            return logistic(signs(targets, NAME, outputs) * outputs[:, 0])
        return exact_cross_entropy(outputs, classes(targets, NAME))

    def mean(self, outputs: Outputs, targets: Targets) -> Float[Tensor, ""]:
        if outputs.shape[1] == 1:
            return super().mean(outputs, targets)
        return mean_cross_entropy(outputs, classes(targets, NAME))

    def slope_writer(self, targets: Targets, outputs: Outputs) -> WritesSlope:
        if outputs.shape[1] == 1:
            return LogisticSlope(self, targets, signs(targets, NAME, outputs))
        right = classes(targets, NAME)
        return lambda at, slope: mean_and_slope(at, right, slope).item()

    def derivatives(self, outputs: Outputs, targets: Targets) -> Derivatives:
        one = outputs.shape[1] == 1
        return logistic_derivatives(outputs, signs(targets, NAME, outputs)) if one else _of_softmax(outputs, targets)


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
