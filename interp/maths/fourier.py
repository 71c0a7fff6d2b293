"""The real discrete Fourier transform over Z_n, orthonormal, one row per direction."""

from __future__ import annotations

import functools
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

TIE = 1e-6
"""Shares that differ by no more than this are alike: rounding reaches it where a constant is 1e10 times what varies."""


@functools.cache
def basis(n: int) -> Float[Tensor, "n n"]:
    """Rows constant, cos 1, sin 1, cos 2, …; for even n the last is (-1)^x, which has no sine. float64."""
    x = torch.arange(n, dtype=torch.float64)
    rows = [torch.ones(n, dtype=torch.float64) / math.sqrt(n)]
    for k in range(1, n // 2 + 1):
        angle = 2 * math.pi * ((k * x) % n) / n
        if 2 * k == n:
            rows.append(angle.cos() / math.sqrt(n))
        else:
            rows += [angle.cos() * math.sqrt(2 / n), angle.sin() * math.sqrt(2 / n)]
    return torch.stack(rows)


def freq_of_row(n: int) -> Int[Tensor, " n"]:
    """The frequency of each row of `basis(n)`: 0, 1, 1, 2, 2, …"""
    return (torch.arange(n) + 1) // 2


def by_freq(squares: Float[Tensor, "n ..."]) -> Float[Tensor, "freq ..."]:
    """Sum what belongs to one frequency: rows of `basis(n)` -> frequencies 0…n//2."""
    n = len(squares)
    total = squares.new_zeros(n // 2 + 1, *squares.shape[1:])
    return total.index_add_(0, freq_of_row(n).to(squares.device), squares)


def pair_power(table: Float[Tensor, "a b neuron"]) -> Float[Tensor, "freq neuron"]:
    """Power of a function of two cyclic operands at each frequency k, the two together: the eight coefficients
    (cos k, 1), (sin k, 1), (1, cos k), (1, sin k) and the four products (Nanda et al. 2023).

    Entry 0 is the square of the mean times n². Sums over what mixes two frequencies are left out.
    """
    n, width = len(table), table.shape[-1]
    F = basis(n).to(table)
    along_a = (F @ table.reshape(n, n * width)).view(n, n, width)  # [row of F, b, neuron]
    power = by_freq((F @ along_a[0]).square()) + by_freq((F[0] @ along_a).square())  # constant in a, constant in b
    power[0] /= 2  # which the square of the mean is twice
    with_sine = (n - 1) // 2
    rows = slice(1, 2 * with_sine + 1)
    both = F[rows].view(with_sine, 1, 2, n) @ along_a[rows].view(with_sine, 2, n, width)  # [freq, f, g, neuron]
    power[1 : with_sine + 1] += both.square().sum((1, 2))
    if n % 2 == 0:
        power[-1] += (F[-1] @ along_a[-1]).square()
    return power


def variance_explained(
    table: Float[Tensor, "a b neuron"],
) -> tuple[Float[Tensor, "freq neuron"], Float[Tensor, " neuron"]]:
    """The share of the variance of functions of two cyclic operands at each frequency, by `pair_power`; the variance.

    Where a function varies by no more than the rounding of a constant its shares are NaN and its variance is 0.
    """
    centred, variance = _centred(table.flatten(0, 1))  # [a * b, neuron], [neuron]
    power = pair_power(centred.view_as(table))
    power[0] = 0
    return power / (len(table) ** 2 * variance).where(variance > 0, torch.nan), variance


def row_variance_explained(
    rows: Float[Tensor, "n neuron"],
) -> tuple[Float[Tensor, "freq neuron"], Float[Tensor, " neuron"]]:
    """As `variance_explained`, of functions of one cyclic operand; here the shares sum to 1."""
    centred, variance = _centred(rows)
    power = by_freq((basis(len(rows)).to(rows) @ centred).square())
    power[0] = 0
    return power / (len(rows) * variance).where(variance > 0, torch.nan), variance


def leading(share: Float[Tensor, "freq neuron"]) -> tuple[Float[Tensor, " neuron"], Int[Tensor, " neuron"]]:
    """The largest share that one frequency has of each neuron, NaN where there are none, and that frequency.

    It is 0 where another frequency has as much, up to `TIE`: which of the two is first would be decided by rounding.
    A neuron that is active on one pair alone has every frequency alike. It is -1 where there are no shares.
    """
    there = share.isfinite().any(dim=0)
    largest, freq = share.nan_to_num(-1).max(dim=0)
    tied = (share > largest - TIE).sum(dim=0) > 1
    return largest.where(there, torch.nan), freq.masked_fill(tied, 0).masked_fill(~there, -1)


def strongest(power: Float[Tensor, " freq"], count: int) -> list[int]:
    """The places of the `count` largest, the largest first; of those alike up to `TIE` of all power, the first."""
    left, chosen = power.clone(), []
    for _ in range(min(count, len(power))):
        place = int((left >= left.max() - TIE * power.sum()).int().argmax())
        chosen.append(place)
        left[place] = -torch.inf
    return chosen


def _centred(values: Float[Tensor, "place neuron"]) -> tuple[Float[Tensor, "place neuron"], Float[Tensor, " neuron"]]:
    mean = values.mean(dim=0)
    centred = values - mean
    variance = centred.square().mean(dim=0)
    return centred, variance.where(variance > 1e-20 * (variance + mean.square()), 0.0)
