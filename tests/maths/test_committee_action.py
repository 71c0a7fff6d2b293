"""The finite-d fixed points of Rubin et al.'s equations, and what they become where nothing is learnt."""

from __future__ import annotations

import numpy as np
import pytest

from interp.maths.committee_action import Setting, solved

BASE = {"d": 150, "neurons": 700, "examples": 3000, "sigma_w2": 0.5, "sigma_a2": 8 / 700, "epsilon": -0.3}


@pytest.mark.parametrize(
    ("noise", "u", "b", "c"),
    [(0.30, 10.9, 0.503, -0.289), (0.20, 24.5, 0.328, -0.278), (0.18, 30.2, 0.291, -0.273), (0.10, 98, 0.136, -0.226)],
)
def test_the_fixed_points_at_150_dimensions(noise, u, b, c):
    setting = Setting(**BASE, noise=noise)
    found = solved(setting)
    assert setting.u == pytest.approx(u, rel=0.005)
    assert (found.b, found.c) == pytest.approx((b, c), abs=0.001)


@pytest.mark.slow
def test_where_there_is_nothing_but_noise_all_of_the_target_is_left_and_overlaps_are_the_prior_s():
    found = solved(Setting(**{**BASE, "examples": 1}, noise=100.0))
    assert (found.b, found.c) == pytest.approx((1, -0.3), abs=1e-3)
    variance = (found.density * found.q**2).sum() / found.density.sum()
    assert variance == pytest.approx(0.5 / 150, rel=0.01)


def test_the_side_wells_are_level_with_the_centre_at_the_transition():
    """With b 0.31, c -0.30 and u 30.2, S(1)/d is about 0 (the paper's critical point)."""
    setting = Setting(**BASE, noise=0.18)
    assert abs(float(setting.action(np.array([1.0]), 0.31, -0.30)[0]) / 150) < 0.02
