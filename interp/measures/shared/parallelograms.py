"""Equal sums as parallelograms, which a representation may draw, and what follows from those of the training pairs.

A parallelogram is four numbers i < j <= m < n with i + n = j + m: of the pairs (i, n) and (j, m), which have one
answer. A representation draws it where E_i + E_n = E_j + E_m, and then a network that knows the one pair knows the
other (Liu et al. 2022, arXiv 2205.10343).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.contracts.sums import Sums
from interp.errors import NothingToSay

DEPENDENT = 1e-8
"""A squared length below this is that of nothing, as in the paper's code."""


@dataclass(frozen=True)
class Parallelograms:
    """All of a task, and which of its pairs each joins."""

    corners: Int[np.ndarray, "parallelogram 4"]
    """i, n, j, m."""
    pairs: Int[np.ndarray, "parallelogram 2"]
    """The places of (i, n) and of (j, m) among the task's examples."""
    train: Bool[np.ndarray, " pair"]

    @classmethod
    def of(cls, task: Sums) -> Parallelograms:
        """Raises NothingToSay where it is not known which pairs were trained on, or no two have one sum."""
        if task.train is None:
            raise NothingToSay("nobody knows which examples were trained on")
        operands = task.pairs.numpy()
        by_sum: dict[int, list[int]] = {}
        for place, (a, b) in enumerate(operands.tolist()):
            by_sum.setdefault(a + b, []).append(place)
        joined = [
            (outer, inner)  # pairs (a, b) with a <= b of one sum lie in one another, the smallest a outside
            for places in by_sum.values()
            for number, outer in enumerate(sorted(places, key=lambda place: operands[place, 0]))
            for inner in sorted(places, key=lambda place: operands[place, 0])[number + 1 :]
        ]
        if not joined:
            raise NothingToSay("no two pairs have one sum")
        pairs = np.array(joined)
        return cls(operands[pairs].reshape(-1, 4), pairs, task.train.numpy())

    def rows(self, p: int) -> Float[np.ndarray, "parallelogram p"]:
        """e_i + e_n - e_j - e_m of each."""
        rows = np.zeros((len(self.corners), p))
        for column, sign in enumerate((1, 1, -1, -1)):
            np.add.at(rows, (np.arange(len(rows)), self.corners[:, column]), sign)
        return rows

    @property
    def trained(self) -> Bool[np.ndarray, " parallelogram"]:
        """Which have both pairs among those trained on."""
        return np.asarray(self.train[self.pairs].all(axis=1))

    def drawn(self, embedding: Float[Tensor, "p d_model"], tolerance: float) -> Bool[np.ndarray, " parallelogram"]:
        """Which an embedding draws: mean over dimensions of (E_i + E_n - E_j - E_m)² below the tolerance.

        Each dimension is first put to mean 0 and variance 1 over the numbers. Raises NothingToSay where all are alike.
        """
        E = embedding.double().cpu().numpy()
        spread = E.std(axis=0)
        if not spread.any():
            raise NothingToSay("the embedding is the same for all numbers")
        E = (E - E.mean(axis=0))[:, spread > 0] / spread[spread > 0]
        i, n, j, m = self.corners.T
        return np.square(E[i] + E[n] - E[j] - E[m]).mean(axis=1) < tolerance

    def dependent(self, p: int) -> Bool[np.ndarray, " parallelogram"]:
        """Which follow from those of the training pairs: they are sums of multiples of them."""
        rows = self.rows(p)
        given = rows[self.trained]
        if not len(given):
            return np.zeros(len(rows), bool)
        _, sizes, directions = np.linalg.svd(given, full_matrices=False)
        basis = directions[np.square(sizes) > DEPENDENT]
        return np.square(rows - rows @ basis.T @ basis).sum(axis=1) < DEPENDENT

    def known(self, which: Bool[np.ndarray, " parallelogram"]) -> Bool[np.ndarray, " pair"]:
        """The pairs trained on, and those that one of these parallelograms joins to such a pair."""
        known = self.train.copy()
        for one, other in np.concatenate([self.pairs[which], self.pairs[which][:, ::-1]]):
            known[other] |= self.train[one]
        return known


def accuracies(known: Bool[np.ndarray, " pair"], train: Bool[np.ndarray, " pair"]) -> tuple[Tensor, Tensor]:
    """The share of all pairs, and of those not trained on, that are known; NaN of none."""
    test = known[~train]
    shares = float(known.mean()), float(test.mean()) if len(test) else float("nan")
    return torch.tensor(shares[0], dtype=torch.float64), torch.tensor(shares[1], dtype=torch.float64)
