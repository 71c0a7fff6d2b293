"""Stochastic gradient descent, with momentum if wanted: what networks grok with that have no Adam."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat

from interp.contracts.optimiser import Column, Rows, UpdateRule

Momentum = Annotated[float, Field(ge=0, lt=1)]


def sgd(
    lr: PositiveFloat = 0.1,
    momentum: Momentum = 0.0,
    nesterov: bool = False,
    weight_decay: NonNegativeFloat = 0.0,
    decoupled: bool = False,
) -> SGD:
    """Gradient descent: v ← momentum·v + g + weight_decay·w, w ← w - lr·v, for every parameter, biases included.

    Without momentum v is the gradient with the decay. With `nesterov` the weights move by g + weight_decay·w +
    momentum·v instead, and a momentum is needed: raises ValueError without. The decay is part of the gradient, as in
    PyTorch's SGD; `decoupled`, it stays out of the momentum and shrinks the weights themselves before the step:
    w ← (1 - lr·weight_decay)·w - lr·v, as in Loshchilov & Hutter 2019 (arXiv 1711.05101). Merrill et al. 2023
    (arXiv 2303.11873) train on sparse parity with lr 0.1 and weight decay 0.01, in batches of 32.
    """
    if nesterov and not momentum:
        raise ValueError("nesterov looks ahead along a momentum, and momentum is 0; give a momentum, such as 0.9")
    return SGD(lr, momentum, nesterov, weight_decay, decoupled)


@dataclass(frozen=True)
class SGD(UpdateRule):
    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    decoupled: bool

    @property
    def kept(self) -> tuple[str, ...]:
        return ("momentum_buffer",)

    @property
    def operations(self) -> Hashable:
        return self.nesterov, self.decoupled

    def numbers(self, update: int, rate: float) -> tuple[float, ...]:  # noqa: ARG002 (the same at every update)
        """The learning rate, the momentum, the decay, and what a decoupled one leaves of the weights."""
        lr = self.lr * rate
        return lr, self.momentum, self.weight_decay, 1 - lr * self.weight_decay

    def move(self, rows: Rows, *numbers: Column) -> None:
        lr, momentum, decay, left = numbers
        v, (first, second) = rows.kept["momentum_buffer"], rows.scratch
        if self.decoupled:
            slope = first.copy_(rows.gradients)
            rows.weights.mul_(left)
        else:
            slope = torch.mul(rows.weights, decay, out=first).add_(rows.gradients)
        v.mul_(momentum).add_(slope)
        along = torch.mul(v, momentum, out=second).add_(slope) if self.nesterov else v
        rows.weights.sub_(torch.mul(along, lr, out=second))
