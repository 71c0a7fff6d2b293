"""Tables of products of groups without a name of their own, from matrices and relations."""

from __future__ import annotations

import itertools

import numpy as np


def from_matrices(generators: list[np.ndarray], modulus: int) -> np.ndarray:
    """The table of the group that matrices over the integers modulo a number generate."""
    found = [np.eye(len(generators[0]), dtype=int)]
    seen = {found[0].tobytes(): 0}
    for matrix in found:
        for generator in generators:
            product = matrix @ generator % modulus
            if product.tobytes() not in seen:
                seen[product.tobytes()] = len(found)
                found.append(product)
    return np.array([[seen[(x @ y % modulus).tobytes()] for y in found] for x in found])


def SL23() -> np.ndarray:
    return from_matrices([np.array([[1, 1], [0, 1]]), np.array([[1, 0], [1, 1]])], 3)


def heisenberg() -> np.ndarray:
    upper = [np.eye(3, dtype=int) for _ in range(2)]
    upper[0][0, 1] = upper[1][1, 2] = 1
    return from_matrices(upper, 3)


def dicyclic(n: int) -> np.ndarray:
    """a^i and a^i x with a^2n = 1, x² = a^n, x a = a⁻¹ x, numbered i and 2n + i."""
    m = 2 * n
    table = np.empty((2 * m, 2 * m), dtype=int)
    for i, e, j, f in itertools.product(range(m), (0, 1), range(m), (0, 1)):
        power = i + (-j if e else j) + (n if e and f else 0)
        table[i + m * e, j + m * f] = power % m + m * ((e + f) % 2)
    return table


TABLES = {"SL(2,3)": SL23, "Heisenberg mod 3": heisenberg, "dicyclic": lambda: dicyclic(3)}
