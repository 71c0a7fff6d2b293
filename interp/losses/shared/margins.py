"""The logistic loss of margins, how far a single output lies on the right side of 0, and its derivatives."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from interp.contracts.loss import Derivatives, Loss, Outputs, Targets

CERTAIN = 40.0
"""A margin beyond which 1 + exp(-margin) is 1, and 1 + exp(margin) is exp(margin), in float64 too."""


def logistic(margins: Float[Tensor, " example"]) -> Float[Tensor, " example"]:
    """log(1 + e⁻ᵐ), to full relative precision however large the margin m, as are its derivatives.

    Written with exp and log1p: torch's softplus and binary_cross_entropy_with_logits lose digits of small losses, and
    their last bit depends on where in memory a number lies.
    """
    near = margins.clamp(min=-CERTAIN)
    return torch.where(margins > -CERTAIN, torch.exp(-near).log1p(), -margins)


class LogisticSlope:
    """Writes the derivative of the mean of `logistic`, or of it clipped, in the outputs: `WritesSlope` of the contract.

    With q = e⁻ᵐ/(1 + e⁻ᵐ), the probability of the wrong class, it is -(±1)·q/n, and 0 where the loss is clipped.
    """

    def __init__(
        self,
        loss: Loss,
        targets: Targets,
        signs: Float[Tensor, " example"],
        clipped: tuple[float, float] | None = None,
    ) -> None:
        self._loss, self._targets, self._clipped = loss, targets, clipped
        least, most = clipped or (0.0, math.inf)
        self._from, self._to = _log_odds(least), min(_log_odds(most), CERTAIN)
        self._certain, self._one = (torch.full_like(signs[:, None], value) for value in (CERTAIN, 1.0))  # quick to read
        self._against = -signs[:, None]
        self._by = self._against / len(signs)
        self._below, self._odds = torch.empty_like(self._by), torch.empty_like(self._by)

    def __call__(self, outputs: Outputs, slope: Outputs) -> float:
        below = torch.mul(outputs, self._against, out=self._below)  # the logarithm of the odds of the wrong class
        if self._clipped:
            odds = torch.clamp(below, self._from, self._to, out=self._odds)
            inside = odds == below
        else:
            odds, inside = torch.minimum(below, self._certain, out=self._odds), None
        odds.exp_()
        torch.add(odds, self._one, out=slope)
        torch.div(odds, slope, out=slope).mul_(self._by)
        if inside is not None:
            slope.mul_(inside)
        total = below.sum().item()
        return total if math.isfinite(total) else self._loss.mean(outputs, self._targets).item()


def _log_odds(loss: float) -> float:
    """The logarithm w of the odds against the answer for which log(1 + e^w) is the loss."""
    return -math.inf if loss == 0 else loss + math.log(-math.expm1(-loss)) if loss < math.inf else math.inf


def logistic_derivatives(outputs: Outputs, signs: Float[Tensor, " example"]) -> Derivatives:
    """With q the probability of the wrong class: ∂ℓ/∂z = ∓q, ∂²ℓ/∂z² = q(1 - q)."""
    margins = signs[:, None] * outputs
    small = torch.exp(-margins.abs())  # the odds of the less likely class
    slope = -signs[:, None] * torch.where(margins > 0, small, 1.0) / (1 + small)
    root = small.sqrt() / (1 + small)
    return Derivatives(slope, lambda along: root**2 * along, lambda numbers: root * numbers)
