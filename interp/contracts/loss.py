"""What a loss owes to training and to the measures of the train loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

Outputs = Float[Tensor, "example output"]
Targets = Shaped[Tensor, "example ..."]


@dataclass(frozen=True)
class Loss(ABC):
    """A number for each example, and its first two derivatives in the outputs.

    The derivatives are taken by automatic differentiation here; a loss that loses digits so says them in closed form.
    """

    name: str
    """As sentences write it: "cross-entropy"."""
    units: str
    """"nats" for a log-likelihood, "" for others."""

    @abstractmethod
    def per_example(self, outputs: Outputs, targets: Targets) -> Float[Tensor, " example"]:
        """The loss of each example, differentiable any number of times, in the outputs' precision."""

    def mean(self, outputs: Outputs, targets: Targets) -> Float[Tensor, ""]:
        """The mean over the examples, for training; differentiable once."""
        return self.per_example(outputs, targets).mean()

    def slope(self, outputs: Outputs, targets: Targets) -> Outputs:
        """The gradient of each example's loss in its outputs."""
        with torch.enable_grad():
            leaf = outputs.detach().requires_grad_()
            return torch.autograd.grad(self.per_example(leaf, targets).sum(), leaf)[0]

    def curved(self, outputs: Outputs, targets: Targets, along: Outputs) -> Outputs:
        """The second derivative of each example's loss in its outputs, times `along`: ∂²ℓ_i/∂z² v_i."""
        with torch.enable_grad():
            leaf = outputs.detach().requires_grad_()
            slope = torch.autograd.grad(self.per_example(leaf, targets).sum(), leaf, create_graph=True)[0]
            if not slope.requires_grad:
                return torch.zeros_like(outputs)
            found = torch.autograd.grad(slope, leaf, along, allow_unused=True)[0]
            return torch.zeros_like(outputs) if found is None else found

    def curved_root(self, outputs: Outputs, targets: Targets, numbers: Outputs) -> Outputs:
        """R_i u_i for each example, where R_i R_iᵀ is the second derivative ∂²ℓ_i/∂z²; for convex losses."""
        size = outputs.shape[1]
        columns = [
            self.curved(outputs, targets, one.expand_as(outputs)) for one in torch.eye(size).to(outputs)
        ]  # each [example, output]
        values, vectors = torch.linalg.eigh(torch.stack(columns, dim=-1))
        root = vectors * values.clamp(min=0).sqrt()[:, None, :]  # [example, output, number]
        return torch.einsum("eon,en->eo", root, numbers)
