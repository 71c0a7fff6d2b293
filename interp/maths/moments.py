"""Moments of a sample, with their standard errors."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from interp.maths.standard_error import ALIKE


def excess_kurtosis(values: Float[np.ndarray, " value"]) -> tuple[float, float]:
    r"""Excess kurtosis and its standard error for independent draws, from the moments up to the eighth.

    The error is NaN where the moments determine none: of values that all lie equally far from their mean.

    Formula: \hat\kappa = \overline{z^4} - 3, \quad \mathrm{se}^2 = \tfrac1n \,
        \overline{[z^4 - \overline{z^4} - 4 \overline{z^3} z - 2 \overline{z^4} (z^2 - 1)]^2}
    """
    z = (values - values.mean()) / values.std()
    third, fourth = float(np.mean(z**3)), float(np.mean(z**4))
    influence = z**4 - fourth - 4 * third * z - 2 * fourth * (z**2 - 1)
    error = float(np.sqrt(np.mean(influence**2) / len(z)))
    return fourth - 3, error if error > ALIKE * fourth else math.nan
