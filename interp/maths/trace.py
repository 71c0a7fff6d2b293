"""The trace of a large symmetric matrix that is known by its products alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from interp.maths.curvature import Product


@dataclass(frozen=True)
class Estimate:
    value: Float[Tensor, ""]
    se: Float[Tensor, ""]
    """Standard error, from the spread over the probes, rounding at least; NaN where there is only one, or all is 0"""


def trace(
    product: Product,
    probes: Float[Tensor, "probe n"],
    vectors: Float[Tensor, "vector n"],
    values: Float[Tensor, " vector"],
) -> Estimate:
    """tr A = Σ_v vᵀA v + E[zᵀPAPz], P = 1 - Σ_v v vᵀ, for probes z of independent entries ±1.

    Hutchinson's estimator outside the space of the orthonormal `vectors`, and inside it the exact `values` vᵀA v. It is
    unbiased whatever they are; with the vectors of the largest eigenvalues most of its variance is gone (Meyer et al.
    2021, Hutch++). Where all of it is, as of a diagonal matrix, what is left is rounding.
    """
    z = _outside(probes, vectors)
    return _estimate(values, z * product(z))


def trace_of_square(
    root: Callable[[Tensor], Float[Tensor, "probe n"]],
    probes: Float[Tensor, "probe *shape"],
    vectors: Float[Tensor, "vector n"],
    values: Float[Tensor, " vector"],
) -> Estimate:
    """tr A of the same kind for A = R Rᵀ, E‖P R u‖²: by R alone, half a product with A."""
    return _estimate(values, _outside(root(probes), vectors).double().square())


def _outside(probes: Float[Tensor, "probe n"], vectors: Float[Tensor, "vector n"]) -> Float[Tensor, "probe n"]:
    return probes - (probes @ vectors.T) @ vectors


def _estimate(values: Float[Tensor, " vector"], terms: Float[Tensor, "probe n"]) -> Estimate:
    """Return the sum of the values and the mean of the probes' sums of terms."""
    samples = terms.double().sum(1).cpu()
    size = values.abs().sum() + terms.abs().double().sum(1).mean().cpu()
    if len(samples) == 1 or size == 0:
        error = size * torch.nan
    else:
        rounding = torch.finfo(terms.dtype).eps * size
        error = (samples.std() / len(samples) ** 0.5).maximum(rounding)
    return Estimate(values.sum() + samples.mean(), error)
