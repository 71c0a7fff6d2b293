"""The multilayer perceptron as a hooked module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from interp.models._architecture import ACTIVATIONS, Weights
from interp.models._hooks import HookedModel, HookPoint, register_weights

if TYPE_CHECKING:
    from interp.models.mlp import MLP


class Embed(nn.Module):
    W_E: Float[Tensor, "p d_model"]

    def forward(self, operand: Int[Tensor, " batch"]) -> Float[Tensor, "batch d_model"]:
        return self.W_E[operand]


class Hidden(nn.Module):
    W_in: Float[Tensor, "d_in d_mlp"]
    b_in: Float[Tensor, " d_mlp"]

    def __init__(self, act_fn: str, biases: bool) -> None:
        super().__init__()
        self.act_fn = ACTIVATIONS[act_fn]
        self.biases = biases
        self.hook_pre = HookPoint()
        self.hook_post = HookPoint()

    def forward(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch d_mlp"]:
        pre = x @ self.W_in
        return self.hook_post(self.act_fn(self.hook_pre(pre + self.b_in if self.biases else pre)))


class Unembed(nn.Module):
    W_U: Float[Tensor, "d_mlp p"]
    b_U: Float[Tensor, " p"]

    def __init__(self, biases: bool) -> None:
        super().__init__()
        self.biases = biases

    def forward(self, x: Float[Tensor, "batch d_mlp"]) -> Float[Tensor, "batch p"]:
        return x @ self.W_U + self.b_U if self.biases else x @ self.W_U


class HookedMLP(HookedModel):
    """Operands [batch, 2] -> logits [batch, p]. Parameters keep the names of the weights."""

    def __init__(self, architecture: MLP, weights: Weights) -> None:
        super().__init__()
        self.tables = [name.removesuffix(".W_E") for name in architecture.embeddings]
        for table in dict.fromkeys(self.tables):
            self.add_module(table, Embed())
        self.hook_embed = HookPoint()
        self.mlp = Hidden(architecture.act_fn, architecture.biases)
        self.unembed = Unembed(architecture.biases)
        register_weights(self, weights)
        self.setup()

    def forward(self, pairs: Int[Tensor, "batch 2"]) -> Float[Tensor, "batch p"]:
        embedded = [self.get_submodule(table)(operand) for table, operand in zip(self.tables, pairs.T, strict=True)]
        x = self.hook_embed(torch.stack(embedded, dim=1))  # [batch, operand, d_model]
        return self.unembed(self.mlp(x.flatten(1)))
