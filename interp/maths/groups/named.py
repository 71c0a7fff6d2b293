"""Groups by their names: "C12", "D5", "S4", "A5", "Q8", and direct products, "C2 x S3"."""

from __future__ import annotations

import functools
import math
import re
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from interp.maths.groups.cyclic_group import CyclicGroup, waves
from interp.maths.groups.finite_group import FiniteGroup, TableGroup
from interp.maths.groups.permutation_groups import permutation_group

MOST_ELEMENTS = 1_000
ElementOrder = Literal["lexicographic", "rep_theory"]
KNOWN = "C_n, D_n (of order 2n), S_n, A_n, Q8 and direct products of them, C2 x S3"


@functools.lru_cache(maxsize=16)
def named_group(name: str, element_order: ElementOrder = "lexicographic") -> FiniteGroup:
    """The group of this name, the same object at every call while it is kept.

    Elements of C_n and D_n are numbered as rotations r^i by i, and in D_n r^i s by n + i. Permutations stand in the
    order that is asked for. In a product (x, y) is numbered by x, and among equal x by y. Of Q8 they are 1, -1, i, …

    Raises ValueError where there is no such group, it has more than 1,000 elements, or the order is not known.
    """
    factors = [factor.strip() for factor in re.split(r"\s+x\s+", name.strip())]
    parsed = [_parsed(factor) for factor in factors]
    refuse_above_most(math.prod(order for _, _, order in parsed), name)
    made = [_made(letter, n, element_order) for letter, n, _ in parsed]
    return functools.reduce(direct_product, made)


def refuse_above_most(order: int, name: str) -> None:
    """Raise ValueError, with the number of pairs, where a group has more than 1,000 elements."""
    if order > MOST_ELEMENTS:
        raise ValueError(
            f"{name} has {order:,} elements, which make {order**2:,} pairs; take a group of at most {MOST_ELEMENTS:,}"
        )


def direct_product(one: FiniteGroup, other: FiniteGroup) -> TableGroup:
    """The pairs (x, y), multiplied each in its group; (x, y) is numbered x · |other| + y."""
    n, m = one.order, other.order
    product = one.product[:, None, :, None] * m + other.product[None, :, None, :]  # [x, y, x', y']
    elements = tuple(f"({x}, {y})" for x in one.elements for y in other.elements)
    return TableGroup(f"{one.description} x {other.description}", product.reshape(n * m, n * m), elements)


def dihedral_group(n: int) -> TableGroup:
    """D_n, the symmetries of a polygon of n corners: r^a s^b · r^c s^d = r^(a + (-1)^b c) s^(b + d)."""
    number = torch.arange(2 * n)
    turn, flipped = number % n, number >= n
    turns = (turn[:, None] + torch.where(flipped, -1, 1)[:, None] * turn) % n
    product = turns + n * (flipped[:, None] ^ flipped)
    elements = tuple(f"r{i}" for i in range(n)) + tuple(f"r{i} s" for i in range(n))
    return TableGroup(f"D{n}", product, elements, _known_of_dihedral(n))


def _known_of_dihedral(n: int) -> dict[str, Float[Tensor, " element"]]:
    """Sign tells flips from turns; for even n alternating is (-1)^i on r^i and on r^i s; freq_k is 0 on flips."""
    ones, nothing = torch.ones(n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    known = {"trivial": torch.cat([ones, ones]), "sign": torch.cat([ones, -ones])}
    if n % 2 == 0:
        turns = 1 - 2 * (torch.arange(n) % 2).double()
        known |= {"alternating": torch.cat([turns, turns]), "alternating_sign": torch.cat([turns, -turns])}
    rotations = {f"freq_{freq}": torch.cat([2 * waves(n, freq), nothing]) for freq in range(1, (n + 1) // 2)}
    return known | rotations


def quaternion_group() -> TableGroup:
    """Q8: ±1, ±i, ±j, ±k with i² = j² = k² = ijk = -1, numbered 1, -1, i, -i, j, -j, k, -k."""
    units = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]])  # of 1, i, j, k
    minus = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 1], [0, 1, 1, 0], [0, 0, 1, 1]])  # whether the product has a minus
    unit, sign = torch.arange(8) // 2, torch.arange(8) % 2
    signs = (sign[:, None] + sign + minus[unit[:, None], unit]) % 2
    return TableGroup("Q8", 2 * units[unit[:, None], unit] + signs, ("1", "-1", "i", "-i", "j", "-j", "k", "-k"))


def _parsed(name: str) -> tuple[str, int, int]:
    """The letter, the number and the order of a group that is no product."""
    match = re.fullmatch(r"([CDSAQ])(\d{1,9})", name)
    if not match or (match[1] == "Q" and match[2] != "8") or int(match[2]) < 1:
        raise ValueError(
            f"group is {name!r}, and the groups that have names are {KNOWN}; give any other by a table of its products"
        )
    letter, n = match[1], int(match[2])
    if letter in "SA":
        order = math.factorial(min(n, 20)) if letter == "S" or n < 2 else math.factorial(min(n, 20)) // 2
        return letter, n, order
    return letter, n, {"C": n, "D": 2 * n, "Q": 8}[letter]


def _made(letter: str, n: int, element_order: ElementOrder) -> FiniteGroup:
    if element_order not in get_args(ElementOrder):
        raise ValueError(f"element_order is {element_order!r}; it is one of {', '.join(get_args(ElementOrder))}")
    match letter:
        case "C":
            return CyclicGroup(n)
        case "D":
            return dihedral_group(n)
        case "Q":
            return quaternion_group()
        case _:
            return permutation_group(letter, n, element_order)
