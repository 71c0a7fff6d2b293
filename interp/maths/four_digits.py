"""Numbers of which no more is kept than their first four digits need."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped

BITS = 14
"""Behind the leading one: neighbours of so many bits lie closer than numbers of four digits do."""
ALL_BITS = 23
"""Those of a float32."""
FEW = 2**13
"""An array of so few different numbers is small when it is compressed, whatever their bits."""


def to_four_digits(values: Float[np.ndarray, "*axis"]) -> Float[np.ndarray, "*axis"]:
    """The nearest numbers with 14 bits behind the leading one that are written alike: f"{x:.4g}" is the same.

    As float32 where its range holds them, else as float64. Two neighbours of 14 bits lie at most 2⁻¹⁴ = 6.1e-5 of
    their size apart, numbers of four digits at least 1e-4: so one of the two around a number is written as it is.
    Where the numbers are few, such as shares of a hundred examples, all 23 bits of a float32 are kept.
    """
    exact = np.asarray(values, np.float64)
    finite = exact[np.isfinite(exact)]
    size, ends = np.abs(finite[finite != 0]), np.finfo(np.float32)
    fits = not size.size or (size.min() >= ends.tiny and size.max() <= float(ends.max) * (1 - 2.0**-BITS))
    bits = ALL_BITS if len(np.unique(finite)) <= FEW else BITS
    step = np.int64(1) << (np.finfo(np.float64).nmant - bits)
    below = exact.view(np.int64) & ~(step - 1)
    down, up = below.view(np.float64), (below + step).view(np.float64)
    normal = np.isfinite(exact) & np.isfinite(up) & (np.abs(exact) >= np.finfo(np.float64).tiny)
    with np.errstate(invalid="ignore", over="ignore"):
        nearer = np.abs(exact - down) <= np.abs(up - exact)
    near, other = np.where(nearer, down, up), np.where(nearer, up, down)
    differs = normal & (_written(near) != _written(exact))
    found = np.where(normal, np.where(differs, other, near), exact)
    return found.astype(np.float32 if fits else np.float64)


def _written(values: Float[np.ndarray, "*axis"]) -> Shaped[np.ndarray, "*axis"]:
    return np.array([f"{value:.4g}" for value in values.ravel().tolist()], np.str_).reshape(values.shape)
