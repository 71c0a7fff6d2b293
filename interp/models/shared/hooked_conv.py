"""The model `conv` as a hooked module: convolutions one after another, a hidden layer, and a readout."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from interp.contracts.architecture import Weights
from interp.contracts.hooked_model import HookedModel, HookedPart, HookPoint, register_weights
from interp.models.shared.activations import ACTIVATIONS
from interp.models.shared.convolution import convolved
from interp.models.shared.hooked_mlp import Hidden, Unembed


class Convolution(HookedPart):
    hook_pre: HookPoint
    hook_post: HookPoint
    W_in: Float[Tensor, "c_in kernel kernel c_out"]
    b_in: Float[Tensor, " c_out"]

    def __init__(self, stride: int, act_fn: str) -> None:
        super().__init__()
        self.stride, self.act_fn = stride, ACTIVATIONS[act_fn]

    def forward(self, x: Float[Tensor, "batch c_in row column"]) -> Float[Tensor, "batch c_out _ _"]:
        return self.hook_post(self.act_fn(self.hook_pre(convolved(x, self.W_in, self.b_in, self.stride))))


class HookedConv(HookedModel):
    """Called on images [batch, channel, row, column], it returns outputs [batch, output]."""

    def __init__(self, strides: Sequence[int], act_fn: str, output_scale: float, weights: Weights) -> None:
        super().__init__()
        self.output_scale = output_scale
        self.conv = nn.ModuleList(Convolution(stride, act_fn) for stride in strides)
        self.mlp, self.unembed = Hidden(act_fn), Unembed()
        register_weights(self, weights)
        self.setup()

    def forward(self, images: Float[Tensor, "batch channel row column"]) -> Float[Tensor, "batch output"]:
        x = images.to(self.unembed.W_U)
        for layer in self.conv:
            x = layer(x)
        return self.unembed(self.mlp(x.flatten(1))) * self.output_scale
