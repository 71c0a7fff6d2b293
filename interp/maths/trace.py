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
    """Standard error, from the spread over the probes; NaN where there is only one"""


def trace(
    product: Product,
    probes: Float[Tensor, "probe n"],
    vectors: Float[Tensor, "vector n"],
    values: Float[Tensor, " vector"],
) -> Estimate:
    """tr A = Σ_v vᵀA v + E[zᵀPAPz], P = 1 - Σ_v v vᵀ, for probes z of independent entries ±1.

    Hutchinson's estimator outside the space of the orthonormal `vectors`, and inside it the exact `values` vᵀA v. It is
    unbiased whatever they are; with the vectors of the largest eigenvalues most of its variance is gone (Meyer et al.
    2021, Hutch++).
    """
    z = _outside(probes, vectors)
    return _estimate(values, (z * product(z)).double().sum(1))


def trace_of_square(
    root: Callable[[Tensor], Float[Tensor, "probe n"]],
    probes: Float[Tensor, "probe *shape"],
    vectors: Float[Tensor, "vector n"],
    values: Float[Tensor, " vector"],
) -> Estimate:
    """tr A of the same kind for A = R Rᵀ, E‖P R u‖²: by R alone, half a product with A."""
    return _estimate(values, _outside(root(probes), vectors).double().square().sum(1))


def _outside(probes: Float[Tensor, "probe n"], vectors: Float[Tensor, "vector n"]) -> Float[Tensor, "probe n"]:
    return probes - (probes @ vectors.T) @ vectors


def _estimate(values: Float[Tensor, " vector"], samples: Float[Tensor, " probe"]) -> Estimate:
    samples = samples.cpu()
    spread = samples.std() if len(samples) > 1 else samples[0] * torch.nan
    return Estimate(values.sum() + samples.mean(), spread / len(samples) ** 0.5)
