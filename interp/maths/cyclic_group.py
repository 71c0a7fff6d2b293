"""The cyclic group C_n, the residues modulo n under addition, with its irreducible representations over the reals."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.contracts.group import Irrep


@dataclass(frozen=True)
class CyclicGroup:
    """The group C_n, whose element i is the i-th power of one generator."""

    order: int

    @property
    def description(self) -> str:
        return f"C{self.order}"

    @property
    def product(self) -> Int[Tensor, "element element"]:
        """Element i times element j is element i + j modulo n, [i, j]."""
        number = torch.arange(self.order)
        return (number[:, None] + number) % self.order  # [left, 1] + [right]

    @property
    def irreps(self) -> Sequence[Irrep]:
        """The trivial one, the rotations by 2πk/n for k below n/2, and for even n the sign (-1)^i."""
        return _irreps(self.order)


@functools.lru_cache(maxsize=8)
def _irreps(n: int) -> tuple[Irrep, ...]:
    found = [Irrep("0", torch.ones(n, 1, 1, dtype=torch.float64))]
    found += [Irrep(str(freq), _rotations(n, freq)) for freq in range(1, (n + 1) // 2)]
    if n % 2 == 0:
        signs = 1 - 2 * (torch.arange(n) % 2).double()
        found.append(Irrep("sign", signs[:, None, None]))
    return tuple(found)


def _rotations(n: int, freq: int) -> Float[Tensor, "element 2 2"]:
    """The rotation of the plane by 2π·freq·i/n for each element i."""
    angle = 2 * math.pi * ((freq * torch.arange(n)) % n).double() / n
    cosine, sine = angle.cos(), angle.sin()
    rows = [torch.stack([cosine, -sine], dim=-1), torch.stack([sine, cosine], dim=-1)]
    return torch.stack(rows, dim=-2)  # [element, row, column]
