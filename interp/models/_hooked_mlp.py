"""The multilayer perceptron as a hooked module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from interp.models._architecture import ACTIVATIONS, Weights
from interp.models._hooks import HookedModel, HookPoint

if TYPE_CHECKING:
    from interp.models.mlp import MLP


class HookedMLP(HookedModel):
    """Operands [batch, 2] -> logits [batch, p]. Parameters keep the names of the weights."""

    def __init__(self, architecture: MLP, weights: Weights) -> None:
        super().__init__()
        self.act_fn = ACTIVATIONS[architecture.act_fn]
        self.tables = architecture.embeddings
        for name, value in weights.items():
            module, parameter = name.split(".")
            if not hasattr(self, module):
                self.add_module(module, nn.Module())
            self.get_submodule(module).register_parameter(parameter, nn.Parameter(value))
        self.hook_embed = HookPoint()
        self.mlp.hook_pre = HookPoint()
        self.mlp.hook_post = HookPoint()
        self.setup()

    def forward(self, pairs: Int[Tensor, "batch 2"]) -> Float[Tensor, "batch p"]:
        E_a, E_b = (self.get_parameter(name) for name in self.tables)
        x = self.hook_embed(torch.stack([E_a[pairs[:, 0]], E_b[pairs[:, 1]]], dim=1))  # [batch, operand, d_model]
        pre = x.flatten(1) @ self.mlp.W_in
        if hasattr(self.mlp, "b_in"):
            pre = pre + self.mlp.b_in
        post = self.mlp.hook_post(self.act_fn(self.mlp.hook_pre(pre)))
        logits = post @ self.unembed.W_U
        return logits + self.unembed.b_U if hasattr(self.unembed, "b_U") else logits
