"""A group given by its table of products, which is checked to be one."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


def checked_table(table: np.ndarray, source: str) -> Int[np.ndarray, "element element"]:
    """The table of products of a group, its elements numbered from 0; one numbered from 1 on is counted down.

    Checked are its form; that each row and each column holds every element once; and associativity, which with this
    makes an identity and inverses (a·e = a for one a gives a·(e·x) = a·x, so e·x = x). Raises ValueError, naming the
    first of these that fails: a repeated element before a triple (x, y, z) with (x y) z ≠ x (y z), and whether an
    identity lacks too. `source` is what messages call the table.
    """
    _refuse_other_forms(table, source)
    offset = int(table.min())
    products = table.astype(np.int64) - offset
    _refuse_repetition(products, offset, source)
    _refuse_not_associative(products, offset, source)
    return products


def _refuse_other_forms(table: np.ndarray, source: str) -> None:
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not table.size:
        raise ValueError(f"{source} has shape {list(table.shape)}; expected a square table, a row for each left factor")
    if table.dtype.kind not in "iu":
        raise ValueError(f"{source} holds {table.dtype}; expected the whole numbers of the elements, from 0 on")
    n = len(table)
    least, most = int(table.min()), int(table.max())
    if (least, most) not in ((0, n - 1), (1, n)):
        row, column = np.argwhere((table < 0) | (table > n))[0] if least < 0 or most > n else (0, 0)
        raise ValueError(
            f"{source} holds numbers from {least} to {most} (in row {row}, column {column}: {table[row, column]}); its "
            f"{n} elements are numbered 0 to {n - 1}, or 1 to {n}"
        )


def _refuse_repetition(products: Int[np.ndarray, "element element"], offset: int, source: str) -> None:
    for lines, line, across in ((products, "row", "columns"), (products.T, "column", "rows")):
        ranked = np.sort(lines, axis=1)
        wrong = np.flatnonzero((ranked[:, 1:] == ranked[:, :-1]).any(1))
        if len(wrong):
            at = int(wrong[0])
            values, counts = np.unique(lines[at], return_counts=True)
            element = int(values[counts > 1][0])
            first, second = np.flatnonzero(lines[at] == element)[:2] + offset
            raise ValueError(
                f"{source}: {line} {at + offset} holds element {element + offset} twice, in {across} {first} and "
                f"{second}; in a group's table every row and column holds each element once"
            )


def _refuse_not_associative(products: Int[np.ndarray, "element element"], offset: int, source: str) -> None:
    """By Light's test: the y with (x y) z = x (y z) for all x, z are closed under products: generators are enough."""
    for y in _generators(products):
        left, right = products[products[:, y]], products[:, products[y]]  # [x, z]
        if (left != right).any():
            x, z = np.argwhere(left != right)[0]
            a, b, c = x + offset, y + offset, z + offset
            number = np.arange(len(products))
            identity = ((products == number).all(1) & (number == products.T).all(1)).any()
            lacking = "" if identity else ", and has no identity e, with e·x = x·e = x for every x"
            raise ValueError(
                f"{source} is not associative: ({a}·{b})·{c} is {left[x, z] + offset}, and {a}·({b}·{c}) is "
                f"{right[x, z] + offset}{lacking}; give the table of a group"
            )


def _generators(products: Int[np.ndarray, "element element"]) -> list[int]:
    """Elements of which all others are products, factor by factor from the left."""
    reached, generators = np.zeros(len(products), dtype=bool), []
    while not reached.all():
        generators.append(int(np.argmin(reached)))
        reached[generators[-1]] = True
        count = 0
        while count != reached.sum():
            count = reached.sum()
            reached[products[np.ix_(np.flatnonzero(reached), generators)]] = True
    return generators
