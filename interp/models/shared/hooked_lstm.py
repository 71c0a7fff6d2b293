"""The model `lstm` as a hooked module: layers along the row one after another, and a readout at its end."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from interp.contracts.architecture import Weights
from interp.contracts.hooked_model import HookedModel, HookedPart, HookPoint, register_weights
from interp.models.shared.hooked_mlp import Embed, Unembed
from interp.models.shared.memory_cell import Cell


class Layer(HookedPart):
    """A layer's states at all positions pass through its hooks when it has gone along the row."""

    hook_h: HookPoint
    hook_c: HookPoint
    W_ih: Float[Tensor, "d_in gates"]
    W_hh: Float[Tensor, "d_hidden gates"]
    b_ih: Float[Tensor, " gates"]
    b_hh: Float[Tensor, " gates"]

    def forward(self, x: Float[Tensor, "batch pos d_in"]) -> Float[Tensor, "batch pos d_hidden"]:
        cell = Cell(self.W_ih, self.W_hh, self.b_ih, self.b_hh)
        state = (x.new_zeros(len(x), len(self.W_hh)),) * 2
        states = []
        for here in x.unbind(1):
            state = cell.step(here, *state)
            states.append(state)
        h, c = (torch.stack(of_all, dim=1) for of_all in zip(*states, strict=True))  # [batch, pos, d_hidden]
        self.hook_c(c)
        return self.hook_h(h)


class HookedLSTM(HookedModel):
    """Called on tokens [batch, pos], it returns outputs [batch, output]; its parameters are named as the weights."""

    def __init__(self, n_layers: int, output_scale: float, weights: Weights) -> None:
        super().__init__()
        self.output_scale = output_scale
        self.embed = Embed()
        self.hook_embed = HookPoint()
        self.lstm = nn.ModuleList(Layer() for _ in range(n_layers))
        self.unembed = Unembed()
        register_weights(self, weights)
        self.setup()

    def forward(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch output"]:
        x = self.hook_embed(self.embed(tokens))  # [batch, pos, d_model]
        for layer in self.lstm:
            x = layer(x)
        return self.unembed(x[:, -1]) * self.output_scale
