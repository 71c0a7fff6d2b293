"""Noise in the weights that an update's examples meet: another of the regularisers that Power et al. compare."""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat, NonNegativeInt
from torch import Tensor

from interp.contracts.intervention import Examples, Intervention, Training
from interp.interventions.shared.chosen import chosen
from interp.interventions.shared.draws import Draws


def weight_noise(
    sigma: NonNegativeFloat = 0.01,
    weights: str = "*",
    seed: NonNegativeInt = 0,
    start: NonNegativeInt = 0,
    stop: NonNegativeInt | None = None,
) -> Intervention:
    r"""Take each update's gradient at weights to which N(0, `sigma`²) was added, and move the weights without it.

    The noise is there in forward and backward pass alone, another one in each update; what is saved and measured has
    none. Power et al. have sigma 0.01.

    Formula: g = \nabla \mathcal{L}(w + \sigma \epsilon), \quad \epsilon \sim \mathcal{N}(0, 1)

    Paper: Power et al. 2022, arXiv 2201.02177
    """
    draws = Draws(seed)
    own: dict[str, Tensor] = {}

    def examples(training: Training, seen: Examples) -> Examples:
        with torch.no_grad():
            for name, weight in chosen("weight_noise", training.weights, weights).items():
                own[name] = weight.detach().clone()
                weight.add_(draws.normal_like(weight).mul_(sigma))
        return seen

    def before_update(training: Training) -> None:
        for name, weight in own.items():
            training.weights[name].copy_(weight)

    return Intervention(examples=examples, before_update=before_update, start=start, stop=stop, state=draws.state)
