"""Which pairs somebody trained on, told by the losses that were recorded beside the weights.

A training script lists the pairs, shuffles them with some generator and some seed, and takes a first share. The usual
ways are few, so all are tried; the right one is that under which the train *and* the test loss recorded are those of
the weights. The train loss alone identifies nothing: a network that generalises has nearly the same on any pairs.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

SEEDS = range(100)
SHARES = tuple(round(0.05 * twentieth, 2) for twentieth in range(1, 20))
NEAR = 0.10
"""Relative: recorded losses are some updates older than the weights."""
APART = 1.5
"""The next candidate has to be this many times as far from the recorded losses."""

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
    distance: float = math.inf
    """The larger of the relative differences of its train and test loss from the recorded ones."""

    def mask(self, n: int, p: int | None) -> np.ndarray:
        """The training pairs, [pair], row-major in (a, b)."""
        order, count = self._order(n, p), int(self.frac_train * n)
        mask = np.zeros(n, bool)
        mask[order[:count] if self.first else order[n - count :]] = True
        return mask

    def _order(self, n: int, p: int | None) -> np.ndarray:
        order = SHUFFLES[self.rule](n, self.seed)
        return _by_a(order, p) if self.by_b and p else order

    @property
    def sentence(self) -> str:
        place = "first" if self.first else "last"
        listed = ", the pairs listed by b" if self.by_b else ""
        return (
            f"The split is the {place} {self.frac_train:.0%} of {self.rule} with seed {self.seed}{listed}: under it "
            f"the recorded train and test loss are those of the weights (within {self.distance:.1%})."
        )


def split_by_losses(
    losses: np.ndarray, train_loss: float, test_loss: float, p: int | None, shares: tuple[float, ...] = SHARES
) -> Split | None:
    """The one split under which `losses`, [pair], have these means; None where none is near or several are.

    `p` is the modulus where the pairs are the whole table, so that they may have been listed by b.
    """
    found = sorted(_candidates(losses, (train_loss, test_loss), p, shares), key=lambda one: one.distance)
    if not found or not found[0].distance <= NEAR:
        return None
    if len(found) > 1 and found[1].distance < APART * found[0].distance:
        return None
    return found[0]


def _candidates(
    losses: np.ndarray, recorded: tuple[float, float], p: int | None, shares: tuple[float, ...]
) -> Iterator[Split]:
    n = len(losses)
    counts = np.asarray([int(share * n) for share in shares])
    for (rule, shuffle), seed in ((each, seed) for each in SHUFFLES.items() for seed in SEEDS):
        order = shuffle(n, seed)
        for by_b in (False, True) if p and p * p == n else (False,):
            summed = np.concatenate([[0.0], np.cumsum(losses[_by_a(order, p) if by_b and p else order])])
            for first in (True, False):
                inside = summed[counts] if first else summed[n] - summed[n - counts]
                train, test = inside / np.maximum(counts, 1), (summed[n] - inside) / np.maximum(n - counts, 1)
                far = np.maximum(abs(train / recorded[0] - 1), abs(test / recorded[1] - 1))
                best = int(np.nanargmin(far)) if np.isfinite(far).any() else 0
                for at in {best, *np.flatnonzero(far <= NEAR * APART).tolist()}:
                    yield Split(rule, seed, shares[at], first, by_b, float(far[at]))


def _by_a(order: np.ndarray, p: int) -> np.ndarray:
    """The numbers b·p + a of pairs listed by b as numbers a·p + b."""
    return order % p * p + order // p
