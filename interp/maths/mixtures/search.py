"""The climb from many starts to the highest top of the likelihood."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from interp.maths.mixtures.bins import Bins
from interp.maths.mixtures.likelihood import Density, density, derivatives, maximised
from interp.maths.mixtures.mixture import NARROWEST

EM_STEPS = 12
POLISHED, KEPT, FINALISTS = 8, 3, 2
"""Starts from which Newton's method climbs to the top in the coarse bins; the tops there that the search for one
component more begins from; and those from which it climbs on in the fine bins."""
NEWTON_STEPS = 200
CONVERGED = 1e-12
"""Nats per value that another step would gain."""
SAME = 1e-8
"""Nats per value: tops that differ less are one."""
LARGEST_STEP = 1.0
"""The longest step of Newton's method: of a mean, in standard deviations of the sample; of the logarithm of a weight
or a variance."""

Theta = Float[np.ndarray, "problem 3 component"]


@dataclass(frozen=True)
class Tops:
    """Where the starts of each sample lead."""

    highest: Float[np.ndarray, "sample 3 component"]
    height: Float[np.ndarray, " sample"]
    """The log-likelihood per value at the highest, in the fine bins."""
    in_coarse_bins: Float[np.ndarray, "top sample 3 component"]
    """The `KEPT` highest different tops in the coarse bins."""


@dataclass(frozen=True)
class Search:
    """The search for the best mixture of every sample, within the mixtures that `projector` lets through."""

    coarse: Bins
    fine: Bins
    projector: Float[np.ndarray, "parameter parameter"]

    def projected(self, theta: Theta) -> Theta:
        return (theta.reshape(len(theta), -1) @ self.projector).reshape(theta.shape)  # [problem, parameter] and back

    def tops(self, starts: Float[np.ndarray, "sample start 3 component"]) -> Tops:
        """Climb from all starts, from the best of them to the end, and from the best tops on in the fine bins."""
        samples, per_sample = starts.shape[:2]
        sample = np.repeat(np.arange(samples), per_sample)
        theta = starts.reshape(samples * per_sample, *starts.shape[2:])  # [problem, 3, component]
        bins = self.coarse.chosen(sample)
        for _ in range(EM_STEPS):
            shares = bins.share[:, None] * density(theta, bins).responsibility
            theta = self.projected(maximised(shares, bins))
        foremost = _foremost(sample, density(theta, bins).log_likelihood(bins), POLISHED).ravel()
        sample, theta = sample[foremost], theta[foremost]
        theta, height = _climbed(theta, self.coarse.chosen(sample), self.projector)
        kept = _foremost(sample, height, KEPT)
        finalists = kept[:, :FINALISTS].ravel()
        sample = sample[finalists]
        climbed, height = _climbed(theta[finalists], self.fine.chosen(sample), self.projector)
        first = _foremost(sample, height, 1)[:, 0]
        return Tops(climbed[first], height[first], theta[kept].swapaxes(0, 1))

    def better(
        self, tops: Tops, given: list[tuple[int, Float[np.ndarray, "3 component"]]]
    ) -> Float[np.ndarray, "sample 3 component"]:
        """Return the highest of `tops`, or where a start that is given, (sample, start), leads higher, its top."""
        if not given:
            return tops.highest
        sample = np.array([number for number, _ in given])
        theta, height = _climbed(np.stack([one for _, one in given]), self.fine.chosen(sample), self.projector)
        sample = np.concatenate([np.arange(len(tops.highest)), sample])
        theta, height = np.concatenate([tops.highest, theta]), np.concatenate([tops.height, height - SAME])
        return theta[_foremost(sample, height, 1)[:, 0]]


def _foremost(
    sample: Int[np.ndarray, " problem"], height: Float[np.ndarray, " problem"], kept: int
) -> Int[np.ndarray, "sample kept"]:
    """Return the numbers of each sample's `kept` highest problems; of those of one height only one counts.

    Where a sample has fewer, its last is repeated.
    """
    order = np.lexsort((-height, sample))
    same = (np.diff(height[order]) > -SAME) & (np.diff(sample[order]) == 0)
    order = order[np.append(True, ~same)]
    first = np.searchsorted(sample[order], np.unique(sample))
    last = np.append(first[1:], len(order)) - 1
    return order[np.minimum(first[:, None] + np.arange(kept), last[:, None])]


def _climbed(
    theta: Theta, bins: Bins, projector: Float[np.ndarray, "parameter parameter"]
) -> tuple[Theta, Float[np.ndarray, " problem"]]:
    """Return the tops of the likelihood above `theta`, and their heights, by Newton's method with damping.

    Where the likelihood curves upwards along a direction its curvature is taken with the other sign, so that every
    step leads up.
    """
    top, height = theta.copy(), np.full(len(theta), -np.inf)
    climbing = np.arange(len(theta))
    theta = theta.copy()
    here = density(theta, bins)
    now = here.log_likelihood(bins)
    damping = np.full(len(theta), 1e-3)
    for _ in range(NEWTON_STEPS):
        gradient, hessian = derivatives(theta, bins, here, projector)
        curvature, directions = np.linalg.eigh(hessian)
        along = (gradient[:, None] @ directions)[:, 0]
        size = np.abs(curvature)
        promised = 0.5 * (along**2 / (size + 1e-9)).sum(axis=1)
        step = (directions @ (along / (size + damping[:, None]))[..., None])[..., 0]  # [problem, parameter]
        step *= np.minimum(1, LARGEST_STEP / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-300))
        tried = theta + step.reshape(theta.shape)
        tried[:, 0] -= tried[:, 0].max(axis=1, keepdims=True)
        tried[:, 0] = np.maximum(tried[:, 0], -30.0)
        tried[:, 2] = np.maximum(tried[:, 2], 2 * math.log(NARROWEST))
        there = density(tried, bins)
        then = there.log_likelihood(bins)
        done = promised < CONVERGED
        higher = (then > now) & ~done
        theta[higher] = tried[higher]
        here.responsibility[higher], here.square[higher] = there.responsibility[higher], there.square[higher]
        done |= ~higher & (damping > 1e3)  # no step leads up any more: rounding
        now = np.where(higher, then, now)
        damping = np.where(higher, np.maximum(damping / 10, 1e-9), damping * 8)
        if done.any():
            top[climbing[done]], height[climbing[done]] = theta[done], now[done]
            on = ~done
            climbing, theta, now, damping = (x[on] for x in (climbing, theta, now, damping))
            here = Density(here.log[on], here.responsibility[on], here.square[on])
            bins = bins.chosen(on)
        if not len(climbing):
            return top, height
    top[climbing], height[climbing] = theta, now
    return top, height
