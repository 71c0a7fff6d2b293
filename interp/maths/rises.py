"""How far a loss rises about a point: one step uphill, and at most within a box."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.maths.landscape import Loss, value_and_gradient

RESTARTS = 8
"""Corners drawn at random to start from, where curvature counts for more than the slope."""


def rise_along_gradient(loss: Loss, x: Float[Tensor, " weight"], radius: float) -> float:
    """L(x + radius·g/‖g‖) - L(x), g the gradient at x; 0 where g is 0, for then nothing leads uphill."""
    value, gradient = value_and_gradient(loss, x)
    largest = gradient.abs().max()
    if largest == 0:
        return 0.0
    gradient = gradient / largest  # squares of small numbers underflow
    with torch.no_grad():
        return float(loss(x + radius * gradient / gradient.norm())) - value


@dataclass(frozen=True)
class Box:
    """The points x + A y with |y_i| ≤ half_width_i; A is the identity where there are no `directions`."""

    half_width: Float[Tensor, " component"]
    directions: Float[Tensor, "weight component"] | None = None

    def step(self, u: Float[Tensor, " component"]) -> Float[Tensor, " weight"]:
        """A y, u = y / half_width between -1 and 1."""
        y = self.half_width * u
        return y if self.directions is None else self.directions @ y

    def slope(self, gradient: Float[Tensor, " weight"]) -> Float[Tensor, " component"]:
        """The derivative in u."""
        return self.half_width * (gradient if self.directions is None else self.directions.T @ gradient)


def rises_in_boxes(loss: Loss, x: Float[Tensor, " weight"], boxes: Iterable[Box]) -> Iterator[float]:
    """The maximum of L - L(x) over each box about x; 0 at least, for x is in all of them.

    L-BFGS-B, which finds a local maximum: started at the corner to which the gradient at x points, that of the linear
    part. Where the opposite corner too lies higher than x, curvature counts for more than the slope, and it is started
    there and at corners drawn at random as well, the same at every call. The rise is divided by its size at these
    corners before it is handed over, so that the optimiser's tolerances mean the same for a loss of 1 and of 1e-9.
    """
    value, gradient = value_and_gradient(loss, x)
    for box in boxes:
        corner = torch.where(box.slope(gradient) < 0, -1.0, 1.0).to(x)
        with torch.no_grad():
            ahead, behind = (float(loss(x + box.step(start))) - value for start in (corner, -corner))
        size = max(abs(ahead), abs(behind), float(box.slope(gradient).abs().sum()))
        starts = [corner] if behind < 0 else [corner, -corner, *_corners(corner)]
        yield max([0.0, *(_climbed(loss, x, value, box, start, size) for start in starts)]) if size else 0.0


def _corners(like: Float[Tensor, " component"]) -> Iterator[Float[Tensor, " component"]]:
    generator = torch.Generator().manual_seed(0)
    for _ in range(RESTARTS):
        yield (2 * torch.randint(0, 2, like.shape, generator=generator) - 1).to(like)


def _climbed(
    loss: Loss,
    x: Float[Tensor, " weight"],
    value: float,
    box: Box,
    start: Float[Tensor, " component"],
    size: float,
) -> float:
    from scipy.optimize import minimize

    def fall(u: np.ndarray) -> tuple[float, np.ndarray]:
        there, gradient = value_and_gradient(loss, x + box.step(torch.from_numpy(u).to(x)))
        return -(there - value) / size, -(box.slope(gradient) / size).cpu().numpy()

    found = minimize(fall, start.cpu().numpy(), jac=True, method="L-BFGS-B", bounds=[(-1, 1)] * len(start))
    return -float(found.fun) * size
