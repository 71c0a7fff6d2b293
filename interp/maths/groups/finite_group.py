"""What every finite group has, computed from its table of products and kept."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.contracts.group import Irrep, Subgroup
from interp.maths.groups.characters import complex_characters, real_irreps
from interp.maths.groups.classes import conjugacy_classes
from interp.maths.groups.subgroups import all_subgroups

if TYPE_CHECKING:
    kept = property  # type checkers match a Protocol's properties with these alone
else:
    kept = functools.cached_property


class FiniteGroup:
    """A group with numbered elements; it is what `interp.contracts.group.Group` asks for."""

    description: str
    elements: tuple[str, ...]
    product: Int[Tensor, "element element"]
    known: Mapping[str, Float[Tensor, " element"]]
    """The characters of those irreps over the reals that have a name of their own, in the order of the axis."""

    @property
    def order(self) -> int:
        return len(self.elements)

    @kept
    def abelian(self) -> bool:
        """Whether x·y is y·x for all elements."""
        return torch.equal(self.product, self.product.T)

    @kept
    def identity(self) -> int:
        """The number of the only element x with x·x = x."""
        return int((self.product.diagonal() == torch.arange(self.order)).nonzero()[0, 0])

    @kept
    def inverse(self) -> Int[Tensor, " element"]:
        return (self.product == self.identity).int().argmax(1)

    @property
    def quotient(self) -> Int[Tensor, "element element"]:
        return self.product[:, self.inverse]

    @kept
    def classes(self) -> Int[Tensor, " element"]:
        return torch.from_numpy(conjugacy_classes(self.product.numpy(), self.inverse.numpy(), self.identity))

    @kept
    def irreps(self) -> Sequence[Irrep]:
        """Those of `known` by their names and in their order; the others after them.

        These are called by their dimension over the reals and their place among those of that dimension, "5d_1",
        "5d_2". Their order is that of their characters, one conjugacy class after another, the larger value first. The
        classes are numbered by the order of their elements, the number of these, and the first of these.
        """
        product, inverse, classes = self.product.numpy(), self.inverse.numpy(), self.classes.numpy()
        characters = complex_characters(product, inverse, classes)
        return real_irreps(characters, np.diag(product), classes, self.known)

    @kept
    def basis(self) -> tuple[Float[Tensor, "row element"], Int[Tensor, " row"]]:
        """By the eigenvectors of one symmetric matrix, the sum of all projectors, each times its number.

        Eigenvalues are then whole numbers, those of different irreps at least 1 apart, and all eigenvectors
        orthonormal. Σ_k k P_k is Φ(x y⁻¹) for one function Φ, so that no projector is made alone.
        """
        numbers = range(len(self.irreps))
        phi = torch.stack([k * irrep.scale * irrep.character for k, irrep in zip(numbers, self.irreps, strict=True)])
        values, vectors = torch.linalg.eigh(phi.sum(0)[self.quotient])
        return vectors.T.contiguous(), values.round().long()

    @kept
    def subgroups(self) -> Sequence[Subgroup]:
        return all_subgroups(self.product.numpy(), self.inverse.numpy(), self.identity, self.description)


@dataclass(frozen=True, eq=False)
class TableGroup(FiniteGroup):
    """A group whose products are given, as those of a group: `checked_table` sees to that."""

    description: str
    product: Int[Tensor, "element element"]
    elements: tuple[str, ...]
    known: Mapping[str, Float[Tensor, " element"]] = field(default_factory=dict)
