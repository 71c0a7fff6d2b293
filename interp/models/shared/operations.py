"""The operations in which networks are written as plain functions; a bias that a network does not have is None."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding, linear


def plus(x: Float[Tensor, "..."], bias: Float[Tensor, "..."] | None) -> Float[Tensor, "..."]:
    """Return x + bias, or x where there is no bias."""
    return x if bias is None else x + bias


def affine(
    x: Float[Tensor, "*row d_in"], W: Float[Tensor, "d_in d_out"], bias: Float[Tensor, " d_out"] | None
) -> Float[Tensor, "*row d_out"]:
    """Return x @ W + bias, computed in one pass over the result."""
    return linear(x, W.T, bias)


def rows(table: Float[Tensor, "row ..."], at: Int[Tensor, " pair"]) -> Float[Tensor, "pair ..."]:
    """Return `table[at]`, whose gradient is summed in a fixed order, quickly."""
    return embedding(at, table.flatten(1)).unflatten(1, table.shape[1:])  # [pair, …]
