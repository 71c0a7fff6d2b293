"""Conjugacy classes: elements that differ by a change of view, y = g x g⁻¹."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


def conjugates(
    product: Int[np.ndarray, "element element"], inverse: Int[np.ndarray, " element"]
) -> Int[np.ndarray, "g x"]:
    """The number of g x g⁻¹."""
    return product[product, inverse[:, None]]


def conjugacy_classes(
    product: Int[np.ndarray, "element element"], inverse: Int[np.ndarray, " element"], identity: int
) -> Int[np.ndarray, " element"]:
    """The number of each element's class: by the order of its elements, then their number, then the first of them."""
    first = conjugates(product, inverse).min(0)  # [element]: the first element of its class
    sizes = np.bincount(first, minlength=len(product))[first]
    ranked = np.lexsort((first, sizes, element_orders(product, identity)))
    changes = np.diff(first[ranked], prepend=-1) != 0
    classes = np.empty(len(product), dtype=np.int64)
    classes[ranked] = np.cumsum(changes) - 1
    return classes


def element_orders(product: Int[np.ndarray, "element element"], identity: int) -> Int[np.ndarray, " element"]:
    """The least k ≥ 1 for which the k-th power of each element is the identity."""
    number = np.arange(len(product))
    orders, power = np.zeros(len(product), dtype=np.int64), number.copy()
    for k in range(1, len(product) + 1):
        orders[(power == identity) & (orders == 0)] = k
        if orders.all():
            break
        power = product[power, number]
    return orders
