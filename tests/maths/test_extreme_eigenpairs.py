from __future__ import annotations

import pytest
import torch

from interp.maths.extreme_eigenpairs import EXPLORED, _Space, extreme_eigenpairs

N = 300


def bowl(values, seed=0):
    """A symmetric matrix of these eigenvalues, in directions drawn at random, as a product; and the directions."""
    generator = torch.Generator().manual_seed(seed)
    square = torch.randn(len(values), len(values), generator=generator, dtype=torch.float64)
    directions = torch.linalg.qr(square).Q
    return lambda rows: (((rows.double() @ directions) * values) @ directions.T).to(rows), directions


def drawn(rows, n=N, seed=1, dtype=torch.float64):
    return torch.randn(rows, n, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def spread(n=N):
    """A few outliers above a dense bulk about 0."""
    bulk = 0.1 * torch.randn(n - 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return torch.cat([torch.tensor([5.0, 3.0, 2.5, 1.5, 1.0], dtype=torch.float64), bulk])


SPECTRA = {
    "outliers": spread(),
    "clustered": torch.cat([3 + 1e-7 * torch.arange(5, dtype=torch.float64), spread()[5:]]),
    "degenerate": torch.cat([torch.full((5,), 3, dtype=torch.float64), spread()[5:]]),
    "more equal ones than asked for": torch.cat([torch.full((7,), 3, dtype=torch.float64), spread()[7:]]),
    "negative definite": -1 - spread().abs(),
    "negative outlier": torch.cat([torch.tensor([-9.0], dtype=torch.float64), spread()[1:]]),
    "dense": torch.linspace(-1, 1, N, dtype=torch.float64),
    "rank one": torch.cat([torch.ones(1, dtype=torch.float64), torch.zeros(N - 1, dtype=torch.float64)]),
    "zero": torch.zeros(N, dtype=torch.float64),
}


@pytest.mark.parametrize("name", SPECTRA)
def test_the_ends_of_a_given_spectrum_are_found(name):
    values = SPECTRA[name]
    product, _ = bowl(values)
    found = extreme_eigenpairs(product, drawn(9), 5, 1, tolerance=1e-4, smallest_tolerance=1e-4)
    assert found.converged
    ordered = values.sort(descending=True).values
    torch.testing.assert_close(found.largest, ordered[:5], rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(found.smallest, ordered[-1:], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", ["outliers", "degenerate", "negative definite"])
def test_vectors_are_orthonormal_and_residuals_are_theirs(name):
    product, _ = bowl(SPECTRA[name])
    found = extreme_eigenpairs(product, drawn(8), 5, 1)
    torch.testing.assert_close(found.vectors @ found.vectors.T, torch.eye(5, dtype=torch.float64))
    left = product(found.vectors) - found.largest[:, None] * found.vectors
    torch.testing.assert_close(left.norm(dim=1), found.largest_residual, rtol=1e-6, atol=1e-10)
    assert (found.largest_residual <= 1e-3 * found.largest.abs()).all()


def test_vectors_are_those_of_the_bowl():
    product, directions = bowl(spread())
    found = extreme_eigenpairs(product, drawn(8), 5, tolerance=1e-6)
    torch.testing.assert_close(
        (found.vectors @ directions[:, :5]).abs(), torch.eye(5, dtype=torch.float64), atol=1e-5, rtol=0
    )


def test_float32_gives_six_digits():
    product, _ = bowl(spread())
    found = extreme_eigenpairs(product, drawn(8, dtype=torch.float32), 5, tolerance=1e-4)
    torch.testing.assert_close(found.largest, spread()[:5], rtol=1e-6, atol=0)


def test_a_search_that_starts_where_another_ended_takes_few_products():
    product, _ = bowl(spread())
    cold = extreme_eigenpairs(product, drawn(8), 5)
    warm = extreme_eigenpairs(product, cold.start, 5)
    assert warm.products <= len(cold.start) + EXPLORED < cold.products
    torch.testing.assert_close(warm.largest, cold.largest, rtol=1e-6, atol=0)


def test_warm_and_cold_agree_where_an_eigenvalue_has_overtaken():
    before, after = spread(), spread()
    after[250] = 4.0
    cold = extreme_eigenpairs(bowl(before)[0], drawn(8), 5)
    product = bowl(after)[0]
    noise = 1e-3 * drawn(len(cold.start), seed=5) / N**0.5
    warm = extreme_eigenpairs(product, cold.start + noise, 5)
    torch.testing.assert_close(warm.largest, after.sort(descending=True).values[:5], rtol=1e-6, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("place", [1, 3, 8, 14])
def test_two_that_are_followed_at_a_dense_negative_end_find_the_one_that_has_overtaken(place):
    """All that is negative is small beside the positive bulk, so that products with anything else lead away from it."""
    before = torch.linspace(-0.01, 5, N, dtype=torch.float64) ** 3
    before[:20] = -torch.linspace(0.01, 0.001, 20, dtype=torch.float64)
    after = before.clone()
    after[place] = -0.013
    cold = extreme_eigenpairs(bowl(before)[0], drawn(9), 5, 2, smallest_tolerance=0.1)
    warm = extreme_eigenpairs(bowl(after)[0], cold.start, 5, 2, smallest_tolerance=0.1)
    torch.testing.assert_close(warm.smallest[0], after[place], rtol=0.1, atol=0)


def test_a_search_that_starts_from_every_direction_misses_none():
    values = SPECTRA["dense"]
    found = extreme_eigenpairs(bowl(values)[0], torch.eye(N, dtype=torch.float64), 5, 2)
    assert found.products == N
    torch.testing.assert_close(found.largest, values.flip(0)[:5])
    torch.testing.assert_close(found.smallest, values[:2])


def test_rows_that_hardly_differ_leave_the_space_orthonormal_in_float32():
    product, directions = bowl(spread())
    space = _Space(product, drawn(8, dtype=torch.float32), 48)
    rows = directions.T[:1].float() + 5e-4 * drawn(5, seed=3, dtype=torch.float32) / N**0.5
    space.widen(rows)
    basis = space.vectors(torch.eye(space.size, dtype=torch.float64)).double()
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis), dtype=torch.float64), rtol=0, atol=1e-6)


def test_a_search_that_may_not_go_on_says_how_far_it_came():
    product, _ = bowl(SPECTRA["dense"])
    found = extreme_eigenpairs(product, drawn(8), 5, most=20)
    assert 20 <= found.products <= 25
    assert not found.converged
    assert (found.largest_residual > 1e-3 * found.largest.abs()).any()
    true = SPECTRA["dense"].sort(descending=True).values[:5]
    assert ((found.largest[:, None] - SPECTRA["dense"]).abs().amin(1) <= found.largest_residual).all()
    assert (found.largest <= true + 1e-12).all()


def test_products_that_are_not_finite_are_refused():
    with pytest.raises(FloatingPointError):
        extreme_eigenpairs(lambda rows: rows * torch.inf, drawn(8), 5)


def test_too_few_vectors_to_start_from_are_refused():
    product, _ = bowl(spread())
    with pytest.raises(ValueError, match="1 independent vectors to start from, 5 eigenvalues asked for"):
        extreme_eigenpairs(product, torch.ones(8, N, dtype=torch.float64), 5)


def test_a_matrix_hardly_larger_than_the_question():
    values = torch.arange(6, dtype=torch.float64) - 2
    found = extreme_eigenpairs(bowl(values)[0], drawn(6, 6), 5, 1)
    torch.testing.assert_close(found.largest, values.flip(0)[:5])
    torch.testing.assert_close(found.smallest, values[:1])
