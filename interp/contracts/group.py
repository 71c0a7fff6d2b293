"""A finite group: what a task of two operands may compute in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor

Kind = Literal["real", "complex", "quaternionic"]
NORMS: dict[Kind, int] = {"real": 1, "complex": 2, "quaternionic": 4}
"""⟨χ, χ⟩ of a character χ that is irreducible over the reals: of one complex one, of two, of twice the same."""


@dataclass(frozen=True)
class Irrep:
    """An irreducible representation over the real numbers, by its character: what measures ask depends on that alone.

    Over the complex numbers it is irreducible too where its kind is real, χ + χ̄ where it is complex, and twice one
    where it is quaternionic.
    """

    name: str
    """As axes and panels write it: "freq_3", "sign"."""
    character: Float[Tensor, " element"]
    """The trace of each element's matrix, float64."""
    kind: Kind
    """By the Frobenius–Schur indicator of its complex part: 1, 0 or -1."""

    @property
    def dimension(self) -> int:
        """How many rows its real matrices have: the trace of the identity's, which is the largest."""
        return round(float(self.character.max()))

    @property
    def scale(self) -> float:
        """The factor that makes scale · χ(x y⁻¹) the projector on the functions of the group that belong to it."""
        return self.dimension / (NORMS[self.kind] * len(self.character))


@dataclass(frozen=True)
class Subgroup:
    """A subgroup and its cosets."""

    members: Bool[Tensor, " element"]
    left: Int[Tensor, " element"]
    """The number of each element's left coset gH, from 0, in the order of their first elements."""
    right: Int[Tensor, " element"]
    """The number of each element's right coset Hg, likewise."""

    @property
    def order(self) -> int:
        return int(self.members.sum())

    @property
    def index(self) -> int:
        """How many cosets of either side it has."""
        return len(self.members) // self.order


@runtime_checkable
class Group(Protocol):
    """A finite group whose elements are numbered 0…order-1, in any order."""

    @property
    def description(self) -> str:
        """As it is written: "C113"."""
        ...

    @property
    def order(self) -> int:
        """How many elements it has."""
        ...

    @property
    def elements(self) -> tuple[str, ...]:
        """How each element is written, by its number: "3", "r2 s", "01423"."""
        ...

    @property
    def product(self) -> Int[Tensor, "element element"]:
        """The number of the product of each two elements, [left, right]."""
        ...

    @property
    def abelian(self) -> bool:
        """Whether x·y is y·x for all elements."""
        ...

    @property
    def identity(self) -> int:
        """The number of the identity."""
        ...

    @property
    def inverse(self) -> Int[Tensor, " element"]:
        """The number of each element's inverse."""
        ...

    @property
    def quotient(self) -> Int[Tensor, "element element"]:
        """The number of x y⁻¹ for each two elements, [x, y]."""
        ...

    @property
    def classes(self) -> Int[Tensor, " element"]:
        """The number of each element's conjugacy class, from 0, that of the identity."""
        ...

    @property
    def irreps(self) -> Sequence[Irrep]:
        """Every irreducible representation over the real numbers, the trivial one first."""
        ...

    @property
    def basis(self) -> tuple[Float[Tensor, "row element"], Int[Tensor, " row"]]:
        """An orthonormal basis of the functions of the group, float64, and to which irrep each row belongs, by number.

        The rows of one irrep span its functions: the sum of their squares is its isotypic projector,
        Σ_row B[row, x] B[row, y] = scale · χ(x y⁻¹).
        """
        ...

    @property
    def subgroups(self) -> Sequence[Subgroup]:
        """All subgroups, the smallest first. Raises ValueError where there are too many to list."""
        ...
