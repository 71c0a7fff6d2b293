"""The model `mlp` as a hooked module, in the plainest form: embed, hidden layers, unembed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.contracts.architecture import Weights
from interp.contracts.hooked_model import HookedModel, HookedPart, HookPoint, register_weights
from interp.models.shared.activations import ACTIVATIONS
from interp.models.shared.operations import plus


class Embed(HookedPart):
    W_E: Float[Tensor, "p d_model"]

    def forward(self, operand: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch d_model"]:
        return self.W_E[operand]


class Hidden(HookedPart):
    """A hidden layer; without W_in what comes in goes to the neurons as it is."""

    hook_pre: HookPoint
    hook_post: HookPoint
    W_in: Float[Tensor, "d_in d_mlp"] | None
    b_in: Float[Tensor, " d_mlp"] | None

    def __init__(self, act_fn: str) -> None:
        super().__init__()
        self.act_fn = ACTIVATIONS[act_fn]

    def forward(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch d_mlp"]:
        pre = self.hook_pre(plus(x if self.W_in is None else x @ self.W_in, self.b_in))
        return self.hook_post(self.act_fn(pre))


class Unembed(HookedPart):
    W_U: Float[Tensor, "d_mlp p"]
    b_U: Float[Tensor, " p"] | None

    def forward(self, x: Float[Tensor, "batch d_mlp"]) -> Float[Tensor, "batch p"]:
        return plus(x @ self.W_U, self.b_U)


class HookedMLP(HookedModel):
    """Called on operands [batch, 2], it returns logits [batch, p]; its parameters have the names of the weights."""

    def __init__(
        self,
        embeddings: Sequence[str],
        hidden_layers: Sequence[str],
        combine: Literal["concatenated", "added", "averaged", "one-hot"],
        act_fn: str,
        weights: Weights,
    ) -> None:
        """Take the names of the parameters that embed a and b, and of the hidden layers' modules from below."""
        super().__init__()
        self.tables = [name.removesuffix(".W_E") for name in embeddings]
        self.combine = combine
        self.hidden = hidden_layers
        for table in dict.fromkeys(self.tables):
            self.add_module(table, Embed())
        self.hook_embed = HookPoint()
        for layer in self.hidden:
            self.add_module(layer, Hidden(act_fn))
        self.unembed = Unembed()
        register_weights(self, weights)
        self.setup()

    def forward(self, pairs: Int[Tensor, "batch 2"]) -> Float[Tensor, "batch p"]:
        embedded = [self.get_submodule(table)(operand) for table, operand in zip(self.tables, pairs.T, strict=True)]
        operands = self.hook_embed(torch.stack(embedded, dim=1))  # [batch, operand, d_model]
        x = operands.flatten(1) if self.combine == "concatenated" else operands.sum(dim=1)  # [batch, d_in]
        x = x / 2 if self.combine == "averaged" else x
        for layer in self.hidden:
            x = self.get_submodule(layer)(x)
        return self.unembed(x)
