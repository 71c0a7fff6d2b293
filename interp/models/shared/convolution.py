"""A convolution whose weights act as a matrix does: from the left they are inputs, on the right the outputs."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d


def convolved(
    x: Float[Tensor, "example c_in row column"],
    W: Float[Tensor, "c_in kernel kernel c_out"],
    bias: Float[Tensor, " c_out"],
    stride: int,
) -> Float[Tensor, "example c_out _ _"]:
    """Return the convolution, with half a kernel of zeros about the image, and the bias of each channel added."""
    return conv2d(x, W.permute(3, 0, 1, 2), bias, stride, padding=W.shape[1] // 2)
