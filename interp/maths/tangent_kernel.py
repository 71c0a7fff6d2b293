"""The tangent kernel of a network: how much one example's output moves when another's is learnt.

K_ij = Σ_k ∇f_k(x_i)·∇f_k(x_j), over all weights and outputs, or over random directions of the outputs, of which it is
the mean: E[v vᵀ] = 1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def directions(n_outputs: int, at_most: int, seed: int) -> Float[Tensor, "direction output"]:
    """Each output's own direction, or where there are more, so many of random signs, scaled so that K is their sum."""
    if n_outputs <= at_most:
        return torch.eye(n_outputs, dtype=torch.float64)
    signs = torch.randint(0, 2, (at_most, n_outputs), generator=torch.Generator().manual_seed(seed))
    return (2 * signs - 1).double() / at_most**0.5


def tangent_kernel(
    outputs: Callable[[Float[Tensor, " weight"]], Float[Tensor, "example output"]],
    weights: Float[Tensor, " weight"],
    along: Float[Tensor, "direction output"],
) -> Float[Tensor, "example example"]:
    """The kernel of these outputs at these weights, in their precision."""
    leaf = weights.detach().clone().requires_grad_()
    with torch.enable_grad():
        moved = outputs(leaf) @ along.to(weights).T  # [example, direction]
    unit = torch.eye(len(moved)).to(weights)
    kernel = torch.zeros_like(unit)
    for place in range(moved.shape[1]):
        (jacobian,) = torch.autograd.grad(moved[:, place], leaf, unit, retain_graph=True, is_grads_batched=True)
        kernel += jacobian @ jacobian.T  # [example, weight] on itself
    return kernel


def similarity(one: Float[Tensor, "example example"], other: Float[Tensor, "example example"]) -> float:
    """The cosine of the angle between two kernels as vectors, NaN where one is 0."""
    size = one.norm() * other.norm()
    return float((one * other).sum() / size) if size > 0 else float("nan")
