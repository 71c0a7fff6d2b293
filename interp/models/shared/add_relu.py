"""The widest step of a transformer's training path, computed for a slice of the pairs at a time."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from interp.maths.matrix_products import product

PAIRS_AT_ONCE = 960
"""[pair, neuron] arrays of all pairs outgrow a processor's caches; of so many they nearly fit."""


class AddReLU(torch.autograd.Function):
    """Compute direct + relu(z @ W_z + bias) @ W in the memory of `direct`; the bias is one row, or one a pair."""

    @staticmethod
    def forward(
        ctx: Any,
        direct: Float[Tensor, "pair logit"],
        z: Float[Tensor, "pair z"],
        W_z: Float[Tensor, "z neuron"],
        bias: Float[Tensor, "#pair neuron"],
        W: Float[Tensor, "neuron logit"],
    ) -> Float[Tensor, "pair logit"]:
        post = z.new_empty(len(z), W_z.shape[1])
        each_its_own = len(bias) == len(z) > 1
        for rows in _slices(len(z)):
            pre = product(z[rows], W_z).add_(bias[rows] if each_its_own else bias)
            torch.clamp(pre, min=0, out=post[rows])
            direct[rows] += product(post[rows], W)
        ctx.mark_dirty(direct)
        ctx.save_for_backward(z, W_z, post, W)
        ctx.each_its_own = each_its_own
        return direct

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[Tensor, "pair logit"]) -> tuple[Tensor, ...]:
        z, W_z, post, W = ctx.saved_tensors
        of_z, of_W_z, of_W = torch.empty_like(z), torch.zeros_like(W_z), torch.zeros_like(W)
        of_bias = post.new_zeros(len(z) if ctx.each_its_own else 1, W_z.shape[1])
        for rows in _slices(len(z)):
            of_pre = product(gradient[rows], W.T)
            torch.ops.aten.threshold_backward.grad_input(of_pre, post[rows], 0, grad_input=of_pre)
            of_z[rows] = product(of_pre, W_z.T)
            of_W_z += product(z[rows].T, of_pre)
            of_W += product(post[rows].T, gradient[rows])
            if ctx.each_its_own:
                of_bias[rows] = of_pre
            else:
                of_bias += of_pre.sum(0)
        return gradient, of_z, of_W_z, of_bias, of_W


def _slices(pairs: int) -> list[slice]:
    return [slice(start, start + PAIRS_AT_ONCE) for start in range(0, pairs, PAIRS_AT_ONCE)]
