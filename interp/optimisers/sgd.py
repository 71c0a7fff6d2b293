"""Stochastic gradient descent, with momentum if wanted: what networks grok with that have no Adam."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from interp.contracts.optimiser import Optimiser

Momentum = Annotated[float, Field(ge=0, lt=1)]


def sgd(
    parameters: list[Tensor],
    lr: PositiveFloat = 0.1,
    momentum: Momentum = 0.0,
    nesterov: bool = False,
    weight_decay: NonNegativeFloat = 0.0,
) -> Optimiser:
    """Gradient descent: v ← momentum·v + g + weight_decay·w, w ← w - lr·v, for every parameter, biases included.

    Without momentum v is the gradient with the decay. With `nesterov` the weights move by g + weight_decay·w +
    momentum·v instead, and a momentum is needed. The decay is part of the gradient, as in PyTorch's SGD: unlike AdamW's
    it shrinks the weights by lr·weight_decay at an update. Merrill et al. 2023 (arXiv 2303.11873) train on sparse
    parity with lr 0.1 and weight decay 0.01, in batches of 32.
    """
    return Optimiser(
        torch.optim.SGD(parameters, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
    )
