"""The log-likelihood per value of binned values, its first two derivatives, and a step of maximisation."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from interp.maths.mixtures.bins import Bins
from interp.maths.mixtures.mixture import LOG_2_PI, NARROWEST, weights


@dataclass
class Density:
    """What the derivatives share: the mixture at every bin."""

    log: Float[np.ndarray, "problem bin"]
    """The logarithm of the density at each bin, a lower bound of its mean over the bin's values."""
    responsibility: Float[np.ndarray, "problem component bin"]
    """The part that each component has in the density."""
    square: Float[np.ndarray, "problem component bin"]
    """The mean square of the distances of a bin's values from a component's mean, in its variances."""

    def log_likelihood(self, bins: Bins) -> Float[np.ndarray, " problem"]:
        """Return the mean of `log` over the values."""
        return np.einsum("pb,pb->p", bins.share, self.log)


def density(theta: Float[np.ndarray, "problem 3 component"], bins: Bins) -> Density:
    _, mean, log_variance = theta.swapaxes(0, 1)[..., None]  # each [problem, component, 1]
    square = bins.mean[:, None] - mean
    square *= square
    square += bins.variance[:, None]
    square *= np.exp(-log_variance)
    log = np.log(np.maximum(weights(theta), 1e-300))[..., None] - 0.5 * (log_variance + LOG_2_PI) - 0.5 * square
    top = log.max(axis=1, keepdims=True)
    log -= top
    np.exp(log, out=log)
    total = log.sum(axis=1, keepdims=True)
    log /= total
    return Density((top + np.log(total))[:, 0], log, square)


def maximised(
    shares: Float[np.ndarray, "problem component bin"], bins: Bins
) -> Float[np.ndarray, "problem 3 component"]:
    """Return the parameters of greatest likelihood when each component has these shares of the values in the bins."""
    weight = np.maximum(shares.sum(axis=2), 1e-12)
    mean = np.einsum("pkb,pb->pk", shares, bins.mean) / weight  # [problem, component]
    spread = (bins.mean[:, None] - mean[..., None]) ** 2 + bins.variance[:, None]
    variance = np.maximum(np.einsum("pkb,pkb->pk", shares, spread) / weight, NARROWEST**2)  # [problem, component]
    return np.stack([np.log(weight), mean, np.log(variance)], axis=1)


def derivatives(
    theta: Float[np.ndarray, "problem 3 component"],
    bins: Bins,
    at: Density,
    projector: Float[np.ndarray, "parameter parameter"],
) -> tuple[Float[np.ndarray, "problem parameter"], Float[np.ndarray, "problem parameter parameter"]]:
    """Return gradient and Hessian of the log-likelihood per value in (log weights, means, log variances).

    They are taken in the directions that may be taken: within the projector, and not below `NARROWEST`.
    """
    problems, _, count = theta.shape
    r, square = at.responsibility, at.square
    weight, precision = weights(theta), np.exp(-theta[:, 2])
    along_mean = (bins.mean[:, None] - theta[:, 1, :, None]) * precision[..., None]
    along_width = 0.5 * (square - 1)
    shared = bins.share[:, None] * r
    slopes = np.stack([r, r * along_mean, r * along_width], axis=1).reshape(problems, 3 * count, -1)  # [p, 3k, bin]
    hessian = -((slopes * bins.share[:, None]) @ slopes.swapaxes(1, 2))
    total, on_mean, on_width = shared.sum(axis=2), (shared * along_mean).sum(axis=2), (shared * along_width).sum(axis=2)
    gradient = np.concatenate([total - weight, on_mean, on_width], axis=1)
    of_means = (shared * along_mean**2).sum(axis=2) - total * precision
    of_both = (shared * along_mean * (along_width - 1)).sum(axis=2)
    of_widths = (shared * (along_width**2 - 0.5 * square)).sum(axis=2)
    own = ((total - weight, on_mean, on_width), (on_mean, of_means, of_both), (on_width, of_both, of_widths))
    place = np.arange(count)
    for row, column in itertools.product(range(3), range(3)):
        hessian[:, row * count + place, column * count + place] += own[row][column]
    hessian[:, :count, :count] += weight[:, :, None] * weight[:, None, :]
    held = np.zeros(gradient.shape, bool)
    held[:, -count:] = (theta[:, 2] <= 2 * math.log(NARROWEST) + 1e-9) & (on_width < 0)
    free = np.where(held, 0.0, 1.0)
    along = free[:, :, None] * projector * free[:, None, :]
    return (gradient[:, None] @ along)[:, 0], along @ hessian @ along
