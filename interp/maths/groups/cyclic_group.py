"""The cyclic group C_n, the residues modulo n under addition, in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.contracts.group import Irrep, Kind
from interp.maths import fourier
from interp.maths.groups.finite_group import FiniteGroup, kept


@dataclass(frozen=True)
class CyclicGroup(FiniteGroup):
    """The group C_n, whose element i is the i-th power of one generator."""

    n: int

    @property
    def order(self) -> int:
        return self.n

    @property
    def description(self) -> str:
        return f"C{self.n}"

    @property
    def elements(self) -> tuple[str, ...]:
        return tuple(map(str, range(self.n)))

    @property
    def product(self) -> Int[Tensor, "element element"]:
        """Element i times element j is element i + j modulo n, [i, j]."""
        number = torch.arange(self.n)
        return (number[:, None] + number) % self.n  # [left, 1] + [right]

    @kept
    def irreps(self) -> Sequence[Irrep]:
        """The trivial one, for even n the sign (-1)^i, and the rotations by 2πk/n for k below n/2, "freq_k"."""
        return tuple(Irrep(*one) for one in _characters(self.n))

    @kept
    def basis(self) -> tuple[Float[Tensor, "row element"], Int[Tensor, " row"]]:
        """The constant, the cosine and the sine of each frequency, and for even n the alternating wave."""
        even = self.n % 2 == 0
        freq = fourier.freq_of_row(self.n)
        irrep = torch.where((2 * freq == self.n) & even, 1, freq + even * (freq > 0))
        return fourier.basis(self.n), irrep


def waves(n: int, freq: int) -> Float[Tensor, " n"]:
    """cos(2π·freq·i/n) for i = 0…n-1."""
    return (2 * math.pi * ((freq * torch.arange(n)) % n).double() / n).cos()


def _characters(n: int) -> list[tuple[str, Float[Tensor, " element"], Kind]]:
    found: list[tuple[str, Float[Tensor, " element"], Kind]] = [("trivial", torch.ones(n, dtype=torch.float64), "real")]
    if n % 2 == 0:
        found.append(("sign", 1 - 2 * (torch.arange(n) % 2).double(), "real"))
    return found + [(f"freq_{freq}", 2 * waves(n, freq), "complex") for freq in range(1, (n + 1) // 2)]
