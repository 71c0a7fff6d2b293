"""How the ends of both spectra are searched for: from where, in which precision, and how far.

1. The search starts from the vectors given, mostly those of the checkpoint before; from every direction where there are
   few weights; else from random ones (`_chosen`).
2. It runs in float32, as a product costs half there. If float64 maps the vectors found alike, that is the answer.
3. Else it goes on in float64, from where it ended.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from interp.errors import NothingToSay
from interp.maths.curvature import Curvature
from interp.maths.extreme_eigenpairs import SPARE, Eigenpairs, extreme_eigenpairs

FEW_WEIGHTS, FEW_PER_EIGENVALUE = 1_000, 4
"""Where there are no more weights, or no more for each eigenvalue asked for, the search starts from every direction."""
LEAST_PRODUCTS = 1_500
"""A search may always take so many products, and 20 for each eigenvalue where that is more."""
NEGATIVE = 2
"""Eigenvalues that are looked for at the negative end: a search for one alone may end at the second."""
AGREEMENT = 1e-5
"""How far float32 and float64 may differ along the vectors found; where it is more, everything is done in float64."""


@dataclass(frozen=True)
class Asked:
    """What the search is to find: how many of the largest eigenvalues, and how exactly."""

    largest: int
    tolerance: float
    most_negative_tolerance: float
    seed: int
    """The seed of the vectors that it starts from where it has none."""


@dataclass(frozen=True)
class Starts:
    """The vectors from which the searches start."""

    hessian: Float[Tensor, "vector weight"]
    gauss_newton: Float[Tensor, "other weight"] | None
    """None: the largest at which the search in the Hessian ended."""


@dataclass(frozen=True)
class Ends:
    """The eigenvalues at the ends of both spectra."""

    hessian: Eigenpairs
    gauss_newton: Eigenpairs
    bits: int
    """The precision in which they were found, 32 or 64."""
    products: int
    """Vectors that were multiplied by a matrix, in either precision."""


def search(quick: Curvature, precise: Curvature, asked: Asked, before: Starts | None) -> Ends:
    """Search in `quick`, float32, and where that does not do in `precise`, float64.

    Raises NothingToSay where float64 overflows too.
    """
    starts, spent = _chosen(before, len(precise.gradient), asked), 0
    with contextlib.suppress(FloatingPointError):
        hessian, gauss_newton = _searched(quick, starts, asked)
        spent = hessian.products + gauss_newton.products + 1
        if agree(hessian, precise):
            return Ends(hessian, gauss_newton, 32, spent)
        starts = _chosen(Starts(hessian.start, gauss_newton.start), len(precise.gradient), asked)
    try:
        hessian, gauss_newton = _searched(precise, starts, asked)
    except FloatingPointError as error:
        raise NothingToSay("the curvature overflows") from error
    return Ends(hessian, gauss_newton, 64, spent + hessian.products + gauss_newton.products)


def _chosen(given: Starts | None, weights: int, asked: Asked) -> Starts:
    """Return the vectors given where they are enough and of as many weights, else others."""
    if weights <= max(FEW_WEIGHTS, FEW_PER_EIGENVALUE * asked.largest):
        return Starts(torch.eye(weights), torch.eye(weights))
    if given and given.gauss_newton is not None:
        vectors, size = given.gauss_newton.shape
        if vectors >= asked.largest + SPARE and size == weights:
            return given
    generator = torch.Generator().manual_seed(asked.seed)
    return Starts(torch.randn(asked.largest + SPARE + NEGATIVE, weights, generator=generator), None)


def _searched(curvature: Curvature, starts: Starts, asked: Asked) -> tuple[Eigenpairs, Eigenpairs]:
    """Return the ends of the Hessian's spectrum and of the Gauss–Newton matrix's, in the precision of `curvature`."""
    gradient, most = curvature.gradient[None], max(LEAST_PRODUCTS, 20 * asked.largest)
    hessian = extreme_eigenpairs(
        curvature.hessian,
        torch.cat([starts.hessian.to(gradient), gradient]),
        asked.largest,
        NEGATIVE,
        asked.tolerance,
        asked.most_negative_tolerance,
        most,
    )
    own = hessian.start[: asked.largest + SPARE] if starts.gauss_newton is None else starts.gauss_newton.to(gradient)
    return hessian, extreme_eigenpairs(curvature.gauss_newton, own, asked.largest, tolerance=asked.tolerance, most=most)


def agree(found: Eigenpairs, precise: Curvature) -> bool:
    """Whether float64 maps the sum of the vectors found to the same multiple of each, and to little beside them."""
    vectors, values = found.vectors.double(), found.largest.to(precise.gradient)
    mapped = precise.hessian(vectors.sum(0, keepdim=True))[0]  # [weight]
    multiples = vectors @ mapped
    beside = (mapped - multiples @ vectors).norm()
    expected = found.largest_residual.norm().to(beside) + AGREEMENT * values.abs().max()
    return bool(((multiples - values).abs() <= AGREEMENT * values.abs()).all() and beside <= 2 * expected)
