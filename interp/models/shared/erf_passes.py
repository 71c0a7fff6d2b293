"""The passes of a layer of error functions without biases, in memory that is used again; erf'(z) = 2/√π exp(-z²)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from interp.contracts.architecture import Buffers, Weights


class ErfPasses:
    """Forward and backward pass of erf(x W) U: `Passes` of the contract."""

    def __init__(self, names: tuple[str, str], weights: Weights, gradients: Weights, buffers: Buffers) -> None:
        """`names` are those of W and U."""
        self._W, self._U = (weights[name] for name in names)
        self._of_W, self._of_U = (gradients[name] for name in names)
        self._buffers = buffers
        self._x = torch.empty(0)

    def outputs(self, inputs: Float[Tensor, "example ..."]) -> Float[Tensor, "example output"]:
        self._x = inputs.flatten(1)
        shape = (len(inputs), self._W.shape[1])
        self._pre = torch.mm(self._x, self._W, out=self._buffers("pre", shape))
        self._post = torch.erf(self._pre, out=self._buffers("post", shape))
        return torch.mm(self._post, self._U, out=self._buffers("outputs", (len(inputs), self._U.shape[1])))

    def write_gradients(self, slope: Float[Tensor, "example output"]) -> None:
        torch.mm(self._post.T, slope, out=self._of_U)
        rise = torch.mul(self._pre, self._pre, out=self._pre).neg_().exp_().mul_(2 / math.sqrt(math.pi))
        of_pre = torch.mm(slope, self._U.T, out=self._post).mul_(rise)
        torch.mm(self._x.T, of_pre, out=self._of_W)
