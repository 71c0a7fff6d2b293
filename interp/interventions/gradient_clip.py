"""A bound on the length of the gradient: spikes of the loss late in a training move the weights less."""

from __future__ import annotations

from pydantic import NonNegativeInt, PositiveFloat

from interp.contracts.intervention import Intervention, Training
from interp.interventions.shared.length import length_of


def gradient_clip(
    norm: PositiveFloat = 1.0, start: NonNegativeInt = 0, stop: NonNegativeInt | None = None
) -> Intervention:
    r"""Shorten the gradient over all weights to `norm` wherever it is longer, before the optimiser sees it.

    Adam divides by the gradient's own size, so that a bound which always holds changes little under it.

    Formula: g \leftarrow g \, \min\!\left(1, \frac{\mathrm{norm}}{\lVert g \rVert_2}\right)

    Paper: Pascanu et al. 2013, arXiv 1211.5063
    """

    def before_update(training: Training) -> None:
        gradients = [weight.grad for weight in training.weights.values() if weight.grad is not None]
        length = length_of(gradients)
        if length > norm:
            for each in gradients:
                each.mul_(norm / length)

    return Intervention(before_update=before_update, start=start, stop=stop)
