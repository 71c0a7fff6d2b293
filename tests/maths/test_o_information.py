"""O-information of Gaussians, in closed form."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from interp.maths.o_information import gaussian_entropies, multiplets, normal_scores, o_information_of


def entropy(covariance):
    return math.log((2 * math.pi * math.e) ** len(covariance) * np.linalg.det(covariance)) / 2


def alike(n, noise):
    """One hidden number seen n times, each with noise of this variance."""
    return np.ones((n, n)) + noise * np.eye(n)


SUM = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 2.1]])
"""Two independent numbers and their sum, with a little noise."""


def test_the_entropies_are_those_of_gaussians():
    root = np.random.default_rng(0).normal(size=(5, 5))
    covariance = root @ root.T
    found = gaussian_entropies(covariance, None)
    assert len(found) == 2**5
    for size in range(1, 6):
        for subset in itertools.combinations(range(5), size):
            assert found[subset] == pytest.approx(entropy(covariance[np.ix_(subset, subset)]))


@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_the_same_number_seen_thrice_is_redundant(noise):
    """|n seen| = noiseⁿ⁻¹(noise + n), so Ω = ½ ln of a ratio of these."""
    found = o_information_of(gaussian_entropies(alike(3, noise), None), (0, 1, 2))
    determinants = [noise ** (n - 1) * (noise + n) for n in (1, 2, 3)]
    expected = (math.log(determinants[2]) + 3 * (math.log(determinants[0]) - math.log(determinants[1]))) / 2
    assert found == pytest.approx(expected)
    assert found > 0


def test_a_sum_and_its_parts_are_synergistic_by_what_noise_leaves():
    found = o_information_of(gaussian_entropies(SUM, None), (0, 1, 2))
    # |Σ| = 0.1; each alone 1, 1, 2.1; the pairs 1 (parts), 1.1 and 1.1 (a part and the sum)
    assert found == pytest.approx((math.log(0.1) + math.log(2.1) - 2 * math.log(1.1)) / 2)
    assert found < 0


def test_of_two_variables_it_is_nothing_and_of_independent_ones_too():
    assert o_information_of(gaussian_entropies(SUM[:2, :2] + 0.3, None), (0, 1)) == pytest.approx(0, abs=1e-12)
    assert o_information_of(gaussian_entropies(np.diag([1.0, 2.0, 3.0]), None), (0, 1, 2)) == pytest.approx(
        0, abs=1e-12
    )


def test_sets_are_found_by_what_was_put_in():
    covariance = np.zeros((6, 6))
    covariance[:3, :3], covariance[3:, 3:] = SUM, alike(3, 0.1)
    found = multiplets(gaussian_entropies(covariance, None))
    assert len(found) == 2**6 - 1 - 6 - 15
    assert set(found[0].members) >= {0, 1, 2}
    assert found[0].information == pytest.approx(o_information_of(gaussian_entropies(SUM, None), (0, 1, 2)))
    assert set(found[-1].members) >= {3, 4, 5}


def test_a_variable_that_is_fixed_by_others_has_no_information():
    fixed = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 2.0]])
    assert multiplets(gaussian_entropies(fixed, None)) == []


def test_samples_have_the_entropy_of_their_distribution_on_average():
    random = np.random.default_rng(1)
    root = np.linalg.cholesky(SUM)
    found = []
    for _ in range(2000):
        drawn = random.normal(size=(20, 3)) @ root.T
        found.append(gaussian_entropies(np.cov(drawn.T), 20)[(0, 1, 2)])
    error = np.std(found) / math.sqrt(len(found))
    assert np.mean(found) == pytest.approx(entropy(SUM), abs=4 * error)


def test_normal_scores_are_blind_to_how_each_variable_is_measured():
    drawn = np.random.default_rng(2).normal(size=(50, 2))
    np.testing.assert_allclose(normal_scores(np.exp(drawn)), normal_scores(drawn))
    scores = normal_scores(np.array([[1.0], [2.0], [2.0], [9.0]]))
    assert scores[1] == scores[2] == 0
    assert scores[0, 0] == pytest.approx(-scores[3, 0])
