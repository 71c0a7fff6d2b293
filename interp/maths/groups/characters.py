"""Irreducible characters, computed from the table of products.

1. Convolution by a class function maps class functions to class functions, and the irreducible characters are its
   eigenvectors, whichever it is (Schur). By a random one, all eigenvalues differ.
2. A random α with α(x⁻¹) the conjugate of α(x) makes it Hermitian, so that its eigenvectors are orthogonal to rounding.
3. An eigenvector is a character up to its length, which ⟨χ, χ⟩ = 1 gives, and its phase, for χ(e) > 0. It is checked
   that all degrees are whole and their squares add up to the order; were two eigenvalues too close, another α is drawn.
4. Over the reals a character stays one, joins its conjugate, or is taken twice, as the Frobenius–Schur indicator
   (1/n) Σ χ(x²) is 1, 0 or -1.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from interp.contracts.group import Irrep, Kind

TRIES = 20
WHOLE = 1e-6
"""How far a degree may be from a whole number, and a character from one whose name is known."""


def complex_characters(
    product: Int[np.ndarray, "element element"],
    inverse: Int[np.ndarray, " element"],
    classes: Int[np.ndarray, " element"],
) -> Complex[np.ndarray, "irrep element"]:
    """All irreducible characters over the complex numbers.

    Raises ArithmeticError where no random combination tells them apart, which has not been seen of a group.
    """
    n = len(product)
    sizes = np.bincount(classes)
    by_class = np.argsort(classes, kind="stable")
    starts = np.cumsum(sizes) - sizes
    representatives = by_class[starts]  # [class]
    inverse_class = classes[inverse[representatives]]
    class_of_quotient = classes[product[representatives][:, inverse[by_class]]]  # [class, element, one class a run]
    root = np.sqrt(sizes)
    for seed in range(TRIES):
        random = np.random.default_rng(seed).normal(size=(2, len(sizes)))
        alpha = random[0] + 1j * random[1]
        alpha = (alpha + alpha[inverse_class].conj()) / 2
        convolution = np.add.reduceat(alpha[class_of_quotient], starts, axis=1)  # [class, class]
        _, vectors = np.linalg.eigh(convolution * root[:, None] / root)
        characters = vectors.T / root * n**0.5  # [irrep, class]
        degrees = np.abs(characters[:, :1])
        if degrees.min() > 0.5:
            characters = characters * (degrees / characters[:, :1])
            whole = np.abs(degrees - degrees.round()).max() < WHOLE
            if whole and int((degrees.round() ** 2).sum()) == n:
                return characters[:, classes]
    raise ArithmeticError(f"no character table was found for this table of {n} elements; check that it is a group's")


def real_irreps(
    characters: Complex[np.ndarray, "irrep element"],
    squares: Int[np.ndarray, " element"],
    classes: Int[np.ndarray, " element"],
    known: Mapping[str, Float[Tensor, " element"]],
) -> tuple[Irrep, ...]:
    """The irreducible characters over the reals, `known` ones first and by their names, the others by rule.

    `squares` has the number of each element's square.
    """
    found = _over_the_reals(characters, squares)
    named: list[Irrep] = []
    for name, character in known.items():
        place = next((k for k, (one, _) in enumerate(found) if np.abs(one - character.numpy()).max() < WHOLE), None)
        if place is None:
            raise ArithmeticError(f"{name} is no irreducible character of this group")
        named.append(Irrep(name, character, found.pop(place)[1]))
    first_of_class = np.unique(classes, return_index=True)[1]
    found.sort(key=lambda one: (round(one[0].max()), (-one[0][first_of_class].round(6) + 0.0).tolist()))
    counts: dict[int, int] = {}
    for character, kind in found:
        irrep = Irrep("trivial", torch.from_numpy(character), kind)
        if named:
            counts[irrep.dimension] = counts.get(irrep.dimension, 0) + 1
            irrep = Irrep(f"{irrep.dimension}d_{counts[irrep.dimension]}", irrep.character, kind)
        named.append(irrep)
    return tuple(named)


def _over_the_reals(
    characters: Complex[np.ndarray, "irrep element"], squares: Int[np.ndarray, " element"]
) -> list[tuple[Float[np.ndarray, " element"], Kind]]:
    kinds: dict[int, Kind] = {1: "real", 0: "complex", -1: "quaternionic"}
    conjugate = np.real(characters @ characters.T).argmax(1)  # [irrep]: ⟨χ, ψ̄⟩ is 1 of the conjugate, else 0
    found: list[tuple[Float[np.ndarray, " element"], Kind]] = []
    for place, character in enumerate(characters):
        kind = kinds[round(character[squares].mean().real)]
        if kind != "complex" or place < conjugate[place]:
            found.append(((1 if kind == "real" else 2) * character.real, kind))
    return found
