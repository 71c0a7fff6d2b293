"""The widest step of the training path, in little memory."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


class AddReLU(torch.autograd.Function):
    """direct + relu(pre) @ W, in the memory of `direct` and `pre`: the [pair, d_mlp] arrays outgrow the caches."""

    @staticmethod
    def forward(
        ctx: Any,
        direct: Float[Tensor, "pair logit"],
        pre: Float[Tensor, "pair neuron"],
        W: Float[Tensor, "neuron logit"],
    ) -> Float[Tensor, "pair logit"]:
        post = pre.relu_()
        ctx.mark_dirty(direct)
        ctx.save_for_backward(post, W)
        return direct.addmm_(post, W)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[Tensor, "pair logit"]) -> tuple[Tensor, Tensor, Tensor]:
        post, W = ctx.saved_tensors
        of_pre = gradient @ W.T
        torch.ops.aten.threshold_backward.grad_input(of_pre, post, 0, grad_input=of_pre)
        return gradient, of_pre, post.T @ gradient
