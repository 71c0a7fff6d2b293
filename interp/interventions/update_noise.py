"""Noise in every update: one of the regularisers that Power et al. compare."""

from __future__ import annotations

from pydantic import NonNegativeFloat, NonNegativeInt

from interp.contracts.intervention import Intervention, Training
from interp.interventions.shared.chosen import chosen
from interp.interventions.shared.draws import Draws


def update_noise(
    sigma: NonNegativeFloat = 1e-3,
    weights: str = "*",
    seed: NonNegativeInt = 0,
    start: NonNegativeInt = 0,
    stop: NonNegativeInt | None = None,
) -> Intervention:
    r"""Add to every weight, after each update, a number of its own from N(0, `sigma`²).

    Power et al. add their noise factor times N(0, 1) to what is multiplied by the learning rate: `sigma` is their
    factor times that rate.

    Formula: w \leftarrow w + \sigma \epsilon, \quad \epsilon \sim \mathcal{N}(0, 1)

    Paper: Power et al. 2022, arXiv 2201.02177
    """
    draws = Draws(seed)

    def after_update(training: Training) -> None:
        for weight in chosen("update_noise", training.weights, weights).values():
            weight.add_(draws.normal_like(weight).mul_(sigma))

    return Intervention(after_update=after_update, start=start, stop=stop, state=draws.state)
