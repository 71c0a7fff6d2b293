"""Hjorth's descriptors of an evenly sampled signal: how large it is, how fast, and how rough its slopes are.

With the moments m_n = ∫ ωⁿ |F(ω)|² dω of the signal's power, m₂ and m₄ are the mean squares of its first and second
derivative, which are taken by differences of neighbouring samples: of a sine of frequency ω sampled every Δ that gives
(2/Δ) sin(ωΔ/2) in the place of ω. A slow trend is taken off first by a high-pass filter, forwards and backwards, so
that nothing is shifted in time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import signal

ORDER = 4
"""The order of the Butterworth filter, which passes a sine of three times the cut-off but for 0.02% of its height."""


@dataclass(frozen=True)
class Hjorth:
    """The descriptors of a signal; mobility and complexity are NaN of one that does not vary."""

    activity: float
    """m₀, its variance."""
    mobility: float
    """√(m₂/m₀), in radians per unit of time: the frequency of a sine."""
    complexity: float
    """√(m₄/m₂), the mobility of its slopes: the same for a sine, larger the rougher it is."""


def without_trend(values: Float[np.ndarray, " sample"], periods: float) -> Float[np.ndarray, " sample"]:
    """The signal without what takes longer than a `periods`-th of its whole length to come back."""
    cut = 2 * periods / len(values)  # as a share of the highest frequency there is
    sections = signal.butter(ORDER, cut, "highpass", output="sos")
    return signal.sosfiltfilt(sections, values, padlen=min(len(values) - 1, 3 * math.ceil(2 / cut)))


def hjorth_of(values: Float[np.ndarray, " sample"], apart: float) -> Hjorth:
    """The descriptors of samples that lie so far apart."""
    first, second = np.diff(values) / apart, np.diff(values, n=2) / apart**2
    m0, m2, m4 = float(np.var(values)), float(np.mean(first**2)), float(np.mean(second**2))
    tiny = np.finfo(float).eps * float(np.max(np.abs(values)))
    if not m0 > tiny**2:
        return Hjorth(m0, math.nan, math.nan)
    return Hjorth(m0, math.sqrt(m2 / m0), math.sqrt(m4 / m2) if m2 > 0 else math.nan)
