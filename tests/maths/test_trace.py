from __future__ import annotations

import torch

from interp.maths.trace import trace, trace_of_square

N = 60


def matrix():
    square = torch.randn(N, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = torch.cat([torch.tensor([50.0, 30.0], dtype=torch.float64), torch.linspace(-1, 2, N - 2).double()])
    directions = torch.linalg.qr(square).Q
    return directions, values, (directions * values) @ directions.T


def signs(probes, n, seed):
    return 2.0 * torch.randint(0, 2, (probes, n), generator=torch.Generator().manual_seed(seed)).double() - 1


NOTHING = torch.zeros(0, N, dtype=torch.float64), torch.zeros(0, dtype=torch.float64)


def test_the_trace_of_a_diagonal_matrix_is_exact():
    diagonal = torch.linspace(-1, 3, N, dtype=torch.float64)
    found = trace(lambda rows: rows * diagonal, signs(4, N, 0), *NOTHING)
    torch.testing.assert_close(found.value, diagonal.sum())
    assert found.se < 1e-12


def test_the_trace_lies_within_its_error_bar_as_often_as_it_should():
    directions, values, full = matrix()
    inside = directions.T[:2], values[:2]
    within = 0
    for seed in range(300):
        found = trace(lambda rows: rows @ full, signs(20, N, seed), *inside)
        within += bool((found.value - values.sum()).abs() <= 2.093 * found.se)  # Student's t, 19 degrees of freedom
    assert 270 <= within <= 297  # 285 expected; four standard deviations are 15


def test_eigenvectors_take_their_part_of_the_error_away():
    directions, values, full = matrix()
    plain = trace(lambda rows: rows @ full, signs(20, N, 0), *NOTHING)
    deflated = trace(lambda rows: rows @ full, signs(20, N, 0), directions.T[:2], values[:2])
    assert deflated.se < plain.se / 5


def test_any_vectors_leave_it_unbiased():
    _, values, full = matrix()
    vectors = torch.linalg.qr(torch.randn(N, 3, generator=torch.Generator().manual_seed(3)).double()).Q.T
    found = trace(lambda rows: rows @ full, signs(20_000, N, 0), vectors, (vectors @ full * vectors).sum(1))
    assert (found.value - values.sum()).abs() < 4 * found.se < 0.02 * values.sum()


def test_the_trace_of_a_square_is_that_of_the_product():
    root = torch.randn(N, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values, vectors = torch.linalg.eigh(root @ root.T)
    found = trace_of_square(lambda u: u @ root.T, signs(2_000, 40, 0), vectors.T[-3:], values[-3:])
    assert (found.value - values.sum()).abs() < 4 * found.se < 0.02 * values.sum()
