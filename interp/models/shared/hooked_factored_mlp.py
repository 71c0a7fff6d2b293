"""The model `factored_mlp` as a hooked module: embed both, add, a hidden layer, and against the embedding again."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from interp.contracts.architecture import Weights
from interp.contracts.hooked_model import HookedModel, HookPoint, register_weights
from interp.models.shared.hooked_mlp import Embed
from interp.models.shared.hooked_transformer import MLP


class HookedFactoredMLP(HookedModel):
    """Called on operands [batch, 2], it returns logits [batch, p]; its parameters have the names of the weights."""

    def __init__(self, act_fn: str, weights: Weights, constant: Float[Tensor, "p d_model"] | None) -> None:
        """`constant` is the embedding where it is no weight."""
        super().__init__()
        self.embed = Embed()
        self.hook_embed = HookPoint()
        self.mlp = MLP(act_fn)
        self.hook_mlp_out = HookPoint()
        register_weights(self, weights)
        if constant is not None:
            del self.embed.W_E
            self.embed.register_buffer("W_E", constant, persistent=False)
        self.setup()

    def forward(self, pairs: Int[Tensor, "batch 2"]) -> Float[Tensor, "batch p"]:
        operands = self.hook_embed(self.embed(pairs))  # [batch, operand, d_model]
        return self.hook_mlp_out(self.mlp(operands.sum(dim=1))) @ self.embed.W_E.T
