"""A path through many dimensions in the few in which it varies most: principal components from products of its points.

The Gram matrix of n points less their mean, n × n however many dimensions there are, has the squares of the singular
values for eigenvalues, and its eigenvectors times the singular values are the points' coordinates, up to a sign for
each component. The sign is chosen so that the last point lies on the positive side of the first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class PrincipalPath:
    """The points of a path along its principal components."""

    coordinates: Float[Tensor, "point component"]
    """Distances from the mean of all points; 0 along components beyond those in which the path varies."""
    explained: Float[Tensor, " component"]
    """The share of the squared distances from the mean that lies along each; NaN where all points are one."""


def principal_path(points: Float[Tensor, "point dimension"], components: int) -> PrincipalPath:
    """The coordinates of the points along so many components, the one with the largest share first."""
    centred = points - points.mean(dim=0)
    values, vectors = torch.linalg.eigh(centred @ centred.T)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    found = torch.zeros(len(points), components).to(points)
    shares = torch.zeros(components).to(points)
    there = min(components, len(points))
    found[:, :there] = vectors[:, :there] * values[:there].sqrt()
    shares[:there] = values[:there]
    turned = torch.where(found[-1] < found[0], -1.0, 1.0).to(points)
    return PrincipalPath(found * turned, shares / values.sum())
