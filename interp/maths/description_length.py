"""How few bytes describe weights that do nearly the same: truncated, rounded, compressed."""

from __future__ import annotations

import bz2
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.maths.spectra import is_map

Weights = Mapping[str, Float[Tensor, "..."]]
Spectrum = tuple[Float[Tensor, "..."], Float[Tensor, "..."], Float[Tensor, "..."]]
"""U, the singular values and the transpose of V."""
Part = list[tuple[Float[Tensor, "..."], ...]]
"""A parameter: each of its matrices as itself or as two factors."""

Grid = Literal["searched", "smaller", "whole"]

TAUS = (1.0, 0.99, 0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)
"""Shares of the sum of a matrix's singular values that are kept; 1 keeps the matrix as it is."""
PER_OCTAVE, OCTAVES = 8, 22
"""Step sizes of rounding: eight to a factor of 2, down to the precision of float32."""
FINEST = PER_OCTAVE * OCTAVES
BEYOND = 5
"""Step sizes above the first that does not stay which are tried too: the loss does not grow with every one."""
LONGER = 2 * PER_OCTAVE
"""Where so many step sizes in a row, each finer than the one before, need more bytes, all that are finer still do."""


@dataclass(frozen=True)
class Description:
    """The shortest one found."""

    size: int
    """Bytes."""
    tau: float
    delta: float
    """The step size of rounding."""
    loss: float
    """The loss of the network with the weights that are described."""
    factored_share: float
    """The share of the matrices that are kept as two factors."""


def raw_size(weights: Weights) -> int:
    """Bytes of the weights as they are, compressed."""
    compressor = bz2.BZ2Compressor()
    size = sum(len(compressor.compress(value.contiguous().cpu().numpy().tobytes())) for value in weights.values())
    return size + len(compressor.flush())


def zeros_like(weights: Weights) -> dict[str, Float[Tensor, "..."]]:
    return {name: torch.zeros_like(value) for name, value in weights.items()}


def shortest_description(
    weights: Weights, loss: Callable[[Weights], float], epsilon: float, grid: Grid = "searched"
) -> Description | None:
    """The smallest compressed size of weights whose loss differs by less than `epsilon` from that of these.

    Matrices are truncated by singular values, everything is rounded to multiples of one Δ and compressed by bzip2: for
    each τ of a fixed list, from 1 down, and each Δ of a geometric grid. None where the loss stays with none of them, or
    is not finite. What a decoder needs besides, shapes and ranks, is not counted.

    `grid` says at how many places of it the loss is asked for. *searched*: for the largest Δ with which it stays, as if
    it moved away with Δ, or nearly; and so it does where many weights are rounded together. Of few weights a Δ far
    above that one may suit by chance, as any may where everything rounded to 0 loses no more than the weights do, or a
    finer one take fewer bytes. *smaller*: at all that take fewer bytes than the shortest found, until two octaves of
    finer ones take more; so too, whatever `grid` says, where zeros lose no more. *whole*: at all that take fewer bytes.
    """
    target = loss(weights)
    if not math.isfinite(target):
        return None
    scanned = grid != "searched" or loss(zeros_like(weights)) < target + epsilon
    longer = FINEST + 1 if grid == "whole" else LONGER
    best: Description | None = None

    def stays(there: Weights) -> bool:
        return abs(loss(there) - target) < epsilon

    near = math.inf
    for row in _rows(weights):
        below = float(best.size) if best else math.inf
        found = row.shortest(stays, below, longer) if scanned else row.coarsest(stays, near)
        if found is None and not scanned:
            break
        if found is None:
            continue
        near, size = found
        if size < below:
            best = Description(size, row.tau, near, loss(row.rounded(near)), row.factored_share)
    return best


@dataclass(frozen=True)
class _Row:
    """The weights truncated at one τ, to be rounded to the multiples of a Δ."""

    tau: float
    parts: dict[str, Part]
    """Each parameter's matrices, each as itself or as two factors."""
    maps: frozenset[str]
    """The parameters that are linear maps."""

    @functools.cached_property
    def factors(self) -> list[Float[Tensor, "..."]]:
        return [factor for part in self.parts.values() for matrix in part for factor in matrix]

    @functools.cached_property
    def _numbers(self) -> Float[Tensor, " number"]:
        return torch.cat([factor.reshape(-1) for factor in self.factors])

    @functools.cached_property
    def _coarse(self) -> float:
        """The largest Δ, with which everything is rounded to 0."""
        largest = float(self._numbers.abs().max())
        return 2.0 ** math.ceil(math.log2(2 * largest)) if largest else 1.0

    @property
    def factored_share(self) -> float:
        ways = [len(matrix) for name in self.maps for matrix in self.parts[name]]
        return ways.count(2) / len(ways) if ways else 0.0

    def delta(self, place: int) -> float:
        """The Δ at this place of the grid, the coarsest at 0."""
        return max(self._coarse * 2.0 ** (-place / PER_OCTAVE), math.ulp(0.0))

    def rounded(self, delta: float) -> Weights:
        """The weights with every number rounded to a multiple of Δ."""
        numbers = (self._numbers / delta).round() * delta
        split = iter(numbers.split([factor.numel() for factor in self.factors]))
        parts = {
            name: [tuple(next(split).view_as(factor) for factor in matrix) for matrix in part]
            for name, part in self.parts.items()
        }
        return {name: _multiplied(part) for name, part in parts.items()}

    def size(self, delta: float) -> int:
        """Bytes of the multiples of Δ, compressed."""
        return len(bz2.compress(_bytes((self._numbers / delta).round().cpu().numpy())))

    def shortest(self, stays: Callable[[Weights], bool], below: float, longer: int) -> tuple[float, int] | None:
        """The Δ with which the weights stay and need the fewest bytes, fewer than `below`, and how many; None if none.

        It looks from the largest Δ on until so many in a row as `longer` says need more than the fewest.
        """
        found, in_a_row = None, 0
        for delta in map(self.delta, range(FINEST + 1)):
            size = self.size(delta)
            in_a_row = in_a_row + 1 if size >= below else 0
            if in_a_row == longer:
                break
            if size < below and stays(self.rounded(delta)):
                found, below = (delta, size), size
        return found

    def coarsest(self, stays: Callable[[Weights], bool], near: float) -> tuple[float, int] | None:
        """The largest Δ with which the weights stay, as a search finds it, and the bytes; None where none does.

        The search strides away from `near`, ever farther, until it has one that stays and one that does not, and then
        halves what lies between. Of the few Δ beyond, the largest that stays is taken after all.
        """
        place = min(max(round(PER_OCTAVE * math.log2(self._coarse / near)), 0), FINEST) if math.isfinite(near) else 0
        fails, holds, stride = -1, FINEST + 1, 1
        while holds - fails > 1:
            if stays(self.rounded(self.delta(place))):
                holds = place
            else:
                fails = place
            if fails < 0 or holds > FINEST:
                place = max(place - stride, 0) if fails < 0 else min(place + stride, FINEST)
                stride *= 2
            else:
                place = (fails + holds) // 2
        if holds > FINEST:
            return None
        beyond = (there for there in range(max(fails - BEYOND, 0), fails) if stays(self.rounded(self.delta(there))))
        delta = self.delta(next(beyond, holds))
        return delta, self.size(delta)


def _rows(weights: Weights) -> Iterator[_Row]:
    """The weights truncated at each τ, from 1 down; once where several come to the same."""
    maps = {name: value for name, value in weights.items() if is_map(name, value)}
    spectra = {name: torch.linalg.svd(value, full_matrices=False) for name, value in maps.items()}
    seen = set()
    for tau in TAUS:
        parts = {name: _truncated(value, spectra.get(name), tau) for name, value in weights.items()}
        row = _Row(tau, parts, frozenset(maps))
        shapes = tuple(factor.shape for factor in row.factors)
        if shapes not in seen:
            seen.add(shapes)
            yield row


def _truncated(value: Float[Tensor, "..."], spectrum: Spectrum | None, tau: float) -> Part:
    """A parameter's matrices, each as itself or as two factors: those of its largest singular values.

    So many are kept as make up the share τ of their sum; where that saves no numbers, k ≥ mn/(m + n), all are.
    """
    if spectrum is None:
        return [(value,)]
    U, singular_values, Vh = spectrum
    if value.ndim == 3:
        heads = zip(value, zip(U, singular_values, Vh, strict=True), strict=True)
        return [matrix for head, of_head in heads for matrix in _truncated(head, of_head, tau)]
    if tau == 1:
        return [(value,)]
    total = singular_values.cumsum(0)
    k = int((total < tau * total[-1]).sum()) + 1
    m, n = value.shape
    if k * (m + n) >= m * n:
        return [(value,)]
    root = singular_values[:k].sqrt()
    return [(U[:, :k] * root, root[:, None] * Vh[:k])]


def _multiplied(part: Part) -> Float[Tensor, "..."]:
    matrices = [matrix[0] if len(matrix) == 1 else matrix[0] @ matrix[1] for matrix in part]
    return matrices[0] if len(matrices) == 1 else torch.stack(matrices)


def _bytes(multiples: Float[np.ndarray, " number"]) -> bytes:
    """Whole numbers, 0, -1, 1, -2, … as 0, 1, 2, 3, …: all low bytes, then the next, if any are not 0."""
    signed = multiples.astype(np.int64)
    folded = np.where(signed < 0, -2 * signed - 1, 2 * signed)
    columns = folded.astype("<u8").view(np.uint8).reshape(-1, 8)  # [number, byte]
    used = max(1, (int(folded.max()).bit_length() + 7) // 8)
    return columns[:, :used].T.tobytes()
