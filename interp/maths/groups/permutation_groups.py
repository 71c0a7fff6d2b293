"""Symmetric and alternating groups: permutations in an order, composed one after the other.

A permutation x is written by its images, "01423": x(0) = 0, x(1) = 1, x(2) = 4, … The product x·y is x first, then y:
(x·y)(i) = y(x(i)).
"""

from __future__ import annotations

import itertools
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.maths.groups.finite_group import TableGroup

RELEASE = {
    "S5": ("01234 12340 23401 34012 41230", "01234 02143 03412 04123", "01234 01342 01432", "01423 01324"),
    "S6": (
        "012345 123450 234501 345012 451230 512340",
        "012345 021354 031254 045123 051234",
        "012345 013245 014253 015243",
        "012345 012534 012453",
        "013524 013425",
    ),
    "A5": ("01234 12340 23401 34012 42130", "01234 02143 03124 04213", "01234 01342 01423"),
}
"""The order in which the networks of Chughtai et al. 2023 number the permutations, by a rule.

Each list is of permutations that send one point to each other place in turn and fix the points of the lists before it.
The permutations are all products of one of each list, the last list's first; the first list's changes fastest.
"""


def permutation_group(letter: str, n: int, element_order: str) -> TableGroup:
    """S_n or A_n, its permutations in lexicographic order or in that of the release (`RELEASE`).

    Raises ValueError where the release's order is not known.
    """
    name = f"{letter}{n}"
    if element_order == "lexicographic":
        images = torch.tensor(list(itertools.permutations(range(n))))
        images = images if letter == "S" else images[_signs(images) == 1]
    elif name in RELEASE:
        images = _in_release_order(RELEASE[name])
    else:
        raise ValueError(
            f"the order of the {name} of the rep-theory release is not known, only those of {', '.join(RELEASE)}; say "
            "element_order: lexicographic, or give the table of products"
        )
    place = torch.full((n,) * n, -1)
    place[tuple(images.T)] = torch.arange(len(images))
    n_pairs = (len(images), len(images), n)
    composed = images[None].expand(n_pairs).gather(2, images[:, None].expand(n_pairs))  # [x, y, point]
    return TableGroup(
        description=name,
        product=place[composed.unbind(2)],
        elements=tuple("".join(map(str, row)) for row in images.tolist()),
        known=_known(letter, n, images),
    )


def _in_release_order(lists: tuple[str, ...]) -> Int[Tensor, "element point"]:
    factors = [torch.tensor([[int(digit) for digit in word] for word in line.split()]) for line in lists]
    found = factors[-1]
    for factor in reversed(factors[:-1]):
        found = factor[:, found].transpose(0, 1).flatten(0, 1)  # [found, factor]: the factor's image of found's
    return found


def _signs(images: Int[Tensor, "element point"]) -> Float[Tensor, " element"]:
    """+1 for permutations of an even number of inversions, -1 for the others."""
    inversions = (images[:, :, None] > images[:, None]).triu(1).flatten(1).sum(1)
    return (1 - 2 * (inversions % 2)).double()


def _cycles(images: Int[Tensor, "element point"], length: int) -> Float[Tensor, " element"]:
    """How many cycles of this length each has."""
    points = torch.arange(images.shape[1]).expand_as(images)
    shorter, power = torch.zeros_like(images, dtype=torch.bool), points
    for _ in range(length - 1):
        power = images.gather(1, power)
        shorter |= power == points
    return ((images.gather(1, power) == points) & ~shorter).sum(1).double() / length


def _known(letter: str, n: int, images: Int[Tensor, "element point"]) -> dict[str, Float[Tensor, " element"]]:
    """The characters that have names, from the numbers f_k of cycles of each length k (Frobenius's formula).

    For partitions: (n-1, 1) has f_1 - 1, (n-2, 2) has f_1(f_1 - 3)/2 + f_2, (n-2, 1, 1) has (f_1 - 1)(f_1 - 2)/2 - f_2,
    (3, 3) has f_1(f_1 - 1)(f_1 - 5)/6 + f_2(f_1 - 1) + f_3, and the conjugate partition each value times the sign.
    """
    f1, f2, f3 = (_cycles(images, length) for length in (1, 2, 3))
    sign = _signs(images)
    pairs, hook = f1 * (f1 - 3) / 2 + f2, (f1 - 1) * (f1 - 2) / 2 - f2
    named = {"trivial": torch.ones_like(f1)}
    if letter == "A":
        if n > 3:
            named["standard"] = f1 - 1
        if n == 5:
            fifths = torch.zeros_like(f1)  # ±√5 on the two classes of 5-cycles
            for element, row in enumerate(images.tolist()):
                if len(set(_orbit(row))) == n:
                    fifths[element] = math.sqrt(5) * _of_the_class_of_01234(row)
            named |= {"a5_5d_a": pairs, "a5_3d_a": (hook + fifths) / 2, "a5_3d_b": (hook - fifths) / 2}
        return named
    if n > 1:
        named["sign"] = sign
    if n > 2:
        named["standard"] = f1 - 1
    if n > 3:
        named["standard_sign"] = (f1 - 1) * sign
    if n == 5:
        named |= {"s5_5d_a": pairs * sign, "s5_5d_b": pairs, "s5_6d": hook}
    if n == 6:
        thirds = f1 * (f1 - 1) * (f1 - 5) / 6 + f2 * (f1 - 1) + f3
        named |= {"s6_5d_a": thirds, "s6_5d_b": thirds * sign}
    return named


def _orbit(row: list[int]) -> list[int]:
    """The images of 0 by the powers of a permutation, from 0 on."""
    orbit = [0]
    while row[orbit[-1]] != 0:
        orbit.append(row[orbit[-1]])
    return orbit


def _of_the_class_of_01234(row: list[int]) -> int:
    """+1 where an even permutation turns this 5-cycle into (0 1 2 3 4), else -1: that is the sign of its points."""
    return int(_signs(torch.tensor([_orbit(row)]))[0])
