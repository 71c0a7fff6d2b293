"""The loss about a network's weights: larger and smaller, between two checkpoints, and in a plane.

1. `around` is the loss of either set of examples as a function of all weights.
2. Here the lines, the slice and what is found on spheres are put together.
3. `telling` draws and speaks; no number is made there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field, NonNegativeInt, PositiveFloat
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from interp.maths.sphere import least_on_sphere
from interp.measures.loss_landscape.around import Around, plane_of
from interp.measures.loss_landscape.telling import figure, summary
from interp.measures.shared.seed import Seed

__all__ = ["LossLandscape", "figure", "loss_landscape", "steps", "summary"]

NINE = (0.1, 0.178, 0.316, 0.562, 1.0, 1.778, 3.162, 5.623, 10.0)
"""Four to a decade."""
SHOWN = 8
"""Checkpoints visited by default."""
MOST_OF_PATH = 50
"""At most so many checkpoints of the path."""
Places = Annotated[int, Field(ge=2, le=201)]
Side = Annotated[int, Field(ge=1, le=101)]
"""Odd, to have the weights themselves in the middle."""


@dataclass(frozen=True)
class LossLandscape:
    factor: Float[Tensor, " factor"]
    """Norm of all weights over that of the checkpoint"""
    train_scaled: Float[Tensor, " factor"]
    """Train loss with all weights multiplied by the factor"""
    test_scaled: Float[Tensor, " factor"]
    """Test loss with all weights multiplied by the factor; NaN where there are no test examples"""
    train_reduced: Float[Tensor, " factor"] | None
    """Lowest train loss found among weights of the norm"""
    test_reduced: Float[Tensor, " factor"] | None
    """Test loss of the weights that have it; NaN where there are no test examples"""
    test_scaled_best: float
    """The factor at which the test loss of the scaled weights is lowest; NaN where there are no test examples"""
    test_reduced_best: float | None
    """The factor at which the test loss is lowest of the weights that have the lowest train loss of their norm"""
    way: Float[Tensor, " way"]
    """Share of the way from the earlier checkpoint to this one"""
    train_between: Float[Tensor, " way"]
    """Train loss on the straight line between the two checkpoints"""
    test_between: Float[Tensor, " way"]
    """Test loss on that line; NaN where there are no test examples"""
    barrier: float
    """By how much the train loss rises, on that line, above the straight line between its ends"""
    first: Float[Tensor, " first"]
    """Along the first direction"""
    second: Float[Tensor, " second"]
    """Along the second direction"""
    slice: Float[Tensor, "second first"]
    """Train loss in the plane of two random directions, filter by filter as long as the weights"""
    checkpoint_step: Int[Tensor, " checkpoint_step"]
    """Step of a checkpoint of the path"""
    path_first: Float[Tensor, " checkpoint_step"]
    """Where the checkpoint's nearest point in the plane lies, along the first direction"""
    path_second: Float[Tensor, " checkpoint_step"]
    """Where it lies along the second direction"""
    in_plane: float
    """Share of the squared distances of the path from here that lies in the plane"""
    norm: float
    """L2 norm of all weights"""
    earlier: int
    """Step of the earlier checkpoint"""
    directions_seed: int
    """Seed with which the directions were drawn"""
    loss_name: str
    """Loss that the run was trained with"""
    loss_units: str
    """Units of that loss"""


def loss_landscape(
    checkpoint: Checkpoint,
    factors: tuple[PositiveFloat, ...] = NINE,
    reduced_steps: NonNegativeInt = 0,
    reduced_lr: PositiveFloat = 1e-3,
    earlier: NonNegativeInt | None = None,
    places: Places = 21,
    side: Side = 9,
    reach: PositiveFloat = 1.0,
    seed: Seed = 0,
) -> LossLandscape:
    r"""Over the norm of the weights the train loss is an L and the test loss a U, and between them networks grok.

    In Omnigrok's account a large norm fits the training examples and only a smaller one, where the U is lowest,
    generalises; so a network that starts large knows its training examples long before weight decay has brought it
    there. The *reduced loss* is the lowest train loss among all weights of one norm. It is looked for where
    `reduced_steps` is given, from the checkpoint's weights times each of the `factors`, by so many steps of Adam with
    the learning rate `reduced_lr` falling by a half cosine to 0, after each of which all weights are multiplied back to
    the norm; the lowest train loss met is taken, and the test loss there. At the first checkpoint, with 1,500 steps
    or more, that is Omnigrok's. Beside it stands the loss of the weights merely multiplied by the factors.

    The *line* leads straight from an `earlier` checkpoint, the run's first where no step is given, to this one, at so
    many `places`; its barrier is by how much the train loss there exceeds the straight line between its ends. The
    *slice* is the train loss in a plane through the weights, along two directions drawn by `seed`, each filter of
    which, what leads into one unit, is as long as that of the weights; biases and norms stay. It has `side` places a
    side, up to `reach` times the directions. At most 50 checkpoints, spread evenly over the run, are shown as the path,
    at the points of the plane nearest to them; `in_plane` tells how little of the path a random plane sees.

    The losses are those that the run was trained with, in float64. On the run that ships a checkpoint takes 1.3 s, and
    each step of the reduced loss 0.025 s a factor.

    Formula: \tilde f(w) = f(\theta^*), \; \theta^* = \arg\min_{\lVert\theta\rVert = w} \mathcal{L}_\text{train}, \quad
        \mathcal{L}((1 - s)\,\theta_0 + s\,\theta), \quad \mathcal{L}(\theta + x d + y e), \;
        d_i \leftarrow \frac{d_i}{\lVert d_i \rVert} \lVert \theta_i \rVert

    Paper: Liu et al. 2022 (Omnigrok), arXiv 2210.01117; Li et al. 2018, arXiv 1712.09913; Goodfellow et al. 2015,
        arXiv 1412.6544
    """
    at = Around.of(checkpoint)
    scale = torch.tensor(sorted(factors), dtype=torch.float64)
    scaled = [at.losses(factor * at.weights) for factor in scale]
    reduced = []
    for factor in scale if reduced_steps else ():
        lowest, found = least_on_sphere(at.train, factor * at.weights, reduced_steps, reduced_lr)
        reduced.append((lowest, at.losses(found)[1]))
    run = checkpoint.run
    from_ = run.first if earlier is None else run[earlier]
    start = at.of_other(from_)
    way = torch.linspace(0, 1, places, dtype=torch.float64)
    line = [at.losses(start + share * (at.weights - start)) for share in way]
    between = torch.tensor(line, dtype=torch.float64)  # [way, set]
    chord = between[0, 0] + way * (between[-1, 0] - between[0, 0])
    along = reach * torch.linspace(-1, 1, side, dtype=torch.float64) if side > 1 else torch.zeros(1).double()
    plane = plane_of(at, seed)
    path = run.steps
    shown = [path[round(place)] for place in torch.linspace(0, len(path) - 1, min(len(path), MOST_OF_PATH)).tolist()]
    apart = torch.stack([at.of_other(run[step]) - at.weights for step in shown])  # [checkpoint_step, weight]
    nearest = plane.nearest(apart)
    return LossLandscape(
        factor=scale,
        train_scaled=_column(scaled, 0),
        test_scaled=_column(scaled, 1),
        train_reduced=_column(reduced, 0) if reduced else None,
        test_reduced=_column(reduced, 1) if reduced else None,
        test_scaled_best=_best(scale, _column(scaled, 1)),
        test_reduced_best=_best(scale, _column(reduced, 1)) if reduced else None,
        way=way,
        train_between=between[:, 0],
        test_between=between[:, 1],
        barrier=float((between[:, 0] - chord).max()),
        first=along,
        second=along,
        slice=plane.losses(at, along),
        checkpoint_step=torch.tensor(shown),
        path_first=nearest[:, 0],
        path_second=nearest[:, 1],
        in_plane=plane.share(apart, nearest),
        norm=float(at.weights.norm()),
        earlier=from_.step,
        directions_seed=seed,
        loss_name=checkpoint.loss.name,
        loss_units=checkpoint.loss.units,
    )


def _column(pairs: list[tuple[float, float]], which: int) -> Float[Tensor, " factor"]:
    return torch.tensor([pair[which] for pair in pairs], dtype=torch.float64)


def _best(factor: Float[Tensor, " factor"], test: Float[Tensor, " factor"]) -> float:
    """The factor of the lowest loss; NaN where there is none."""
    known = test.nan_to_num(torch.inf)
    return float(factor[known.argmin()]) if known.isfinite().any() else float("nan")


def steps(run: Run) -> list[int]:
    """About eight, evenly over the run, the first and the last among them."""
    there = run.steps
    count = min(len(there), SHOWN)
    return sorted({there[round(place * (len(there) - 1) / max(count - 1, 1))] for place in range(count)})
