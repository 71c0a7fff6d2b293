from __future__ import annotations

import numpy as np
import pytest

from interp.maths.histograms import nested_histogram


def test_bins_are_as_narrow_as_a_power_of_two_can_be():
    counts, width = nested_histogram(np.array([-1.0, -0.01, 0.0, 0.3, 0.99]), 4)
    assert width == 0.25
    assert counts.tolist() == [1, 0, 0, 1, 1, 1, 0, 1]
    assert nested_histogram(np.array([1.01]), 4)[1] == 0.5


def test_the_largest_value_is_in_the_last_bin():
    counts, width = nested_histogram(np.array([1.0]), 4)
    assert (width, counts.tolist()) == (0.25, [0, 0, 0, 0, 0, 0, 0, 1])


def test_zeros_alone_have_a_histogram():
    assert nested_histogram(np.zeros(3), 2)[0].tolist() == [0, 0, 3, 0]


@pytest.mark.parametrize("factor", [1, 2, 8])
def test_a_wide_bin_is_so_many_narrow_ones(factor):
    values = np.random.default_rng(0).normal(0, 1, 5000)
    narrow, width = nested_histogram(values, 32)
    wide, wider = nested_histogram(np.append(values, 32 * factor * width), 32)
    assert wider == factor * width
    of_narrow = narrow.reshape(-1, factor).sum(1)
    middle = slice(32 - 32 // factor, 32 + 32 // factor)
    assert (wide[middle] - of_narrow).tolist() == ([0] * (64 // factor - 1) + [factor == 1])
