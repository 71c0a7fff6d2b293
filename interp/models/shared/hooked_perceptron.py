"""The model `perceptron` as a hooked module: hidden layers one after another, and a readout."""

from __future__ import annotations

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from interp.contracts.architecture import Weights
from interp.contracts.hooked_model import HookedModel, register_weights
from interp.models.shared.hooked_mlp import Hidden, Unembed


class HookedPerceptron(HookedModel):
    """Called on inputs [batch, …], it returns outputs [batch, output]; its parameters have the names of the weights."""

    def __init__(self, n_layers: int, act_fn: str, weights: Weights, output_scale: float = 1.0) -> None:
        super().__init__()
        self.output_scale = output_scale
        self.mlp = nn.ModuleList(Hidden(act_fn) for _ in range(n_layers))
        self.unembed = Unembed()
        register_weights(self, weights)
        self.setup()

    def forward(self, inputs: Shaped[Tensor, "batch ..."]) -> Float[Tensor, "batch output"]:
        x = inputs.flatten(1).to(self.unembed.W_U)  # [batch, d_in]
        for layer in self.mlp:
            x = layer(x)
        return self.unembed(x) * self.output_scale
