"""How far a loss rises about a point: one step uphill, and at most within a box."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.maths.landscape import Loss, value_and_gradient

STRAIGHT = 0.1
"""Where the slope changes by a smaller share up to the corner, no other corner is higher by much."""
ENUMERABLE = 12
"""Dimensions whose corners can all be looked at."""
RESTARTS = 8
"""Corners drawn at random, where they cannot."""
CORNERS, ITERATIONS = 20, 30
"""At most so many corners in a row, and so many iterations of L-BFGS-B after them; in ten dimensions one or two do."""

Climb = Callable[[Float[Tensor, " component"]], tuple[float, Float[Tensor, " component"]]]
"""From a place in a box, its coordinates between -1 and 1, to the rise there and its derivative."""


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
    """The maximum of L - L(x) over each box about x; 0 at least, for x is in all of them; NaN where L overflows.

    A convex loss is highest at a corner. From the corner to which the gradient at x points, that of the linear part,
    one goes on to the corner to which the gradient there points, as long as that leads up; L-BFGS-B then leaves the
    corner where the inside is higher. Where the slope there, or at the opposite corner, differs from that at x by more
    than a tenth, one starts as well at the best of all corners of a quadratic with the slopes at x and at the middles
    of the faces, so that a quadratic's best corner is found whatever it is; in more than twelve dimensions, whose
    corners are too many, at the opposite corner and at a few drawn at random, the same at every call. Elsewhere what is
    found is a local maximum, a lower bound.
    """
    value, gradient = value_and_gradient(loss, x)
    for box in boxes:

        def climb(u: Float[Tensor, " component"], box: Box = box) -> tuple[float, Float[Tensor, " component"]]:
            there, gradient = value_and_gradient(loss, x + box.step(u))
            return there - value, box.slope(gradient)

        slope = box.slope(gradient)
        starts = [_corner(slope)]
        changes = [float((climb(end)[1] - slope).abs().sum()) for end in (starts[0], -starts[0])]
        if max(changes) > STRAIGHT * float(slope.abs().sum()):
            starts += _best_of_all(climb, slope) if len(slope) <= ENUMERABLE else _some_others(starts[0])
        rise, best = max((_by_corners(climb, start) for start in starts), key=lambda found: found[0])
        highest = _within(climb, best, rise)
        yield max(highest, 0.0) if math.isfinite(highest) else math.nan


def _corner(slope: Float[Tensor, " component"]) -> Float[Tensor, " component"]:
    return torch.where(slope < 0, -torch.ones_like(slope), torch.ones_like(slope))


def _best_of_all(climb: Climb, slope: Float[Tensor, " component"]) -> list[Float[Tensor, " component"]]:
    """The corners at which a quadratic is highest: with the slope at x, then with that at the corner found before."""
    axes = torch.eye(len(slope)).to(slope)
    H = torch.stack([climb(axis)[1] - slope for axis in axes])
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0]).to(slope)] * len(slope)).view(-1, len(slope))
    found: list[Tensor] = []
    place = torch.zeros_like(slope)  # [component]; `corners` are [corner, component]
    for _ in range(CORNERS):
        moves = corners - place
        place = corners[int((moves @ slope + ((moves @ H) * moves).sum(1) / 2).argmax())]
        if any(torch.equal(place, other) for other in found):
            break
        found.append(place)
        slope = climb(place)[1]
    return found


def _some_others(corner: Float[Tensor, " component"]) -> list[Float[Tensor, " component"]]:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn((RESTARTS, len(corner)), generator=generator).to(corner)
    return [-corner, *_corner(drawn)]


def _by_corners(climb: Climb, start: Float[Tensor, " component"]) -> tuple[float, Float[Tensor, " component"]]:
    """The rise at the corner at which going on from corner to corner ends, and that corner."""
    corner, (rise, slope) = start, climb(start)
    for _ in range(CORNERS):
        following = _corner(slope)
        if torch.equal(following, corner):
            break
        there, slope = climb(following)
        if there <= rise:
            break
        corner, rise = following, there
    return rise, corner


def _within(climb: Climb, start: Float[Tensor, " component"], rise: float) -> float:
    """The highest rise L-BFGS-B sees on its way from `start`, where it is `rise`.

    It is given the rise divided by its size at `start`, so that its tolerances mean the same for a loss of 1 and of
    1e-9.
    """
    from scipy.optimize import minimize

    size = abs(rise) or 1.0

    def fall(u: np.ndarray) -> tuple[float, np.ndarray]:
        there, slope = climb(torch.from_numpy(u).to(start))
        return -there / size, -(slope / size).cpu().numpy()

    bounds = [(-1, 1)] * len(start)
    options = {"maxiter": ITERATIONS}
    found = minimize(fall, start.cpu().numpy(), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return max(rise, -float(found.fun) * size)
