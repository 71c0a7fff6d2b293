"""Where the search begins: mixtures made from the bins, and from the best mixtures of fewer components."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from interp.maths.mixtures.bins import Bins
from interp.maths.mixtures.likelihood import density, maximised
from interp.maths.mixtures.mixture import LOG_2_PI, NARROWEST, weights

SPLITS = ((0.8, 0.4, 0.4), (0.0, 0.15, 2.0))
"""How a component is halved: how far aside the halves' means, in deviations; the factors of their variances."""
INSERTED_EVERY, INSERTED_WIDTHS, INSERTED_AT_ONCE = 4, (0.5, 0.2, 0.08, 0.03), 2
"""Where a component is tried: at every fourth bin, in these widths; the two best places of each width are starts."""


def starts(bins: Bins, fewer: Sequence[Float[np.ndarray, "_ sample 3 _"]]) -> Float[np.ndarray, "sample start 3 more"]:
    """Return mixtures of one component more than the last of `fewer`, the best mixtures of 1, 2, … components.

    They are: all components about 0 with nested widths; neighbouring quantiles; each component of the last mixtures
    split in two; a component put in where it gains most; and each component of mixtures of half as many split.
    """
    count = fewer[-1].shape[3] + 1
    found = [_nested(bins, count), _quantile_groups(bins, count)]
    for split in SPLITS:
        found += [_split(parent, (place,), *split) for parent in fewer[-1] for place in range(count - 1)]
        if count % 2 == 0:
            found += [_split(half, tuple(range(count // 2)), *split) for half in fewer[count // 2 - 1]]
    return np.concatenate([np.stack(found, axis=1), *(_inserted(bins, parent) for parent in fewer[-1])], axis=1)


def symmetric_starts(bins: Bins) -> Float[np.ndarray, "sample start 3 component"]:
    """Return mixtures with sides far out and narrow, sides on the flanks, and all three at 0 with different widths."""
    found = [
        [[0, 0, 0], [-1.5, 0, 1.5], [math.log(0.1)] * 3],
        [[-1, 0, -1], [-1.0, 0, 1.0], [math.log(0.3)] * 3],
        [[0, 0, 0], [-1.0, 0, 1.0], [0, math.log(0.03), 0]],
        [[-0.7, 0, -0.7], [-0.3, 0, 0.3], [math.log(2), math.log(0.1), math.log(2)]],
        [[-3, 0, -3], [-0.3, 0, 0.3], [math.log(4), math.log(0.5), math.log(4)]],
        [[-0.7, 0, -0.7], [-0.3, 0, 0.3], [math.log(0.1), math.log(2), math.log(0.1)]],
    ]
    return np.broadcast_to(np.array(found, np.float64), (len(bins.share), len(found), 3, 3))


def _split(
    theta: Float[np.ndarray, "sample 3 component"], places: tuple[int, ...], aside: float, narrow: float, wide: float
) -> Float[np.ndarray, "sample 3 more"]:
    """Halve those components: their means `aside` by so many deviations, their variances times the two factors."""
    whole, parts = np.delete(theta, places, axis=2), theta[:, :, places]
    parts = parts - np.array([math.log(2), 0, 0])[:, None]
    deviation = np.exp(parts[:, 2] / 2)
    halves = []
    for sign, width in ((-1, narrow), (1, wide)):
        half = parts.copy()
        half[:, 1] += sign * aside * deviation
        half[:, 2] += math.log(width)
        halves.append(half)
    return np.concatenate([whole, *halves], axis=2)


def _inserted(bins: Bins, fewer: Float[np.ndarray, "sample 3 component"]) -> Float[np.ndarray, "sample start 3 more"]:
    """Put a component beside `fewer` where it gains most, at each of several widths.

    With little weight a, the log-likelihood grows by a·D - a²·S/2, with D the mean of φ/f - 1 over the values and S the
    mean of its square: at best by D²/2S.
    """
    mean = bins.mean[:, ::INSERTED_EVERY, None]  # [sample, place, bin]
    now = density(fewer, bins).log[:, None]
    found = []
    for width in INSERTED_WIDTHS:
        square = ((bins.mean[:, None] - mean) ** 2 + bins.variance[:, None]) / width**2
        excess = np.exp(np.minimum(-0.5 * (square + LOG_2_PI) - math.log(width) - now, 50)) - 1
        slope, bend = (np.einsum("pb,pqb->pq", bins.share, power) for power in (excess, excess**2))  # [sample, place]
        gain = np.where(slope > 0, slope**2 / np.maximum(bend, 1e-300), 0)
        for _ in range(INSERTED_AT_ONCE):
            best = gain.argmax(axis=1)[:, None]
            share = np.clip(np.take_along_axis(slope / np.maximum(bend, 1e-300), best, axis=1), 1e-3, 0.5)
            here = np.take_along_axis(mean[..., 0], best, axis=1)
            one = np.stack([np.log(share), here, np.full_like(here, 2 * math.log(width))], axis=1)
            rest = np.concatenate([np.log(weights(fewer) * (1 - share))[:, None], fewer[:, 1:]], axis=1)
            found.append(np.concatenate([rest, one], axis=2))
            gain = np.where(np.abs(mean[..., 0] - here) < 2 * width, 0, gain)
    return np.stack(found, axis=1)


def _nested(bins: Bins, count: int) -> Float[np.ndarray, "sample 3 component"]:
    """Place all components at 0, as wide as the quantiles of the distance from it."""
    distance = np.abs(bins.mean)
    order = np.argsort(distance, axis=1)
    below = np.cumsum(np.take_along_axis(bins.share, order, axis=1), axis=1)
    levels = (np.arange(count) + 0.5) / count
    places = np.stack([(below < level).sum(axis=1) for level in levels], axis=1).clip(max=bins.share.shape[1] - 1)
    widths = np.take_along_axis(np.take_along_axis(distance, order, axis=1), places, axis=1)
    theta = np.zeros((len(bins.share), 3, count))
    theta[:, 2] = 2 * np.log(np.maximum(widths, 2 * NARROWEST))
    return theta


def _quantile_groups(bins: Bins, count: int) -> Float[np.ndarray, "sample 3 component"]:
    """Give each component an equal share of neighbouring values."""
    middle = np.cumsum(bins.share, axis=1) - bins.share / 2
    groups = np.minimum((middle * count).astype(np.int64), count - 1)
    return maximised(bins.share[:, None] * (groups[:, None] == np.arange(count)[:, None]), bins)
