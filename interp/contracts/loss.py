"""What a loss owes to training, and to the measures of the train loss: a number for each example, and its derivatives.

A new loss says `per_example`, and where the targets do not suit it raises ValueError. The rest follows by automatic
differentiation; a loss overrides what it knows in closed form, for speed or because digits would be lost.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

Outputs = Float[Tensor, "example output"]
Targets = Shaped[Tensor, "example ..."]


WritesSlope = Callable[[Outputs, Outputs], float]
"""Outputs, and memory to which the derivative in them is written -> a number that is finite where the mean loss is."""


@dataclass(frozen=True)
class Derivatives:
    """The first two derivatives of each example's loss ℓ_i in its outputs z_i, at certain outputs."""

    slope: Outputs
    """∂ℓ_i/∂z_i."""
    curved: Callable[[Outputs], Outputs]
    """H_i v_i of each example's v_i, where H_i = ∂²ℓ_i/∂z_i²."""
    root: Callable[[Outputs], Outputs]
    """R_i u_i of each example's u_i, where R_i R_iᵀ = H_i; for a loss that is convex in the outputs."""


@dataclass(frozen=True)
class Loss(ABC):
    """What a network is trained to make small: the mean of a number for each example."""

    name: str
    """As sentences write it: "cross-entropy"."""
    units: str
    """"nats" for a log-likelihood, "" for others."""

    @abstractmethod
    def per_example(self, outputs: Outputs, targets: Targets) -> Float[Tensor, " example"]:
        """The loss of each example, differentiable any number of times, in the outputs' precision.

        Raises ValueError, one line, where targets of this type or shape have no such loss.
        """

    def mean(self, outputs: Outputs, targets: Targets) -> Float[Tensor, ""]:
        """The mean over the examples, for training; differentiable once."""
        return self.per_example(outputs, targets).mean()

    def slope_writer(self, targets: Targets, outputs: Outputs) -> WritesSlope:
        """Return what writes the derivative of the mean in outputs of this shape and type, for training.

        It is asked where a network writes its own gradient, once for targets that come again, so that what depends on
        them alone is computed once. Without its closed form it follows by automatic differentiation.
        """
        del outputs

        def write(at: Outputs, slope: Outputs) -> float:
            with torch.enable_grad():
                z = at.detach().requires_grad_()
                mean = self.mean(z, targets)
                slope.copy_(torch.autograd.grad(mean, z)[0])
            return mean.item()

        return write

    def derivatives(self, outputs: Outputs, targets: Targets) -> Derivatives:
        """Both derivatives at `outputs`, in their precision; constants, not differentiable themselves."""
        with torch.enable_grad():
            z = outputs.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.per_example(z, targets).sum(), z, create_graph=True)

        def curved(along: Outputs) -> Outputs:
            if not slope.requires_grad:  # a loss made of straight pieces
                return torch.zeros_like(along)
            return torch.autograd.grad(slope, z, along, retain_graph=True, materialize_grads=True)[0]

        def root(numbers: Outputs) -> Outputs:
            columns = [curved(unit.expand_as(z)) for unit in torch.eye(z.shape[1]).to(z)]  # each [example, output]
            values, vectors = torch.linalg.eigh(torch.stack(columns, dim=-1))
            R = vectors * values.clamp(min=0).sqrt()[:, None, :]  # [example, output, number]
            return torch.einsum("eon,en->eo", R, numbers)

        return Derivatives(slope.detach(), curved, root)
