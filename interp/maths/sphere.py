"""The least loss among weights of one norm: Omnigrok's reduced loss (Liu et al. 2022, arXiv 2210.01117).

f̃(w) = f(w*), where w* minimises the train loss on the sphere ‖w*‖ = w. It is looked for nearly as in the paper: a usual
step of an optimiser, here Adam, and all weights multiplied so that their norm is again what it was. But Adam is given
the gradient along the sphere alone: with the whole of it, it rests where its own step, and not the gradient, points to
the centre, which is no minimum.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from interp.maths.landscape import Loss, value_and_gradient

FIRST, SECOND, TINY = 0.9, 0.999, 1e-8
"""Adam's usual numbers."""


def least_on_sphere(
    loss: Loss, start: Float[Tensor, " weight"], steps: int, rate: float
) -> tuple[float, Float[Tensor, " weight"]]:
    """The lowest loss met in so many steps on the sphere about 0 through `start`, and the weights that have it.

    The learning rate falls from `rate` by a half cosine to 0, so that it ends at rest.
    """
    radius = start.norm()
    x, mean, square = start.clone(), torch.zeros_like(start), torch.zeros_like(start)
    best, lowest = x, torch.inf
    for step in range(steps + 1):
        value, gradient = value_and_gradient(loss, x)
        if value < lowest:
            best, lowest = x, value
        gradient = gradient - (gradient @ x) / radius.square() * x
        mean = FIRST * mean + (1 - FIRST) * gradient
        square = SECOND * square + (1 - SECOND) * gradient.square()
        size = square / (1 - SECOND ** (step + 1))
        falling = rate * (1 + torch.cos(torch.tensor(torch.pi * step / max(steps, 1)))) / 2
        x = x - falling * mean / (1 - FIRST ** (step + 1)) / (size.sqrt() + TINY)
        x = x * (radius / x.norm())
    return float(lowest), best
