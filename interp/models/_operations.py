"""The operations that the fast paths are written in; a bias that a network does not have is None."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding, linear

_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def plus(x: Float[Tensor, "..."], bias: Float[Tensor, "..."] | None) -> Float[Tensor, "..."]:
    """x + bias."""
    return x if bias is None else x + bias


def affine(
    x: Float[Tensor, "*row d_in"], W: Float[Tensor, "d_in d_out"], bias: Float[Tensor, " d_out"] | None
) -> Float[Tensor, "*row d_out"]:
    """x @ W + bias, in one pass over the result."""
    return linear(x, W.T, bias)


def rows(table: Float[Tensor, "row ..."], at: Int[Tensor, " pair"]) -> Float[Tensor, "pair ..."]:
    """`table[at]`, whose gradient is summed in a fixed order, quickly."""
    return embedding(at, table.flatten(1)).unflatten(1, table.shape[1:])


def product(x: Float[Tensor, "row d_in"], W: Float[Tensor, "d_in d_out"]) -> Float[Tensor, "row d_out"]:
    """x @ W by oneDNN, where torch was built with it: MKL, which torch takes, is at half speed on AMD's processors.

    Not differentiable.
    """
    if _HAS_ONEDNN and x.dtype is torch.float32 and x.device.type == "cpu":
        return torch.ops.mkldnn._linear_pointwise(x, W.T, None, "none", [], "")
    return x @ W
