"""Networks of one hidden layer whose neurons see the sum of what each operand gives them, without biases."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.contracts.architecture import Architecture, Buffers, Weights
from interp.contracts.task import TwoOperands
from interp.models.shared.activations import ACTIVATIONS, ActFn
from interp.models.shared.operations import affine, rows
from interp.models.shared.sum_passes import SumPasses


@dataclass(frozen=True)
class SumOfOperands(Architecture):
    """logits = act(from_a[a] + from_b[b]) @ W_L: what is said here of tables and W_L, and all that follows from it."""

    task: TwoOperands
    act_fn: ActFn

    @property
    def neurons(self) -> str:
        return "mlp.hook_post"

    @abstractmethod
    def from_operands(self, weights: Weights) -> tuple[Float[Tensor, "p neuron"], Float[Tensor, "p neuron"]]:
        """Return what each residue gives the neurons, as a and as b."""

    @abstractmethod
    def neuron_logits(
        self, weights: Weights, activations: Mapping[str, Float[Tensor, "pair ..."]]
    ) -> Float[Tensor, "neuron p"]:
        """Return what each neuron gives the logits, W_L."""

    def activations(self, weights: Weights, inputs: Int[Tensor, "pair 2"]) -> dict[str, Float[Tensor, "pair ..."]]:
        a, b = inputs.unbind(1)
        from_a, from_b = self.from_operands(weights)
        return self.from_pre(weights, rows(from_a, a) + rows(from_b, b))

    def passes(self, weights: Weights, gradients: Weights, buffers: Buffers) -> SumPasses:
        """Write the gradient by hand: `WritesGradients` of the contract."""

        def tables(leaves: Weights) -> tuple[Tensor, Tensor, Tensor]:
            return *self.from_operands(leaves), self.neuron_logits(leaves, {})

        return SumPasses(tables, self.act_fn, weights, gradients, buffers)

    def from_pre(self, weights: Weights, pre: Float[Tensor, "pair neuron"]) -> dict[str, Float[Tensor, "pair ..."]]:
        """Return every activation, given what goes into the neurons."""
        post = ACTIVATIONS[self.act_fn](pre)
        activations = {"mlp.hook_pre": pre, "mlp.hook_post": post}
        return activations | {"logits": self.outputs_from_neurons(weights, post, activations)}

    def neuron_inputs(
        self,
        weights: Weights,
        activations: Mapping[str, Float[Tensor, "pair ..."]],  # noqa: ARG002 (there are no norms)
    ) -> Float[Tensor, "operand p neuron"]:
        return torch.stack(self.from_operands(weights))

    def readout(
        self, weights: Weights, activations: Mapping[str, Float[Tensor, "pair ..."]]
    ) -> Float[Tensor, "neuron output"]:
        return self.neuron_logits(weights, activations)

    def readout_factor(self, activations: Mapping[str, Float[Tensor, "pair ..."]]) -> None:
        """No norm follows the neurons."""

    def activated(
        self,
        weights: Weights,  # noqa: ARG002 (an activation has none)
        pre: Float[Tensor, "#pair neuron"],
    ) -> Float[Tensor, "#pair neuron"]:
        return ACTIVATIONS[self.act_fn](pre)

    def outputs_from_neurons(
        self,
        weights: Weights,
        post: Float[Tensor, "#pair neuron"],
        activations: Mapping[str, Float[Tensor, "pair ..."]],
    ) -> Float[Tensor, "#pair output"]:
        return affine(post, self.neuron_logits(weights, activations), None)
