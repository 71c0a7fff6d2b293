"""Random directions among weights that do not depend on how large each unit's weights happen to be.

A ReLU unit whose incoming weights are twice as large, and outgoing half as large, answers the same, but is moved half
as far by a step of given length. So each filter of a direction, what leads into one unit, is as long as that unit's own
weights are (Li et al. 2018, arXiv 1712.09913): a matrix acts as x @ W, so a filter is a column, of heads a column of
each head, and of a convolution's kernel [in, row, column, out] the part of one output channel. Biases and the weights
of norms stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

KERNEL = 4
"""From so many axes on a parameter is a convolution's, whose filters reach over all axes but the last."""


def filter_norms(weight: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The length of each filter of a parameter, of a shape that multiplies it."""
    if weight.ndim >= KERNEL:
        return weight.flatten(0, -2).norm(dim=0)
    return weight.norm(dim=-2, keepdim=True)


def filter_normalised(
    direction: Mapping[str, Float[Tensor, "..."]], weights: Mapping[str, Float[Tensor, "..."]]
) -> dict[str, Float[Tensor, "..."]]:
    """The direction with each filter as long as that of the weights; 0 in parameters with one axis or none."""
    scaled = {}
    for name, weight in weights.items():
        if weight.ndim < 2:
            scaled[name] = torch.zeros_like(weight)
            continue
        scaled[name] = direction[name] / filter_norms(direction[name]) * filter_norms(weight)
    return scaled


def drawn_direction(
    weights: Mapping[str, Float[Tensor, "..."]], generator: torch.Generator
) -> dict[str, Float[Tensor, "..."]]:
    """A direction of independent normal numbers, filter by filter as long as the weights."""
    drawn = {
        name: torch.randn(weight.shape, generator=generator, dtype=torch.float64).to(weight)
        for name, weight in weights.items()
    }
    return filter_normalised(drawn, weights)
