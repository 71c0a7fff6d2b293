from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from interp.maths.rises import Box, rise_along_gradient, rises_in_boxes


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def highest(loss, x, box):
    (rise,) = rises_in_boxes(loss, x, [box])
    return rise


def highest_corner(loss, x, box):
    """All 2^r of them."""
    corners = itertools.product([-1.0, 1.0], repeat=len(box.half_width))
    return max(float(loss(x + box.step(torch.tensor(corner, dtype=torch.float64))) - loss(x)) for corner in corners)


# One step uphill.


def test_a_linear_loss_rises_by_the_radius_times_its_slope():
    slope = random(5)
    rise = rise_along_gradient(lambda v: slope @ v, random(5, seed=1), 0.3)
    assert rise == pytest.approx(0.3 * float(slope.norm()), rel=1e-12)


def test_a_bowl_rises_by_its_curvature_along_the_gradient():
    h, x, rho = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64), random(3), 0.2
    g = h * x
    unit = g / g.norm()
    expected = rho * float(g.norm()) + rho**2 / 2 * float(unit @ (h * unit))
    assert rise_along_gradient(lambda v: (h * v**2).sum() / 2, x, rho) == pytest.approx(expected, rel=1e-12)


def test_gradients_too_small_to_be_squared_still_point_uphill():
    slope = torch.tensor([3e-200, 4e-200], dtype=torch.float64)
    rise = rise_along_gradient(lambda v: slope @ v, torch.zeros(2, dtype=torch.float64), 1.0)
    assert rise == pytest.approx(5e-200, rel=1e-12)


def test_where_nothing_leads_uphill_there_is_no_rise():
    assert rise_along_gradient(lambda v: (v**2).sum(), torch.zeros(3, dtype=torch.float64), 0.1) == 0


# The highest in a box.


@pytest.mark.parametrize("scale", [1e3, 1.0, 1e-9, 1e-30])
def test_a_linear_loss_is_highest_at_the_corner_its_slope_points_to(scale):
    slope, half_width, x = scale * random(6), random(6, seed=1).abs(), random(6, seed=2)
    rise = highest(lambda v: slope @ v, torch.zeros_like(x), Box(half_width))
    assert rise == pytest.approx(float((slope.abs() * half_width).sum()), rel=1e-12)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("tilt", [0.0, 0.3, 10.0])
@pytest.mark.parametrize("scale", [1.0, 1e-9])
def test_a_convex_quadratic_is_highest_at_the_best_of_all_corners(seed, tilt, scale):
    """In a subspace of five of 20 dimensions, through its minimum, beside it and far from it."""
    root, A, x = random(20, 20, seed=seed), random(20, 5, seed=seed + 100), random(20, seed=seed + 200)
    H = scale * root @ root.T
    slope = scale * tilt * random(20, seed=seed + 300)

    def loss(v):
        return (v - x) @ H @ (v - x) / 2 + slope @ (v - x)

    box = Box(0.1 * (1 + random(5, seed=seed + 400).abs()), A)
    assert highest(loss, x, box) == pytest.approx(highest_corner(loss, x, box), rel=1e-9)


def test_a_concave_loss_is_highest_inside():
    peak = torch.tensor([0.3, -0.2, 0.6], dtype=torch.float64)
    rise = highest(lambda v: -((v - peak) ** 2).sum(), torch.zeros_like(peak), Box(torch.ones_like(peak)))
    assert rise == pytest.approx(float((peak**2).sum()), rel=1e-6)


def test_it_is_a_maximum_where_the_loss_falls_on_one_side_more_than_it_rises_on_the_other():
    """The lowest value in the box is 10 below: the value of a search for the minimum."""
    x = torch.zeros(1, dtype=torch.float64)

    def loss(v):
        return torch.where(v > 0, v, 10 * v).sum()

    assert highest(loss, x, Box(torch.ones_like(x))) == pytest.approx(1)


@pytest.mark.parametrize("loss", [lambda v: 0 * v.sum(), lambda v: -(v**2).sum()], ids=["flat", "summit"])
def test_where_all_else_is_lower_the_rise_is_0(loss):
    x = torch.zeros(3, dtype=torch.float64)
    assert highest(loss, x, Box(torch.ones_like(x))) == 0


def test_several_boxes_are_taken_one_by_one():
    slope = random(4)
    boxes = [Box(width * torch.ones(4, dtype=torch.float64)) for width in (1.0, 2.0, 4.0)]
    rises = list(rises_in_boxes(lambda v: slope @ v, random(4, seed=1), boxes))
    np.testing.assert_allclose(rises, float(slope.abs().sum()) * np.array([1, 2, 4]), rtol=1e-12)
