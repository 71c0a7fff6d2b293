"""Whether the sides of a symmetric mixture stand apart from its centre."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from interp.maths.mixtures import Mixture

PLACES = 41
"""Between 0 and the sides, at which the density is looked at."""
HALF_HEIGHT = math.log(2)
"""How far the logarithm of the density falls between sides that stand apart."""


def stand_apart(one: xr.Dataset) -> bool:
    """Whether between 0 and the sides the density falls to half of its height at them, or less, at the last step.

    The density is that of the symmetric mixture.
    """
    last = one.isel(step=-1)
    if not (last.mixture and last.side_mean > 0):
        return False
    centre, side = float(last.centre_weight), float(last.side_mean)
    centre_variance = last.centre_variance.fillna(last.side_variance)  # none of a centre without weight
    variances = np.array([float(last.side_variance), float(centre_variance), float(last.side_variance)])
    mixture = Mixture(np.array([1 - centre, 2 * centre, 1 - centre]) / 2, np.array([-side, 0, side]), variances)
    density = mixture.log_density(np.linspace(0, side, PLACES))
    return bool(density.min() < density[-1] - HALF_HEIGHT)
