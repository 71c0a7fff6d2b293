"""Which pairs somebody trained on, told by the losses that were recorded beside the weights.

A training script lists the pairs, shuffles them with some generator and some seed, and takes a first share. The usual
ways are few, so all are tried; the right one is that under which the train *and* the test loss recorded are those of
the weights. The train loss alone identifies nothing: a network that generalises has nearly the same on any pairs. For
the same reason nothing is taken that, of so many candidates, some would be as near to by chance.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from interp.summaries import percent

SEEDS = tuple(range(100))
SHARES = tuple(round(0.05 * twentieth, 2) for twentieth in range(1, 20))
NEAR = 0.10
"""Relative: recorded losses are some updates older than the weights."""
APART = 1.5
"""The next candidate has to be this many times as far from the recorded losses."""
BY_CHANCE = 0.02
"""So many candidates, on average, may be as near by chance."""
RADII = (0.5, 0.1, 0.02, 0.004, 0.001, 0.0002, 0.00005)
"""Distances within which others are counted, to tell how many would be near by chance."""
ROUNDING, OF_DOUBLES = 1e-7, 1e-15
"""Losses below the first, recorded in float32, are rounding; those that were computed in float64 are as they are down
to the second."""

Shuffle = Callable[[int, int], np.ndarray]
"""Number of pairs, seed -> their numbers in the order in which they are taken."""


def _python(n: int, seed: int) -> np.ndarray:
    order = list(range(n))
    random.Random(seed).shuffle(order)
    return np.asarray(order)


def _torch(n: int, seed: int) -> np.ndarray:
    import torch

    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)).numpy()


SHUFFLES: dict[str, Shuffle] = {
    "random.shuffle": _python,
    "torch.randperm": _torch,
    "numpy.random.RandomState.permutation": lambda n, seed: np.random.RandomState(seed).permutation(n),
    "numpy.random.default_rng.permutation": lambda n, seed: np.random.default_rng(seed).permutation(n),
}
"""NumPy's shuffle and permutation, and scikit-learn's train_test_split, draw alike; so do torch's random_split and
randperm; random.sample takes the last of random.shuffle."""


@dataclass(frozen=True)
class Ways:
    """The ways of drawing the training pairs that are tried."""

    rules: tuple[str, ...] = tuple(SHUFFLES)
    seeds: tuple[int, ...] = SEEDS
    shares: tuple[float, ...] = SHARES


@dataclass(frozen=True)
class Split:
    """A way to draw the training pairs, and the losses under it."""

    rule: str
    seed: int
    frac_train: float
    first: bool
    """The training pairs come first in the shuffled list; else last, as in scikit-learn's train_test_split."""
    by_b: bool
    """The list goes through all a for one b; else through all b for one a."""
    count: int
    """The number of training pairs: the share of all, rounded down, or one more."""
    distance: float = math.inf
    """The larger of the relative differences of its train and test loss from the recorded ones."""

    @property
    def family(self) -> tuple[str, int, float, bool]:
        """What its kin have in common, whose training pairs are nearly its own, or its own with a and b exchanged."""
        return self.rule, self.seed, self.frac_train, self.first

    def mask(self, n: int, p: int | None) -> np.ndarray:
        """The training pairs, [pair], row-major in (a, b)."""
        order = SHUFFLES[self.rule](n, self.seed)
        if self.by_b and p:
            order = order % p * p + order // p  # b·p + a as a·p + b
        mask = np.zeros(n, bool)
        mask[order[: self.count] if self.first else order[n - self.count :]] = True
        return mask

    @property
    def options(self) -> dict[str, Any] | None:
        """The options of the task `modular_arithmetic` that draw it; None where it has no such rule."""
        rule = {"random.shuffle": "progress_measures", "torch.randperm": "rep_theory"}.get(self.rule)
        if rule is None or not self.first or self.by_b:
            return None
        return {"split": rule, "seed": self.seed, "frac_train": self.frac_train}

    @property
    def sentence(self) -> str:
        place = "first" if self.first else "last"
        listed = ", the pairs listed by b" if self.by_b else ""
        drawn = f"the {place} {100 * self.frac_train:.4g}% of {self.rule} with seed {self.seed}{listed}"
        return (
            f"The split is {drawn}: under it the recorded train and test loss are those of the weights "
            f"(within {percent(self.distance, 1)})."
        )


def split_by_losses(
    losses: np.ndarray, recorded: tuple[float, float], p: int | None, ways: Ways | None = None
) -> Split | None:
    """The one split under which `losses`, [pair], have the `recorded` means over training and test pairs.

    None where none is near, where several are, or where some would be by chance. Of a split, its kin with a pair more
    and its mirror, whose losses on a symmetric network are alike, the usual one is taken unless another is nearer.
    `p` is the modulus where the pairs are the whole table, so that they may have been listed by b.
    """
    ways, table = ways or Ways(), p if p and p * p == len(losses) else None
    tiny = min(recorded) < ROUNDING  # which tells nothing, unless it was computed in float64
    found = (
        _nearest(list(_searched(losses, recorded, table, ways, rounding)), ways)
        for rounding in ((OF_DOUBLES, ROUNDING) if tiny else (ROUNDING,))
    )
    return next((one for one in found if one is not None), None)


def _nearest(searched: list[_Searched], ways: Ways) -> Split | None:
    """The one split that is nearest of those searched."""
    least = min(float(each.distances.min()) for each in searched)
    if not least <= NEAR:
        return None
    families: dict[tuple[str, int, float, bool], list[Split]] = {}
    for one in (split for each in searched for split in each.near(APART**2 * least, ways)):
        families.setdefault(one.family, []).append(one)
    nearest, *others = sorted(families.values(), key=lambda kin: min(one.distance for one in kin))
    usual = min(nearest, key=lambda one: (one.by_b, one.count))
    best = min(nearest, key=lambda one: one.distance)
    taken = best if best.distance * APART <= usual.distance else usual
    if others and min(one.distance for one in others[0]) < APART * taken.distance:
        return None
    if taken.distance > NEAR or _by_chance(taken, searched, ways) > BY_CHANCE:
        return None
    return taken


@dataclass(frozen=True)
class _Searched:
    """All seeds and shares of one rule, and how far each is from the recorded losses."""

    rule: str
    first: bool
    by_b: bool
    counts: np.ndarray
    """Numbers of training pairs, [share, 2]."""
    distances: np.ndarray
    """[seed, share, 2]."""

    def near(self, distance: float, ways: Ways) -> Iterator[Split]:
        """Those as near as that."""
        for seed, share, more in np.argwhere(self.distances <= distance).tolist():
            chosen, count = (ways.seeds[seed], ways.shares[share]), int(self.counts[share, more])
            far = float(self.distances[seed, share, more])
            yield Split(self.rule, *chosen, self.first, self.by_b, count, far)


def _searched(
    losses: np.ndarray, recorded: tuple[float, float], p: int | None, ways: Ways, rounding: float
) -> Iterator[_Searched]:
    """Every way; losses less than `rounding` tell nothing."""
    n = len(losses)
    counts = np.asarray([[int(share * n), min(int(share * n) + 1, n)] for share in ways.shares])  # [share, 2]
    tables = [losses] if p is None else [losses, losses.reshape(p, p).T.reshape(-1)]
    for rule in ways.rules:
        orders = _orders(rule, n, ways.seeds)
        for by_b, table in enumerate(tables):
            summed = np.zeros((len(orders), n + 1))
            np.cumsum(table[orders], axis=1, out=summed[:, 1:])  # [seed, pair]
            whole = summed[:, -1, None, None]
            for first in (True, False):
                inside = summed[:, counts] if first else whole - summed[:, n - counts]  # [seed, share, 2]
                far = _far(inside / np.maximum(counts, 1), recorded[0], rounding)
                far = np.maximum(far, _far((whole - inside) / np.maximum(n - counts, 1), recorded[1], rounding))
                yield _Searched(rule, first, bool(by_b), counts, far)


def _by_chance(taken: Split, searched: list[_Searched], ways: Ways) -> float:
    """How many candidates of other seeds would be as near if they lay about as densely there as farther away.

    The mean over the test pairs follows from that over the training pairs, so their number grows as the distance does.
    """
    seeds = np.asarray(ways.seeds)
    far = np.concatenate(
        [each.distances[(seeds != taken.seed) | (each.rule != taken.rule), :, 0].reshape(-1) for each in searched]
    )
    radii = [radius for radius in RADII if radius >= 10 * taken.distance] or [RADII[0]]
    return max(float((far <= radius).sum()) * taken.distance / radius for radius in radii)


@functools.lru_cache(maxsize=len(SHUFFLES))
def _orders(rule: str, n: int, seeds: tuple[int, ...]) -> np.ndarray:
    """The pairs in the order in which they are taken, [seed, pair]."""
    return np.asarray([SHUFFLES[rule](n, seed) for seed in seeds], np.int32)


def _far(means: np.ndarray, recorded: float, rounding: float) -> np.ndarray:
    """Relative differences; of losses that are both rounding there is none."""
    return np.where(np.maximum(means, recorded) < rounding, 0.0, abs(means - recorded) / max(abs(recorded), rounding))
