"""Weights that keep their norm: without a norm that falls, Omnigrok's delay of generalisation goes."""

from __future__ import annotations

import torch
from pydantic import NonNegativeInt
from torch import Tensor

from interp.contracts.intervention import Intervention, Training
from interp.interventions.shared.chosen import chosen
from interp.interventions.shared.length import length_of

NORM = "norm"


def constant_norm(weights: str = "*", start: NonNegativeInt = 0, stop: NonNegativeInt | None = None) -> Intervention:
    r"""Multiply the weights after every update so that their norm is what it was before update `start`.

    `weights` says which, by a pattern of their names: "*" is all of them together, biases included, as in Omnigrok,
    whose run has `initial_scale` 0.8 and no decay. The norm is one number over all of these weights.

    Formula: w \leftarrow w \, \frac{\lVert w_\text{start} \rVert_2}{\lVert w \rVert_2}

    Paper: Liu et al. 2022, arXiv 2210.01117
    """
    state: dict[str, Tensor] = {}

    def before_update(training: Training) -> None:
        if NORM not in state:
            held = chosen("constant_norm", training.weights, weights)
            state[NORM] = torch.tensor(length_of(held.values()), dtype=torch.float64)

    def after_update(training: Training) -> None:
        held = chosen("constant_norm", training.weights, weights)
        size = length_of(held.values())
        for weight in held.values():
            weight.mul_(float(state[NORM]) / size if size else 1.0)

    return Intervention(before_update=before_update, after_update=after_update, start=start, stop=stop, state=state)
