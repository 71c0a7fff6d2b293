"""Matrix products by oneDNN, where torch has it: MKL, which torch takes, is at half speed on AMD's processors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")

SMALLEST = 16
"""Sides of a matrix below which there is nothing to gain."""


def product(x: Float[Tensor, "row d_in"], W: Float[Tensor, "d_in d_out"]) -> Float[Tensor, "row d_out"]:
    """x @ W. Not differentiable."""
    if _HAS_ONEDNN and x.dtype is torch.float32 and x.device.type == "cpu":
        return torch.ops.mkldnn._linear_pointwise(x, W.T, None, "none", [], "")
    return x @ W


def affine_product(
    x: Float[Tensor, "row d_in"], W: Float[Tensor, "d_in d_out"], bias: Float[Tensor, " d_out"], *, relu: bool = False
) -> Float[Tensor, "row d_out"]:
    """x @ W + bias, of which negative numbers become 0 where `relu`. Not differentiable."""
    if _HAS_ONEDNN and x.dtype is torch.float32 and x.device.type == "cpu":
        return torch.ops.mkldnn._linear_pointwise(x, W.T, bias, "relu" if relu else "none", [], "")
    found = torch.addmm(bias, x, W)
    return found.relu_() if relu else found


def product_plus(
    x: Float[Tensor, "row d_in"], W: Float[Tensor, "d_in d_out"], more: Float[Tensor, "row d_out"]
) -> Float[Tensor, "row d_out"]:
    """x @ W + more. Not differentiable."""
    if _HAS_ONEDNN and x.dtype is torch.float32 and x.device.type == "cpu":
        return torch.ops.mkldnn._linear_pointwise.binary(x, more, W.T, None, "add")
    return torch.addmm(more, x, W)


class OneDNN(TorchDispatchMode):
    """Within the block every product of two matrices is one of oneDNN's, those of differentiation too."""

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is not torch.ops.aten.mm.default or min(*args[0].shape, *args[1].shape) < SMALLEST:
            return func(*args, **(kwargs or {}))
        x, W = args
        if x.is_contiguous() or x.shape[0] < W.shape[1]:
            return product(x, W)
        return product(W.T, x.T).T
