"""Histograms whose bins nest: those of narrow bins can be brought to wider ones without the values."""

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


def widened(counts: Int[np.ndarray, " bin"], factor: int) -> Int[np.ndarray, " bin"]:
    """The counts of `nested_histogram` in bins `factor` times as wide, a power of two; as many bins about 0."""
    half = len(counts) // 2
    place = np.arange(-half, half) // factor + half
    return np.bincount(place, counts, minlength=2 * half).astype(counts.dtype)
