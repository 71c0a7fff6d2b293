"""Histograms whose bins nest: a wide bin is so many of the narrow ones."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int


def nested_histogram(values: Float[np.ndarray, " value"], half: int) -> tuple[Int[np.ndarray, " bin"], float]:
    """Counts in 2·`half` bins of one width, from -half·width to half·width; and the width, the least power of two with
    which they hold all values. Bin j begins at (j - half)·width.
    """
    largest = float(np.abs(values).max())
    width = 2.0 ** math.ceil(math.log2(largest / half)) if largest > 0 else 1.0
    place = np.minimum(np.floor(values / width).astype(np.int64) + half, 2 * half - 1)
    return np.bincount(place, minlength=2 * half), width
