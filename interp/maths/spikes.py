"""Spikes of a curve that falls: where it leaps above what it had come down to, and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Spike:
    """An excursion of a curve, by places along it."""

    begin: int
    """The first place at which it is high."""
    peak: int
    end: int
    """The first place at which it is back, or the last of all."""
    before: int
    """The place of the lowest value before it, since the spike before."""
    times: float
    """The peak over that lowest value."""


def spikes(values: Float[np.ndarray, " place"], times: float, floor: float) -> Iterator[Spike]:
    """Each excursion to `times` the lowest value since the last one or more, up to where it is back within √times.

    Values below `floor` count as that, so that what is as good as 0 has no spikes; places without a number are passed.
    """
    places = np.flatnonzero(np.isfinite(values))
    heights = np.maximum(values, floor)
    if not len(places):
        return
    low, begin, peak = int(places[0]), -1, -1  # -1: calm
    for place in places.tolist():
        if begin < 0:
            if heights[place] < heights[low]:
                low = place
            elif heights[place] >= times * heights[low]:
                begin = peak = place
            continue
        peak = place if heights[place] > heights[peak] else peak
        if heights[place] <= times**0.5 * heights[low]:
            yield Spike(begin, peak, place, low, float(heights[peak] / heights[low]))
            low, begin = place, -1
    if begin >= 0:
        yield Spike(begin, peak, int(places[-1]), low, float(heights[peak] / heights[low]))
