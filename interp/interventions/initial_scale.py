"""Larger or smaller weights at the start: what makes almost any network grok late, or at once."""

from __future__ import annotations

from pydantic import NonNegativeFloat

from interp.contracts.intervention import Intervention, Training
from interp.interventions.shared.chosen import chosen


def initial_scale(alpha: NonNegativeFloat, weights: str = "*") -> Intervention:
    """Multiply the fresh weights by `alpha`: above 1, training examples are known long before test examples.

    `weights` says which, by a pattern of their names: "*" is all, biases included, as in Omnigrok; "blocks.*.W_in" or
    "unembed.W_U" are some, and with `alpha` 0 these start at 0.

    Paper: Liu et al. 2022, arXiv 2210.01117; Kumar et al. 2023, arXiv 2310.06110
    """

    def at_start(training: Training) -> None:
        for weight in chosen("initial_scale", training.weights, weights).values():
            weight.mul_(alpha)

    return Intervention(at_start=at_start)
