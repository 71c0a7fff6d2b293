from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from interp.maths.standard_error import standard_error

POPULATION = np.array([0.0, 1.0, 1.0, 3.0, 7.0, 12.0])


@pytest.mark.parametrize("n", [2, 3, 5])
def test_its_square_is_on_average_the_variance_of_the_means_of_all_samples_without_replacement(n):
    samples = [np.array(sample) for sample in itertools.combinations(POPULATION, n)]
    squares = [0 if np.ptp(s) == 0 else standard_error(s, counted=n / len(POPULATION)) ** 2 for s in samples]
    assert np.mean(squares) == pytest.approx(np.var([sample.mean() for sample in samples]))


def test_of_a_few_out_of_many_it_is_the_spread_over_the_root_of_their_number():
    assert standard_error(POPULATION) == pytest.approx(POPULATION.std(ddof=1) / math.sqrt(6))


@pytest.mark.parametrize("values", [POPULATION, np.ones(6), np.ones(1)])
def test_where_all_were_counted_it_is_0(values):
    assert standard_error(values, counted=1.0) == 0


@pytest.mark.parametrize("values", [np.ones(1), np.ones(6), np.zeros(6), 1 + 1e-15 * POPULATION])
def test_one_draw_and_draws_that_are_alike_tell_nothing_of_it(values):
    assert math.isnan(standard_error(values))


@pytest.mark.parametrize("counted", [0.0, 0.5, 1.0])
def test_there_is_none_of_a_mean_that_is_no_number(counted):
    assert math.isnan(standard_error(np.array([1.0, np.nan, 2.0]), counted))
    assert math.isnan(standard_error(np.array([1.0, np.inf, 2.0]), counted))
