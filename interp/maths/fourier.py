"""The real discrete Fourier transform over Z_n, orthonormal, one row per direction."""

from __future__ import annotations

import functools
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor


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
    n = len(table)
    F = basis(n).to(table)
    freq = freq_of_row(n)
    along_a = torch.einsum("fa,abn->fbn", F, table)
    power = table.new_zeros(n // 2 + 1, table.shape[-1])
    constant = F[0]
    alone_b = torch.einsum("fb,bn->fn", F, along_a[0])  # (1, f): constant in a
    alone_a = torch.einsum("fbn,b->fn", along_a, constant)  # (f, 1): constant in b
    power += by_freq(alone_b.square()) + by_freq(alone_a.square())
    power[0] = alone_a[0].square()
    for k in range(1, n // 2 + 1):
        rows = freq == k
        power[k] += torch.einsum("gb,fbn->fgn", F[rows], along_a[rows]).square().sum((0, 1))
    return power
