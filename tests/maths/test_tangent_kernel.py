"""The tangent kernel against closed forms."""

from __future__ import annotations

import pytest
import torch

from interp.maths.tangent_kernel import directions, similarity, tangent_kernel

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_of_a_linear_network_it_is_the_products_of_its_inputs_for_each_output(n_outputs: int) -> None:
    weights = torch.randn(4 * n_outputs, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = tangent_kernel(lambda w: X @ w.view(4, n_outputs), weights, directions(n_outputs, 8, seed=0))
    torch.testing.assert_close(found, n_outputs * X @ X.T)


def test_of_two_linear_layers_it_is_the_closed_form() -> None:
    """f = x U V has K = x x' (tr V Vᵀ) + (x U)(x' U)ᵀ · outputs."""
    U, V = (torch.randn(*shape, dtype=torch.float64) for shape in ((4, 5), (5, 3)))
    flat = torch.cat([U.flatten(), V.flatten()])

    def outputs(w: torch.Tensor) -> torch.Tensor:
        return X @ w[:20].view(4, 5) @ w[20:].view(5, 3)

    expected = X @ X.T * (V @ V.T).trace() + 3 * (X @ U) @ (X @ U).T
    torch.testing.assert_close(tangent_kernel(outputs, flat, directions(3, 8, seed=0)), expected)


def test_random_directions_give_it_on_average() -> None:
    weights = torch.randn(4 * 6, dtype=torch.float64)

    def outputs(w: torch.Tensor) -> torch.Tensor:
        return (X @ w.view(4, 6)).tanh()

    whole = tangent_kernel(outputs, weights, directions(6, 6, seed=0))
    draws = [tangent_kernel(outputs, weights, directions(6, 2, seed=seed)) for seed in range(200)]
    mean, error = torch.stack(draws).mean(0), torch.stack(draws).std(0) / 200**0.5
    assert bool(((mean - whole).abs() <= 5 * error + 1e-9).all())


def test_kernels_that_are_multiples_are_alike_and_nothing_is_like_nothing() -> None:
    K = X @ X.T
    assert similarity(K, 3 * K) == pytest.approx(1)
    assert similarity(K, 0 * K) != similarity(K, 0 * K)
