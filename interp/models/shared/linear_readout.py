"""What follows the last hidden layer where that is one linear map, and nothing runs beside it."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from interp.contracts.architecture import Architecture, Weights
from interp.models.shared.operations import affine


class LinearReadout(Architecture):
    """Networks of which the outputs are s·(post @ W_U + b_U): the part of `HasNeurons` that then is alike.

    W_U is unembed.W_U [neuron, output], b_U unembed.b_U [output] where there is one, and s the `output_scale`.
    """

    output_scale: float

    def outputs_from_neurons(
        self,
        weights: Weights,
        post: Float[Tensor, "#example neuron"],
        activations: Mapping[str, Float[Tensor, "example ..."]],  # noqa: ARG002 (nothing runs beside the neurons)
    ) -> Float[Tensor, "#example output"]:
        return affine(post, weights["unembed.W_U"], weights.get("unembed.b_U")) * self.output_scale

    def readout(
        self,
        weights: Weights,
        activations: Mapping[str, Float[Tensor, "example ..."]],  # noqa: ARG002 (no norm follows the neurons)
    ) -> Float[Tensor, "neuron output"]:
        return weights["unembed.W_U"] * self.output_scale

    def readout_factor(self, activations: Mapping[str, Float[Tensor, "example ..."]]) -> None:
        """No norm follows the neurons."""
