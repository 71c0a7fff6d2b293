"""Hjorth's descriptors of sines, in closed form, with and without a trend."""

from __future__ import annotations

import math

import numpy as np
import pytest

from interp.maths.hjorth import hjorth_of, without_trend

COUNT, APART, HEIGHT = 400, 5.0, 0.3


def sine(cycles, phase=0.0):
    return HEIGHT * np.sin(2 * math.pi * cycles * np.arange(COUNT) / COUNT + phase)


def sampled(cycles):
    """The frequency of a sine, in radians per unit of time, as differences of neighbours have it."""
    return 2 / APART * math.sin(math.pi * cycles / COUNT)


@pytest.mark.parametrize("cycles", [10, 25, 100])
def test_of_a_sine_both_mobilities_are_its_frequency(cycles):
    found = hjorth_of(sine(cycles, phase=0.4), APART)
    assert found.activity == pytest.approx(HEIGHT**2 / 2)
    assert found.mobility == pytest.approx(sampled(cycles), rel=6e-3)
    assert found.complexity == pytest.approx(sampled(cycles), rel=6e-3)


def test_of_two_sines_they_are_the_moments_of_two_lines():
    found = hjorth_of(sine(10) + 0.5 * sine(60), APART)
    low, high = sampled(10), sampled(60)
    m0, m2, m4 = (low**n + 0.25 * high**n for n in (0, 2, 4))
    assert found.mobility == pytest.approx(math.sqrt(m2 / m0), rel=6e-3)
    assert found.complexity == pytest.approx(math.sqrt(m4 / m2), rel=6e-3)


def test_the_trend_goes_and_the_swings_stay():
    time = np.linspace(0, 1, COUNT)
    trend = 5 * np.exp(-3 * time) + 2 * time
    found = hjorth_of(without_trend(trend + sine(25), 4.0), APART)
    assert found.activity == pytest.approx(HEIGHT**2 / 2, rel=0.02)
    assert found.mobility == pytest.approx(sampled(25), rel=0.02)
    assert found.complexity == pytest.approx(sampled(25), rel=0.02)
    assert np.var(without_trend(trend, 4.0)) < 1e-3 * np.var(trend)


def test_what_does_not_vary_has_an_activity_of_nothing_and_no_frequency():
    found = hjorth_of(np.full(30, 2.0), 1.0)
    assert found.activity == 0
    assert math.isnan(found.mobility)
    assert math.isnan(found.complexity)
