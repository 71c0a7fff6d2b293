"""Hamiltonian dynamics against Gaussians, of which every moment is known."""

from __future__ import annotations

import math

import pytest
import torch

from interp.maths.hamiltonian import Dynamics, settled, trajectory


def quadratic(h):
    return lambda q: (float((h * q * q).sum()) / 2, h * q)


def test_under_the_gaussian_alone_a_step_turns_exactly_and_what_is_free_goes_straight():
    held = torch.tensor([1.0, 0.0], dtype=torch.float64)
    dynamics = Dynamics(quadratic(torch.zeros(2).double()), held)
    place = dynamics.at(torch.tensor([1.0, 1.0]).double())
    velocity = torch.tensor([0.5, 0.5]).double()
    there, moved = dynamics.leapfrog(place, velocity, 0.7)
    c, s = math.cos(0.7), math.sin(0.7)
    torch.testing.assert_close(there.q, torch.tensor([c + 0.5 * s, 1 + 0.5 * 0.7]).double())
    torch.testing.assert_close(moved, torch.tensor([0.5 * c - s, 0.5]).double())
    assert dynamics.energy(there, moved) == pytest.approx(dynamics.energy(place, velocity), rel=1e-12)


def test_a_trajectory_goes_back_the_way_it_came():
    dynamics = Dynamics(lambda q: (float(q.pow(4).sum()), 4 * q.pow(3)))
    place, velocity = dynamics.at(torch.tensor([0.3, -0.8]).double()), torch.tensor([1.0, 0.2]).double()
    there, moved = place, velocity
    for _ in range(5):
        there, moved = dynamics.leapfrog(there, moved, 0.1)
    for _ in range(5):
        there, moved = dynamics.leapfrog(there, -moved, 0.1)
        moved = -moved
    torch.testing.assert_close(there.q, place.q, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("step", [pytest.param(0.3, marks=pytest.mark.slow), 1.2])
def test_draws_have_the_variance_of_the_gaussian_however_coarse_the_step(step):
    """V is ½ h q² beside a Gaussian of variance 1: together of variance 1/(1 + h)."""
    h = torch.tensor([0.0, 0.5, 2.0]).double()
    dynamics, generator = Dynamics(quadratic(h)), torch.Generator().manual_seed(0)
    place, found = dynamics.at(torch.zeros(3).double()), []
    for _ in range(4_000):
        place, _ = trajectory(dynamics, place, step, 3, generator)
        found.append(place.q)
    torch.testing.assert_close(torch.stack(found).var(dim=0), 1 / (1 + h), rtol=0.12, atol=0)


def test_what_settles_finds_the_spread_and_a_step_that_most_trajectories_are_accepted_by():
    h = torch.logspace(0, 4, 200).double()
    dynamics, generator = Dynamics(quadratic(h)), torch.Generator().manual_seed(0)
    found = settled(dynamics, dynamics.at(torch.zeros(200).double()), 1.0, 400, generator)
    ratio = float((found.pull / found.spread).sqrt().log().sub((1 + h).log()).mean())
    assert abs(ratio) < 0.1  # √(variance of the slope / variance of q) is the precision
    place, accepted = found.place, 0
    for _ in range(100):
        place, moved = trajectory(dynamics, place, found.step, 10, generator)
        accepted += moved
    assert accepted > 60


def test_a_potential_that_is_nowhere_finite_has_no_step():
    dynamics = Dynamics(lambda q: (math.nan, q))
    with pytest.raises(FloatingPointError):
        settled(dynamics, dynamics.at(torch.zeros(2).double()), 0.1, 100, torch.Generator())
