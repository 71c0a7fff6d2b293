"""A loss as a function of one flat vector of all parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Loss = Callable[[Float[Tensor, " weight"]], Float[Tensor, ""]]
"""Differentiable; the measures take it in float64."""


def has_length(weights: Float[Tensor, " weight"]) -> bool:
    """Whether the square of the weights' length is a number in their precision."""
    return bool(torch.isfinite(weights.square().sum()))


def flattened(weights: Mapping[str, Float[Tensor, "..."]]) -> Float[Tensor, " weight"]:
    """All parameters one after another, in the order of the mapping."""
    return torch.cat([value.reshape(-1) for value in weights.values()])


def unflattened(
    vector: Float[Tensor, " weight"], shapes: Mapping[str, Sequence[int]]
) -> dict[str, Float[Tensor, "..."]]:
    """The parameters of these shapes in a flat vector, as views of it."""
    parts = vector.split([math.prod(shape) for shape in shapes.values()])
    return {name: part.view(*shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def value_and_gradient(loss: Loss, x: Float[Tensor, " weight"]) -> tuple[float, Float[Tensor, " weight"]]:
    leaf = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        value = loss(leaf)
        (gradient,) = torch.autograd.grad(value, leaf)
    return float(value.detach()), gradient


def rounding_error(loss: Loss, x: Float[Tensor, " weight"], draws: int = 4) -> float:
    """About how far the computed loss at x is from the exact one.

    The largest of its changes when every parameter is multiplied by 1 ± ε of its precision, the signs drawn at random,
    the same at every call (Monte Carlo arithmetic, Parker 1997); ε of the loss at least.
    """
    generator = torch.Generator().manual_seed(0)
    epsilon = torch.finfo(x.dtype).eps
    with torch.no_grad():
        there = float(loss(x))
        signs = 2 * torch.randint(0, 2, (draws, len(x)), generator=generator) - 1
        moved = [float(loss(x * (1 + epsilon * sign.to(x)))) for sign in signs]
    return max(epsilon * abs(there), *(abs(value - there) for value in moved))
