"""The model `committee_machine` as a hooked module: neurons that are error functions, and a readout."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from interp.contracts.architecture import Weights
from interp.contracts.hooked_model import HookedModel, HookedPart, HookPoint, register_weights
from interp.models.shared.hooked_mlp import Unembed


class ErfNeurons(HookedPart):
    hook_pre: HookPoint
    hook_post: HookPoint
    W_in: Float[Tensor, "d_in d_mlp"]

    def forward(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch d_mlp"]:
        return self.hook_post(torch.erf(self.hook_pre(x @ self.W_in)))


class HookedCommitteeMachine(HookedModel):
    """Called on inputs [batch, …], it returns outputs [batch, output]; its parameters have the names of the weights."""

    def __init__(self, output_scale: float, weights: Weights) -> None:
        super().__init__()
        self.output_scale = output_scale
        self.mlp, self.unembed = ErfNeurons(), Unembed()
        register_weights(self, weights)
        self.setup()

    def forward(self, inputs: Shaped[Tensor, "batch ..."]) -> Float[Tensor, "batch output"]:
        return self.unembed(self.mlp(inputs.flatten(1).to(self.unembed.W_U))) * self.output_scale
