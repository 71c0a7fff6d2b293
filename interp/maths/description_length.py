"""How few bytes describe weights that do nearly the same: truncated, rounded, compressed."""

from __future__ import annotations

import bz2
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Weights = Mapping[str, Float[Tensor, "..."]]
Spectrum = tuple[Float[Tensor, "..."], Float[Tensor, "..."], Float[Tensor, "..."]]
"""U, the singular values and the transpose of V."""
Part = list[tuple[Float[Tensor, "..."], ...]]
"""A parameter: each of its matrices as itself or as two factors."""
Factors = dict[str, Part]

TAUS = (1.0, 0.99, 0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)
"""Shares of the sum of a matrix's singular values that are kept; 1 keeps the matrix as it is."""
PER_OCTAVE, OCTAVES = 8, 22
"""Step sizes of rounding: eight to a factor of 2, down to the precision of float32."""
BEYOND = 5
"""Step sizes above the first that does not stay which are tried too: the loss does not grow with every one."""


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
    return len(bz2.compress(b"".join(value.contiguous().cpu().numpy().tobytes() for value in weights.values())))


def shortest_description(weights: Weights, loss: Callable[[Weights], float], epsilon: float) -> Description | None:
    """The smallest compressed size of weights whose loss differs by less than `epsilon` from that of these.

    Matrices are truncated by singular values, everything is rounded to multiples of one Δ and compressed by bzip2. For
    each τ of a fixed list, from 1 down, the largest Δ of a geometric grid that stays within `epsilon` is searched from
    that of the τ before on, as if the loss moved away with Δ, or nearly; it ends at a τ with which not even the finest
    Δ does. None where none does at all. What a decoder needs besides, shapes and ranks, is not counted.
    """
    target = loss(weights)
    spectra = {name: torch.linalg.svd(value, full_matrices=False) for name, value in weights.items() if _is_map(name)}
    best: Description | None = None
    delta = math.inf

    def lost(factors: Factors) -> float:
        return abs(loss({name: _multiplied(part) for name, part in factors.items()}) - target)

    for tau in TAUS:
        factors = {name: _truncated(value, spectra.get(name), tau) for name, value in weights.items()}
        found = _coarsest(factors, lambda there: lost(there) < epsilon, delta)
        if found is None:
            break
        delta, rounded = found
        size = len(bz2.compress(_bytes(rounded, delta)))
        if best is None or size < best.size:
            after = loss({name: _multiplied(part) for name, part in rounded.items()})
            ways = [len(matrix) for name, part in factors.items() if _is_map(name) for matrix in part]
            best = Description(size, tau, delta, after, ways.count(2) / len(ways))
    return best


def _is_map(name: str) -> bool:
    return not name.rpartition(".")[2].startswith("b_")


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


def _coarsest(factors: Factors, stays: Callable[[Factors], bool], near: float) -> tuple[float, Factors] | None:
    """The largest Δ of the grid with which the rounded factors stay, and these; None where none does.

    The search strides away from `near`, ever farther, until it has one that stays and one that does not, and then
    halves what lies between. Of the few Δ beyond, the largest that stays is taken after all.
    """
    largest = max(float(factor.abs().max()) for factor in _flat(factors))
    coarse = 2.0 ** math.ceil(math.log2(2 * largest)) if largest else 1.0  # everything is rounded to 0
    finest = PER_OCTAVE * OCTAVES
    place = min(max(round(PER_OCTAVE * math.log2(coarse / near)), 0), finest) if math.isfinite(near) else 0
    fails, holds, kept, stride = -1, finest + 1, None, 1
    while holds - fails > 1:
        there = _rounded(factors, coarse * 2.0 ** (-place / PER_OCTAVE))
        if stays(there):
            holds, kept = place, there
        else:
            fails = place
        if fails < 0 or holds > finest:
            place = max(place - stride, 0) if fails < 0 else min(place + stride, finest)
            stride *= 2
        else:
            place = (fails + holds) // 2
    if kept is None:
        return None
    for place in range(max(fails - BEYOND, 0), fails):
        there = _rounded(factors, coarse * 2.0 ** (-place / PER_OCTAVE))
        if stays(there):
            return coarse * 2.0 ** (-place / PER_OCTAVE), there
    return coarse * 2.0 ** (-holds / PER_OCTAVE), kept


def _flat(factors: Factors) -> list[Float[Tensor, "..."]]:
    return [factor for part in factors.values() for matrix in part for factor in matrix]


def _rounded(factors: Factors, delta: float) -> Factors:
    return {
        name: [tuple((factor / delta).round() * delta for factor in matrix) for matrix in part]
        for name, part in factors.items()
    }


def _bytes(rounded: Factors, delta: float) -> bytes:
    """The multiples of Δ, 0, -1, 1, -2, … as 0, 1, 2, 3, …: all low bytes, then the next, if any are not 0."""
    multiples = np.concatenate([(factor / delta).round().cpu().numpy().ravel() for factor in _flat(rounded)])
    signed = multiples.astype(np.int64)
    folded = np.where(signed < 0, -2 * signed - 1, 2 * signed)
    columns = folded.astype("<u8").view(np.uint8).reshape(-1, 8)
    used = max(1, (int(folded.max()).bit_length() + 7) // 8)
    return columns[:, :used].T.tobytes()
