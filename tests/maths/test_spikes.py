"""Spikes of curves drawn by hand."""

from __future__ import annotations

import numpy as np

from interp.maths.spikes import spikes


def found(*values, times=10.0, floor=1e-6):
    return [
        (one.begin, one.peak, one.end, one.before, one.times) for one in spikes(np.array(values, float), times, floor)
    ]


def test_a_curve_that_falls_has_none():
    assert found(5, 3, 3, 1, 0.5, 1, 2, 1) == []


def test_each_leap_counts_once_from_its_first_high_place_until_it_is_back():
    assert found(5, 1, 20, 40, 12, 2, 1, 0.5, 6, 0.5) == [(2, 3, 5, 1, 40), (8, 8, 9, 7, 12)]


def test_one_that_does_not_come_back_lasts_to_the_end():
    assert found(1, 30, 20, 10) == [(1, 1, 3, 0, 30)]


def test_what_is_as_good_as_nothing_has_no_spikes():
    assert found(1, 1e-9, 1e-7, 1e-9) == []
    assert [round(one[4]) for one in found(1, 1e-9, 1e-4, 1e-9)] == [100]


def test_places_without_a_number_are_passed():
    assert found(1, np.nan, 30, np.nan, 1) == [(2, 2, 4, 0, 30)]
