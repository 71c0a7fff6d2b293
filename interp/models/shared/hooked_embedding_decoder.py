"""The model `embedding_decoder` as a hooked module: embed, add, hidden layers, unembed."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from interp.contracts.architecture import Weights
from interp.contracts.hooked_model import HookedModel, HookPoint, register_weights
from interp.models.shared.hooked_mlp import Embed, Hidden, Unembed


class HookedEmbeddingDecoder(HookedModel):
    """Called on operands [batch, 2], it returns outputs [batch, output]; its parameters are named as the weights."""

    def __init__(self, n_layers: int, act_fn: str, output_scale: float, weights: Weights) -> None:
        super().__init__()
        self.output_scale = output_scale
        self.embed = Embed()
        self.hook_embed = HookPoint()
        self.mlp = nn.ModuleList(Hidden(act_fn) for _ in range(n_layers))
        self.unembed = Unembed()
        register_weights(self, weights)
        self.setup()

    def forward(self, pairs: Int[Tensor, "batch 2"]) -> Float[Tensor, "batch output"]:
        embedded = [self.embed(operand) for operand in pairs.T]
        x = self.hook_embed(torch.stack(embedded, dim=1)).sum(dim=1)  # [batch, d_model]
        for layer in self.mlp:
            x = layer(x)
        return self.unembed(x) * self.output_scale
