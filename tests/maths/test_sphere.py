"""The lowest loss on a sphere, of quadratics against the secular equation."""

from __future__ import annotations

import pytest
import torch
from scipy.optimize import brentq

from interp.maths.sphere import least_on_sphere

GENERATOR = torch.Generator().manual_seed(0)
ROOT = torch.randn(6, 6, generator=GENERATOR).double()
A, b = ROOT @ ROOT.T / 6, torch.randn(6, generator=GENERATOR).double()


def quadratic(x):
    return x @ A @ x / 2 - b @ x


def least(radius):
    """x = (A + λ1)⁻¹b with ‖x‖ = radius; the λ above -λ_min is that of the least value."""
    values, vectors = torch.linalg.eigh(A)
    along = vectors.T @ b

    def beyond(shift):
        return float((along / (values + shift)).norm()) - radius

    shift = brentq(beyond, -float(values[0]) + 1e-9, 1e6, xtol=1e-14)
    return float(quadratic(vectors @ (along / (values + shift))))


@pytest.mark.parametrize("radius", [0.1, 1.0, 5.0])
def test_of_a_quadratic_it_is_the_least_value_on_the_sphere(radius):
    start = torch.randn(6, generator=GENERATOR).double()
    lowest, x = least_on_sphere(quadratic, radius * start / start.norm(), 2000, 0.05 * radius)
    assert lowest == pytest.approx(least(radius), rel=1e-5, abs=1e-8)
    assert float(x.norm()) == pytest.approx(radius)
    assert float(quadratic(x)) == lowest


def test_without_steps_it_is_where_it_starts():
    start = torch.ones(6).double()
    lowest, x = least_on_sphere(quadratic, start, 0, 0.1)
    assert lowest == float(quadratic(start))
    assert torch.equal(x, start)
