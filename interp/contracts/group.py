"""A finite group: what a task of two operands may compute in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Irrep:
    """An irreducible representation over the real numbers: a matrix for each element of the group."""

    name: str
    """As axes and panels write it: "3" for the third frequency of a cyclic group, "sign"."""
    matrices: Float[Tensor, "element row column"]
    """Orthogonal, float64, with matrices[i] @ matrices[j] = matrices[product[i, j]]."""

    @property
    def dimension(self) -> int:
        return self.matrices.shape[-1]


@runtime_checkable
class Group(Protocol):
    """A finite group whose elements are numbered 0…order-1, the identity first."""

    @property
    def description(self) -> str:
        """As it is written: "C113"."""
        ...

    @property
    def order(self) -> int:
        """How many elements it has."""
        ...

    @property
    def product(self) -> Int[Tensor, "element element"]:
        """The number of the product of each two elements, [left, right]."""
        ...

    @property
    def irreps(self) -> Sequence[Irrep]:
        """Every irreducible representation over the real numbers, the trivial one first."""
        ...
