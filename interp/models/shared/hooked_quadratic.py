"""The model `quadratic` as a hooked module: that of an `mlp` on one-hot operands, times a constant."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor

from interp.contracts.architecture import Weights
from interp.models.shared.hooked_mlp import HookedMLP


class HookedQuadratic(HookedMLP):
    """Called on operands [batch, 2], it returns logits [batch, p]; its parameters have the names of the weights."""

    def __init__(self, embeddings: Sequence[str], scale: float, weights: Weights) -> None:
        super().__init__(embeddings, ("mlp",), "one-hot", "x^2", weights)
        self.scale = scale

    def forward(self, pairs: Int[Tensor, "batch 2"]) -> Float[Tensor, "batch p"]:
        return super().forward(pairs) * self.scale
