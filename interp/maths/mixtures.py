"""Gaussian mixtures of one dimension, fitted by maximum likelihood to several samples at once.

Values are gathered into narrow bins that keep their count, mean and variance, so that a step costs the bins and not
the values. Responsibilities are taken constant within a bin; the log-likelihood this gives is a lower bound that is
exact for one component and short of the truth by the square of a bin's width. A few steps of expectation and
maximisation lead from each of several starts into a basin, and Newton's method to its top: near a single Gaussian,
where the likelihood is flat, expectation and maximisation alone would take thousands of steps. What is reported is
the likelihood of every single value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

MAX_COMPONENTS = 4
NARROWEST = 1e-2
"""The least standard deviation of a component, in those of the sample: without one the likelihood of a mixture has no
maximum, as a component may shrink onto a single value."""

FINE, COARSE = 1024, 192
"""Cuts of a sample into bins, half at equal distances and half at equal counts."""
SPLITS = ((0.8, 0.4, 0.4), (0.0, 0.15, 2.0))
"""Of a component: how far aside the halves' means, in deviations; the factors of their variances."""
INSERTED_EVERY, INSERTED_WIDTHS, INSERTED_AT_ONCE = 4, (0.5, 0.2, 0.08, 0.03), 2
EM_STEPS = 12
POLISHED, PARENTS = 8, 3
"""Starts of which Newton's method climbs to the top in the coarse bins; the best two of them do so in the fine ones."""
NEWTON_STEPS = 200
CONVERGED = 1e-12
"""Nats per value that another step would gain."""
SAME = 1e-8
"""Nats per value: tops that differ less are one."""
LARGEST_STEP = 1.0
"""Of a mean, in standard deviations of the sample; of the logarithm of a weight or a variance."""
LOG_2_PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Mixture:
    """Components in ascending order of their means; of equal means the narrower first."""

    weight: Float[np.ndarray, " component"]
    mean: Float[np.ndarray, " component"]
    variance: Float[np.ndarray, " component"]

    @property
    def components(self) -> int:
        return len(self.weight)

    def log_density(self, values: Float[np.ndarray, " value"]) -> Float[np.ndarray, " value"]:
        """Logarithm of the density at each value [nats]."""
        total = np.full(len(values), -np.inf)
        for weight, mean, variance in zip(self.weight, self.mean, self.variance, strict=True):
            one = -0.5 * (values - mean) ** 2 / variance + (_log(weight) - 0.5 * (LOG_2_PI + math.log(variance)))
            total = one if self.components == 1 else np.logaddexp(total, one)
        return total

    def cumulative(self, places: Float[np.ndarray, " place"]) -> Float[np.ndarray, "component place"]:
        """Each component's share of the distribution function; their sum is that of the mixture."""
        from scipy.special import ndtr

        deviation = np.sqrt(self.variance)[:, None]
        return self.weight[:, None] * ndtr((places - self.mean[:, None]) / deviation)


@dataclass(frozen=True)
class Fit:
    """The mixture of greatest likelihood, and how well it is known."""

    mixture: Mixture
    log_density: Float[np.ndarray, " value"]
    """Of each value under the mixture, in the order given [nats]"""
    weight_se: Float[np.ndarray, " component"]
    mean_se: Float[np.ndarray, " component"]
    variance_se: Float[np.ndarray, " component"]
    """Standard errors; NaN where the likelihood does not curve downwards, or a variance is the least allowed"""
    parameters: int
    """Numbers that were fitted freely"""

    @property
    def log_likelihood(self) -> float:
        """Of all values [nats]."""
        return float(self.log_density.sum())

    @property
    def bic(self) -> float:
        """Bayesian information criterion, -2 log L + parameters · log n [nats]; the least is chosen."""
        return -2 * self.log_likelihood + self.parameters * math.log(len(self.log_density))


def fit_mixtures(
    samples: Sequence[Float[np.ndarray, " _"]],
    previous: Sequence[Sequence[Mixture]] | None = None,
) -> list[list[Fit]]:
    r"""For each sample the best mixtures of 1, 2, …, `MAX_COMPONENTS` Gaussians.

    `previous`, mixtures by sample, are starts beside the ones that are always made; those of the number of components
    that is sought are used. The best of all starts is the answer, so that it never has less likelihood for them; over
    the checkpoints of a run what BIC chooses with and without them differs by less than 0.005 nats a value. Each sample
    needs two different values at least.

    Standard errors are from the observed information, the negative second derivatives of the log-likelihood at its
    maximum, and the delta method: right for independent draws from a mixture of as many components.

    Formula: \log L = \sum_i \log \sum_k \pi_k \mathcal{N}(x_i; \mu_k, \sigma_k^2)
    """
    batch = [_Sample(np.asarray(values, np.float64)) for values in samples]
    found: list[list[Fit]] = [[] for _ in batch]
    if not batch:
        return found
    coarse, fine = (_Bins.stacked([sample.bins(cuts) for sample in batch]) for cuts in (COARSE, FINE))
    best = np.zeros((len(batch), 3, 1))  # [sample, (log weight, mean, log variance), component]
    parents = [best[None]]
    for count in range(1, MAX_COMPONENTS + 1):
        if count > 1:
            top, height, foothills = _best(_starts(coarse, parents), coarse, fine, np.eye(3 * count))
            parents.append(foothills)
            best = _better(top, height, _warm(batch, previous, count), fine, np.eye(3 * count))
        errors = _standard_errors(best, fine, np.eye(3 * count))
        for number, sample in enumerate(batch):
            found[number].append(sample.fit(best[number], errors[number], parameters=3 * count - 1))
    return found


def fit_symmetric(samples: Sequence[Float[np.ndarray, " _"]], previous: Sequence[Mixture] | None = None) -> list[Fit]:
    r"""For each sample the best mixture with means -μ, 0, μ, the sides of one weight and one variance.

    Formula: \pi_0 \mathcal{N}(0, \sigma_0^2) + \tfrac{1 - \pi_0}{2} \left[ \mathcal{N}(\mu, \sigma_1^2)
        + \mathcal{N}(-\mu, \sigma_1^2) \right]
    """
    batch = [_Sample(np.asarray(values, np.float64), centred=False) for values in samples]
    if not batch:
        return []
    coarse, fine = (_Bins.stacked([sample.bins(cuts).reflected() for sample in batch]) for cuts in (COARSE, FINE))
    warm = _warm(batch, None if previous is None else [[one] for one in previous], 3)
    best = _better(*_best(_symmetric_starts(coarse), coarse, fine, SYMMETRIC)[:2], warm, fine, SYMMETRIC)
    best = _projected(best, SYMMETRIC)  # of rounding
    best[:, 1] *= np.sign(best[:, 1, 2:])  # the side above is the last
    errors = _standard_errors(best, fine, SYMMETRIC)
    return [sample.fit(*of_sample, parameters=4) for sample, *of_sample in zip(batch, best, errors, strict=True)]


def _symmetric_projector() -> Float[np.ndarray, "parameter parameter"]:
    """Onto the parameters (log weights, means, log variances) of mixtures that are symmetric about 0."""
    alike = np.array([[0.5, 0, 0.5], [0, 1, 0], [0.5, 0, 0.5]])
    opposite = np.array([[0.5, 0, -0.5], [0, 0, 0], [-0.5, 0, 0.5]])
    return np.block(
        [[block if row == column else np.zeros((3, 3)) for column in range(3)] for row, block in
         enumerate((alike, opposite, alike))]
    )  # fmt: skip


SYMMETRIC = _symmetric_projector()


class _Sample:
    """A sample in units of its own: mean 0 (unless it is to stay where it is), standard deviation 1."""

    def __init__(self, values: Float[np.ndarray, " value"], centred: bool = True) -> None:
        self.values = values
        self.shift = float(values.mean()) if centred else 0.0
        self.scale = float(np.sqrt(np.mean((values - self.shift) ** 2)))
        self.sorted = np.sort((values - self.shift) / self.scale)

    def bins(self, cuts: int) -> _Bins:
        n = len(self.sorted)
        places = np.linspace(self.sorted[0], self.sorted[-1], cuts // 2 + 1)
        starts = np.concatenate(
            [np.searchsorted(self.sorted, places[:-1]), np.linspace(0, n, cuts // 2 + 1)[:-1].astype(np.int64)]
        )
        starts = np.unique(starts)
        count = np.diff(starts, append=n).astype(np.float64)
        mean = np.add.reduceat(self.sorted, starts) / count
        deviation = self.sorted - np.repeat(mean, count.astype(np.int64))
        return _Bins(count[None] / n, mean[None], np.add.reduceat(deviation**2, starts)[None] / count)

    def standardised(self, mixture: Mixture) -> Float[np.ndarray, "3 component"]:
        return np.stack(
            [
                np.log(np.maximum(mixture.weight, 1e-12)),
                (mixture.mean - self.shift) / self.scale,
                np.log(np.maximum(mixture.variance / self.scale**2, NARROWEST**2)),
            ]
        )

    def fit(
        self, theta: Float[np.ndarray, "3 component"], errors: Float[np.ndarray, "3 component"], parameters: int
    ) -> Fit:
        """In the units of the values, components in order."""
        order = np.lexsort((theta[2], theta[1]))
        weight, (_, mean, log_variance) = _weights(theta[None])[0][order], theta[:, order]
        variance = np.exp(log_variance) * self.scale**2
        mixture = Mixture(weight, self.shift + self.scale * mean, variance)
        scales = np.array([1.0, self.scale, self.scale**2])[:, None]
        return Fit(
            mixture,
            mixture.log_density(self.values),
            *(errors[:, order] * scales / math.sqrt(len(self.values))),
            parameters=parameters,
        )


@dataclass(frozen=True)
class _Bins:
    """Of each sample, or start: the share of its values in every bin, their mean and variance; [problem, bin]."""

    share: Float[np.ndarray, "problem bin"]
    mean: Float[np.ndarray, "problem bin"]
    variance: Float[np.ndarray, "problem bin"]

    @staticmethod
    def stacked(several: Sequence[_Bins]) -> _Bins:
        """One problem each, filled up with empty bins."""
        width = max(one.share.shape[1] for one in several)

        def filled(arrays: list[np.ndarray]) -> np.ndarray:
            return np.concatenate([np.pad(array, ((0, 0), (0, width - array.shape[1]))) for array in arrays])

        return _Bins(*(filled([getattr(one, name) for one in several]) for name in ("share", "mean", "variance")))

    def reflected(self) -> _Bins:
        """The values and their negatives, each half: a symmetric density has the same likelihood on both."""
        return _Bins(
            np.concatenate([self.share, self.share], axis=1) / 2,
            np.concatenate([self.mean, -self.mean], axis=1),
            np.concatenate([self.variance, self.variance], axis=1),
        )

    def of(self, problems: np.ndarray) -> _Bins:
        return _Bins(self.share[problems], self.mean[problems], self.variance[problems])


def _starts(
    bins: _Bins, fewer: Sequence[Float[np.ndarray, "_ sample 3 _"]]
) -> Float[np.ndarray, "sample start 3 more"]:
    """One component more than the last of `fewer`, the best mixtures of 1, 2, … components.

    Nested widths; quantiles; each component of the last split; one put in where it gains most; each of half as many
    split.
    """
    count = fewer[-1].shape[3] + 1
    starts = [_nested(bins, count), _quantile_groups(bins, count)]
    for split in SPLITS:
        starts += [_split(parent, (place,), *split) for parent in fewer[-1] for place in range(count - 1)]
        if count % 2 == 0:
            starts += [_split(half, tuple(range(count // 2)), *split) for half in fewer[count // 2 - 1]]
    return np.concatenate([np.stack(starts, axis=1), *(_inserted(bins, parent) for parent in fewer[-1])], axis=1)


def _split(
    theta: Float[np.ndarray, "sample 3 component"], places: tuple[int, ...], aside: float, narrow: float, wide: float
) -> Float[np.ndarray, "sample 3 more"]:
    """Those components in two halves: their means `aside` by so many deviations, their variances times two factors."""
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


def _inserted(bins: _Bins, fewer: Float[np.ndarray, "sample 3 component"]) -> Float[np.ndarray, "sample start 3 more"]:
    """A component put beside `fewer` where it gains most, at each of several widths.

    With little weight a, the log-likelihood grows by a·D - a²·S/2, with D the mean of φ/f - 1 over the values and S the
    mean of its square: at best by D²/2S.
    """
    mean = bins.mean[:, ::INSERTED_EVERY, None]  # [sample, place, bin]
    now = _joint(fewer, bins)[0][:, None]
    starts = []
    for width in INSERTED_WIDTHS:
        square = ((bins.mean[:, None] - mean) ** 2 + bins.variance[:, None]) / width**2
        excess = np.exp(np.minimum(-0.5 * (square + LOG_2_PI) - math.log(width) - now, 50)) - 1
        slope, bend = np.einsum("pb,pqb->pq", bins.share, excess), np.einsum("pb,pqb->pq", bins.share, excess**2)
        gain = np.where(slope > 0, slope**2 / np.maximum(bend, 1e-300), 0)
        for _ in range(INSERTED_AT_ONCE):
            best = gain.argmax(axis=1)[:, None]
            share = np.clip(np.take_along_axis(slope / np.maximum(bend, 1e-300), best, axis=1), 1e-3, 0.5)
            here = np.take_along_axis(mean[..., 0], best, axis=1)
            one = np.stack([np.log(share), here, np.full_like(here, 2 * math.log(width))], axis=1)
            rest = np.concatenate([np.log(_weights(fewer) * (1 - share))[:, None], fewer[:, 1:]], axis=1)
            starts.append(np.concatenate([rest, one], axis=2))
            gain = np.where(np.abs(mean[..., 0] - here) < 2 * width, 0, gain)
    return np.stack(starts, axis=1)


def _nested(bins: _Bins, count: int) -> Float[np.ndarray, "sample 3 component"]:
    """All at 0, as wide as the quantiles of the distance from it."""
    distance = np.abs(bins.mean)
    order = np.argsort(distance, axis=1)
    below = np.cumsum(np.take_along_axis(bins.share, order, axis=1), axis=1)
    levels = (np.arange(count) + 0.5) / count
    places = np.stack([(below < level).sum(axis=1) for level in levels], axis=1).clip(max=bins.share.shape[1] - 1)
    widths = np.take_along_axis(np.take_along_axis(distance, order, axis=1), places, axis=1)
    theta = np.zeros((len(bins.share), 3, count))
    theta[:, 2] = 2 * np.log(np.maximum(widths, 2 * NARROWEST))
    return theta


def _quantile_groups(bins: _Bins, count: int) -> Float[np.ndarray, "sample 3 component"]:
    """Neighbours grouped into equal shares."""
    middle = np.cumsum(bins.share, axis=1) - bins.share / 2
    groups = np.minimum((middle * count).astype(np.int64), count - 1)
    r = bins.share[:, None] * (groups[:, None] == np.arange(count)[:, None])
    return _maximised(r, bins)


def _symmetric_starts(bins: _Bins) -> Float[np.ndarray, "sample start 3 component"]:
    """Sides far out and narrow, sides on the flanks, and all three at 0 with different widths."""
    starts = [
        [[0, 0, 0], [-1.5, 0, 1.5], [math.log(0.1)] * 3],
        [[-1, 0, -1], [-1.0, 0, 1.0], [math.log(0.3), math.log(0.3), math.log(0.3)]],
        [[0, 0, 0], [-1.0, 0, 1.0], [0, math.log(0.03), 0]],
        [[-0.7, 0, -0.7], [-0.3, 0, 0.3], [math.log(2), math.log(0.1), math.log(2)]],
        [[-3, 0, -3], [-0.3, 0, 0.3], [math.log(4), math.log(0.5), math.log(4)]],
        [[-0.7, 0, -0.7], [-0.3, 0, 0.3], [math.log(0.1), math.log(2), math.log(0.1)]],
    ]
    return np.broadcast_to(np.array(starts, np.float64), (len(bins.share), len(starts), 3, 3))


def _warm(
    batch: Sequence[_Sample], previous: Sequence[Sequence[Mixture]] | None, count: int
) -> list[tuple[int, Float[np.ndarray, "3 component"]]]:
    """(sample, start) of the mixtures given that have `count` components."""
    return [
        (number, sample.standardised(one))
        for number, (sample, given) in enumerate(zip(batch, previous or [[]] * len(batch), strict=True))
        for one in given
        if one.components == count
    ]


def _best(
    starts: Float[np.ndarray, "sample start 3 component"],
    coarse: _Bins,
    fine: _Bins,
    projector: Float[np.ndarray, "parameter parameter"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The highest top that a sample's starts lead to [sample, 3, component], its height [sample], and the `PARENTS`
    highest different tops in the coarse bins [parent, sample, 3, component].
    """
    samples, per_sample = starts.shape[:2]
    sample = np.repeat(np.arange(samples), per_sample)
    theta = starts.reshape(samples * per_sample, *starts.shape[2:])
    bins = coarse.of(sample)
    for _ in range(EM_STEPS):
        theta = _projected(_maximised(_responsibilities(theta, bins), bins), projector)
    chosen = _foremost(sample, _log_likelihood(theta, bins), POLISHED)
    sample, theta = sample[chosen.ravel()], theta[chosen.ravel()]
    theta, height = _climbed(theta, coarse.of(sample), projector)
    tops = _foremost(sample, height, PARENTS)
    finalists = tops[:, :2].ravel()
    climbed, height = _climbed(theta[finalists], fine.of(sample[finalists]), projector)
    first = _foremost(sample[finalists], height, 1)[:, 0]
    return climbed[first], height[first], theta[tops].swapaxes(0, 1)


def _better(
    cold: Float[np.ndarray, "sample 3 component"],
    height: Float[np.ndarray, " sample"],
    warm: list[tuple[int, Float[np.ndarray, "3 component"]]],
    fine: _Bins,
    projector: Float[np.ndarray, "parameter parameter"],
) -> Float[np.ndarray, "sample 3 component"]:
    """`cold`, or where one of the `warm` starts leads higher, its top."""
    if not warm:
        return cold
    sample = np.array([number for number, _ in warm])
    theta, warm_height = _climbed(np.stack([one for _, one in warm]), fine.of(sample), projector)
    sample, theta = np.concatenate([np.arange(len(cold)), sample]), np.concatenate([cold, theta])
    return theta[_foremost(sample, np.concatenate([height, warm_height - SAME]), 1)[:, 0]]


def _foremost(sample: np.ndarray, height: np.ndarray, kept: int) -> Int[np.ndarray, "sample kept"]:
    """Of each sample the `kept` highest, of those of one height one; the last again where there are fewer."""
    order = np.lexsort((-height, sample))
    same = (np.diff(height[order]) > -SAME) & (np.diff(sample[order]) == 0)
    order = order[np.append(True, ~same)]
    first = np.searchsorted(sample[order], np.unique(sample))
    last = np.append(first[1:], len(order)) - 1
    return order[np.minimum(first[:, None] + np.arange(kept), last[:, None])]


def _weights(theta: Float[np.ndarray, "problem 3 component"]) -> Float[np.ndarray, "problem component"]:
    unscaled = np.exp(theta[:, 0] - theta[:, 0].max(axis=1, keepdims=True))
    return unscaled / unscaled.sum(axis=1, keepdims=True)


def _joint(theta: np.ndarray, bins: _Bins) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-density of each bin [problem, bin], responsibilities and squared distances [problem, component, bin].

    The distance is the mean square of a bin's values from the component's mean, in its variances.
    """
    _, mean, log_variance = theta.swapaxes(0, 1)[..., None]
    square = bins.mean[:, None] - mean
    square *= square
    square += bins.variance[:, None]
    square *= np.exp(-log_variance)
    log = np.log(np.maximum(_weights(theta), 1e-300))[..., None] - 0.5 * (log_variance + LOG_2_PI) - 0.5 * square
    top = log.max(axis=1, keepdims=True)
    log -= top
    np.exp(log, out=log)
    total = log.sum(axis=1, keepdims=True)
    log /= total
    return (top + np.log(total))[:, 0], log, square


def _log_likelihood(theta: np.ndarray, bins: _Bins) -> Float[np.ndarray, " problem"]:
    """Per value; the lower bound of the bins."""
    return np.einsum("pb,pb->p", bins.share, _joint(theta, bins)[0])


def _responsibilities(theta: np.ndarray, bins: _Bins) -> Float[np.ndarray, "problem component bin"]:
    """Times the share of each bin."""
    return bins.share[:, None] * _joint(theta, bins)[1]


def _maximised(r: Float[np.ndarray, "problem component bin"], bins: _Bins) -> Float[np.ndarray, "problem 3 component"]:
    """Weights, means and variances under given responsibilities."""
    weight = np.maximum(r.sum(axis=2), 1e-12)
    mean = np.einsum("pkb,pb->pk", r, bins.mean) / weight
    spread = (bins.mean[:, None] - mean[..., None]) ** 2 + bins.variance[:, None]
    variance = np.maximum(np.einsum("pkb,pkb->pk", r, spread) / weight, NARROWEST**2)
    return np.stack([np.log(weight), mean, np.log(variance)], axis=1)


def _projected(theta: np.ndarray, projector: np.ndarray) -> np.ndarray:
    return (theta.reshape(len(theta), -1) @ projector).reshape(theta.shape)


def _derivatives(
    theta: np.ndarray, bins: _Bins, r: np.ndarray, square: np.ndarray
) -> tuple[Float[np.ndarray, "problem parameter"], Float[np.ndarray, "problem parameter parameter"]]:
    """Gradient and Hessian of the log-likelihood per value in (log weights, means, log variances)."""
    problems, _, count = theta.shape
    weight, precision = _weights(theta), np.exp(-theta[:, 2])
    along_mean = (bins.mean[:, None] - theta[:, 1, :, None]) * precision[..., None]
    along_width = 0.5 * (square - 1)
    shared = bins.share[:, None] * r
    slopes = np.stack([r, r * along_mean, r * along_width], axis=1).reshape(problems, 3 * count, -1)
    hessian = -((slopes * bins.share[:, None]) @ slopes.swapaxes(1, 2))
    total, on_mean, on_width = shared.sum(axis=2), (shared * along_mean).sum(axis=2), (shared * along_width).sum(axis=2)
    gradient = np.concatenate([total - weight, on_mean, on_width], axis=1)
    place = np.arange(count)
    own = {
        (0, 0): total - weight,
        (0, 1): on_mean,
        (0, 2): on_width,
        (1, 1): (shared * along_mean**2).sum(axis=2) - total * precision,
        (1, 2): (shared * along_mean * (along_width - 1)).sum(axis=2),
        (2, 2): (shared * (along_width**2 - 0.5 * square)).sum(axis=2),
    }
    for (row, column), values in own.items():
        hessian[:, row * count + place, column * count + place] += values
        if row != column:
            hessian[:, column * count + place, row * count + place] += values
    hessian[:, :count, :count] += weight[:, :, None] * weight[:, None, :]
    return gradient, hessian


def _free(
    theta: np.ndarray, gradient: np.ndarray, hessian: np.ndarray, projector: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and Hessian in the directions that may be taken: not below the least variance."""
    held = np.zeros(gradient.shape, bool)
    narrow = theta[:, 2] <= 2 * math.log(NARROWEST) + 1e-9
    held[:, -narrow.shape[1] :] = narrow & (gradient[:, -narrow.shape[1] :] < 0)
    open_ = np.where(held, 0.0, 1.0)
    along = open_[:, :, None] * projector * open_[:, None, :]
    return (gradient[:, None] @ along)[:, 0], along @ hessian @ along


def _climbed(
    theta: Float[np.ndarray, "problem 3 component"], bins: _Bins, projector: Float[np.ndarray, "parameter parameter"]
) -> tuple[Float[np.ndarray, "problem 3 component"], Float[np.ndarray, " problem"]]:
    """The tops of the likelihood above `theta`, and their heights: Newton's method with damping.

    Where the likelihood curves upwards along a direction its curvature is taken with the other sign, so that every
    step leads up.
    """
    top, height = theta.copy(), np.full(len(theta), -np.inf)
    climbing = np.arange(len(theta))
    theta = theta.copy()
    log, r, square = _joint(theta, bins)
    now = np.einsum("pb,pb->p", bins.share, log)
    damping = np.full(len(theta), 1e-3)
    for _ in range(NEWTON_STEPS):
        gradient, hessian = _free(theta, *_derivatives(theta, bins, r, square), projector)
        curvature, directions = np.linalg.eigh(hessian)
        along = (gradient[:, None] @ directions)[:, 0]
        size = np.abs(curvature)
        promised = 0.5 * (along**2 / (size + 1e-9)).sum(axis=1)
        step = (directions @ (along / (size + damping[:, None]))[..., None])[..., 0]
        step *= np.minimum(1, LARGEST_STEP / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-300))
        tried = theta + step.reshape(theta.shape)
        tried[:, 0] -= tried[:, 0].max(axis=1, keepdims=True)
        tried[:, 0] = np.maximum(tried[:, 0], -30.0)
        tried[:, 2] = np.maximum(tried[:, 2], 2 * math.log(NARROWEST))
        log, r_tried, square_tried = _joint(tried, bins)
        there = np.einsum("pb,pb->p", bins.share, log)
        done = promised < CONVERGED
        higher = (there > now) & ~done
        theta[higher], r[higher], square[higher] = tried[higher], r_tried[higher], square_tried[higher]
        done |= ~higher & (damping > 1e3)  # no step leads up any more: rounding
        now = np.where(higher, there, now)
        damping = np.where(higher, np.maximum(damping / 10, 1e-9), damping * 8)
        if done.any():
            top[climbing[done]], height[climbing[done]] = theta[done], now[done]
            on = ~done
            climbing, theta, r, square, now, damping = (x[on] for x in (climbing, theta, r, square, now, damping))
            bins = bins.of(on)
        if not len(climbing):
            return top, height
    top[climbing], height[climbing] = theta, now
    return top, height


def _standard_errors(theta: np.ndarray, bins: _Bins, projector: np.ndarray) -> Float[np.ndarray, "problem 3 component"]:
    """Times √n, of weights, means and variances; NaN for those in which a direction without curvature has a part."""
    problems, _, count = theta.shape
    _, r, square = _joint(theta, bins)
    gradient, hessian = _derivatives(theta, bins, r, square)
    _, information = _free(theta, gradient, -hessian, projector)
    curvature, directions = np.linalg.eigh(information)
    known = curvature > 1e-7
    inverse = np.where(known, 1 / np.where(known, curvature, 1), 0)
    covariance = (directions * inverse[:, None]) @ directions.swapaxes(1, 2)
    unknown = projector - (directions * known[:, None]) @ directions.swapaxes(1, 2)
    weight = _weights(theta)
    to_weight = np.eye(count) * weight[:, None] - weight[:, :, None] * weight[:, None]

    def of_each(matrix: np.ndarray) -> np.ndarray:
        """Of weights, means and log variances, the variance that the matrix gives them."""
        diagonal = np.diagonal(matrix, axis1=1, axis2=2).reshape(problems, 3, count).copy()
        diagonal[:, 0] = np.einsum("pij,pjk,pik->pi", to_weight, matrix[:, :count, :count], to_weight)
        return diagonal

    squares, hidden = of_each(covariance), of_each(unknown)
    squares[:, 2] *= np.exp(2 * theta[:, 2])
    hidden[:, 0] /= np.maximum(weight**2, 1e-300)
    certain = (hidden < 1e-6) & np.all(curvature > -1e-7, axis=1, keepdims=True)[:, None]
    return np.where(certain, np.sqrt(np.maximum(squares, 0)), np.nan)


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
