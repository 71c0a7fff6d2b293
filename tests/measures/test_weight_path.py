"""Paths of weights whose shape is known: a straight line, a circle, a corner."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.told import summary

INPUTS = {"inputs": np.zeros((2, 2), np.float32), "targets": [0, 1], "train": [True, True]}
SIZES = {"mlp.0.W_in": (2, 3), "mlp.0.b_in": (3,), "unembed.W_U": (3, 2)}


def directions(count):
    """Orthonormal directions among all fifteen weights."""
    drawn = torch.randn(15, count, generator=torch.Generator().manual_seed(0)).double()
    return torch.linalg.qr(drawn).Q.T


def of(vector):
    parts = vector.split([math.prod(shape) for shape in SIZES.values()])
    return {name: part.view(shape) for (name, shape), part in zip(SIZES.items(), parts, strict=True)}


def along(on_vectors, points):
    """A run whose weights pass through these points, at steps 0, 10, 20, …"""
    return on_vectors(INPUTS, {10 * place: of(point) for place, point in enumerate(points)}, widths=[3])


def test_a_straight_line_has_one_component_and_no_angles(on_vectors):
    (v,) = directions(1)
    places = torch.tensor([0.0, 1.0, 3.0, 4.5, 8.0]).double()
    run = along(on_vectors, 5 + places[:, None] * v)
    found = run.measure("weight_path")
    assert found.checkpoint_step.values.tolist() == [0, 10, 20, 30, 40]
    assert found.length.values == pytest.approx(places.numpy())
    assert found.distance.values == pytest.approx(places.numpy())
    assert found.angle.values[1:-1] == pytest.approx(0, abs=1e-4)
    assert np.isnan(found.angle.values[[0, -1]]).all()
    assert found.explained.values == pytest.approx([1, 0, 0], abs=1e-9)
    assert found.coordinate.values[:, 0] == pytest.approx((places - places.mean()).numpy())
    assert float(found.straightness) == pytest.approx(1)


def test_a_circle_has_two_components_of_half_each_and_turns_by_the_same_angle(on_vectors):
    u, v = directions(2)
    n = 12
    turn = 2 * math.pi * torch.arange(n).double() / n
    run = along(on_vectors, 1 + 2 * (turn.cos()[:, None] * u + turn.sin()[:, None] * v))
    found = run.measure("weight_path")
    chord = 4 * math.sin(math.pi / n)
    assert float(found.arc_length) == pytest.approx((n - 1) * chord)
    assert float(found.end_to_end) == pytest.approx(chord)
    assert found.angle.values[1:-1] == pytest.approx(360 / n)
    assert float(found.mean_angle) == pytest.approx(30)
    assert found.explained.values == pytest.approx([0.5, 0.5, 0], abs=1e-9)
    assert float(found.plane) == pytest.approx(1)
    assert np.hypot(*found.coordinate.values[:, :2].T) == pytest.approx(2)


def test_back_and_forth_and_standing_still(on_vectors):
    u, v = directions(2)
    nothing = 0 * u
    found = along(on_vectors, torch.stack([nothing, u, u + v, u + v, u])).measure("weight_path")
    assert found.angle.values[1] == pytest.approx(90)
    assert np.isnan(found.angle.values[2:4]).all()  # nothing moved between the third and the fourth
    assert float(found.arc_length) == pytest.approx(3)
    back = along_once(on_vectors, torch.stack([nothing, u, nothing]))
    assert back.angle.values[1] == pytest.approx(180)
    assert float(back.straightness) == 0


def along_once(on_vectors, points):
    stages = {10 * place: of(point) for place, point in enumerate(points)}
    return on_vectors(INPUTS, stages, name="another", widths=[3]).measure("weight_path")


def test_the_path_is_told(on_vectors):
    u, v, w = directions(3)
    corner = torch.stack([0 * u, 3 * u, 3 * u + 4 * v, 3 * u + 4 * v + 12 * w])
    told = summary("weight_path", along(on_vectors, corner).measure("weight_path")).sentence
    assert told.startswith("The path of the weights is 19 long and its ends are 13 apart, a ratio of 0.68; its first")
    assert told.endswith("of the squared distances from its mean, and one move and the next are at 90° on average.")
