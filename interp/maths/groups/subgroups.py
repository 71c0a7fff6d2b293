"""All subgroups of a finite group, and their cosets.

1. Every subgroup but the trivial one is ⟨H, c⟩ for a smaller subgroup H and an element c of prime-power order: take H
   maximal in it, and one of the elements of prime-power order, which generate it, that is not in H.
2. So all are reached from the trivial one, one added cyclic subgroup at a time, up to conjugacy: of each class of
   conjugate subgroups one is extended, with one c of those that its normaliser moves into one another; where the
   extension has prime index, every other c in it would give the same.
3. Each new subgroup is entered with all its conjugates.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Bool, Int

from interp.contracts.group import Subgroup
from interp.maths.groups.classes import conjugates, element_orders

MOST = 5_000
"""S6 has 1,455 and C2 to the sixth power 2,825; to the seventh, of order 128, it has 29,212."""


def all_subgroups(
    product: Int[np.ndarray, "element element"], inverse: Int[np.ndarray, " element"], identity: int, description: str
) -> tuple[Subgroup, ...]:
    """All subgroups, the smallest first, those of one order by their members.

    Raises ValueError where there are more than 5,000.
    """
    n = len(product)
    turned = conjugates(product, inverse)  # [g, x]
    cyclic = _cyclic_generators(product, identity)
    trivial = np.zeros(n, dtype=bool)
    trivial[identity] = True
    found = {trivial.tobytes(): trivial}
    waiting: list[tuple[Bool[np.ndarray, " element"], list[int]]] = [(trivial, [])]
    for members, generators in waiting:
        for larger, generator in _extensions(members, generators, cyclic, product, turned):
            if larger.tobytes() in found:
                continue
            waiting.append((larger, [*generators, generator]))
            found |= {one.tobytes(): one for one in _conjugate(larger, turned)}
            if len(found) > MOST:
                raise ValueError(
                    f"{description} has more than {MOST:,} subgroups; coset measures are for groups with fewer"
                )
    listed = sorted(found.values(), key=lambda one: (int(one.sum()), np.flatnonzero(one).tolist()))
    return tuple(_with_cosets(members, product) for members in listed)


def _extensions(
    members: Bool[np.ndarray, " element"],
    generators: list[int],
    cyclic: list[int],
    product: Int[np.ndarray, "element element"],
    turned: Int[np.ndarray, "g x"],
) -> Iterator[tuple[Bool[np.ndarray, " element"], int]]:
    """Every subgroup that one more cyclic subgroup makes of this one, up to conjugacy, and the element added."""
    inside = np.flatnonzero(members)
    normaliser = members[turned[:, inside]].all(1)
    done = members.copy()
    for c in cyclic:
        if done[c]:
            continue
        larger = _generated(members, [*generators, c], product)
        done[turned[normaliser, c]] = True
        if _is_prime(int(larger.sum()) // len(inside)):
            done |= larger
        yield larger, c


def _generated(
    start: Bool[np.ndarray, " element"], generators: list[int], product: Int[np.ndarray, "element element"]
) -> Bool[np.ndarray, " element"]:
    """The subgroup that these generate, `start` being a part of it: all products, one factor more at a time."""
    reached, new = start.copy(), np.flatnonzero(start)
    steps = np.array(generators)
    while len(new):
        ahead = np.zeros_like(reached)
        ahead[product[new[:, None], steps]] = True
        new = np.flatnonzero(ahead & ~reached)
        reached[new] = True
    return reached


def _cyclic_generators(product: Int[np.ndarray, "element element"], identity: int) -> list[int]:
    """One generator, the first, of each cyclic subgroup whose order is a power of a prime."""
    orders = element_orders(product, identity)
    seen, generators = np.zeros(len(product), dtype=bool), []
    for element in np.flatnonzero(orders > 1).tolist():
        order = int(orders[element])
        least = next(q for q in range(2, order + 1) if order % q == 0)
        if seen[element] or any(order % q == 0 for q in range(least + 1, order + 1) if _is_prime(q)):
            continue
        generators.append(element)
        power = element
        for k in range(1, order):
            seen[power] |= k % least != 0
            power = int(product[power, element])
    return generators


def _conjugate(members: Bool[np.ndarray, " element"], turned: Int[np.ndarray, "g x"]) -> Bool[np.ndarray, "one x"]:
    """The subgroups g H g⁻¹, each once."""
    moved = np.zeros(turned.shape, dtype=bool)
    np.put_along_axis(moved, turned[:, np.flatnonzero(members)], True, axis=1)
    return np.unpackbits(np.unique(np.packbits(moved, axis=1), axis=0), axis=1, count=len(members)).astype(bool)


def _with_cosets(members: Bool[np.ndarray, " element"], product: Int[np.ndarray, "element element"]) -> Subgroup:
    inside = np.flatnonzero(members)
    left, right = (
        np.unique(firsts, return_inverse=True)[1] for firsts in (product[:, inside].min(1), product[inside].min(0))
    )
    return Subgroup(torch.from_numpy(members), torch.from_numpy(left), torch.from_numpy(right))


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))
