from __future__ import annotations

import pytest
import torch

from interp.maths.matrix_products import OneDNN, affine_product, product, product_plus


def matrices(rows, inner, columns, transposed):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(inner, rows, generator=generator).T if transposed else torch.randn(rows, inner, generator=generator)
    return x, torch.randn(inner, columns, generator=generator)


@pytest.mark.parametrize("shape", [(40, 30, 50), (50, 30, 40), (3, 30, 5), (1, 1, 1), (0, 4, 5), (4, 0, 5)])
@pytest.mark.parametrize("transposed", [False, True])
def test_within_the_block_products_are_the_same(shape, transposed):
    x, W = matrices(*shape, transposed)
    with OneDNN():
        inside = x @ W
    torch.testing.assert_close(inside, x @ W, rtol=1e-5, atol=1e-5)
    assert inside.shape == (shape[0], shape[2])


def test_what_is_differentiated_within_the_block_is_the_same():
    x, W = matrices(40, 30, 50, False)

    def twice(x, W):
        x, W = x.clone().requires_grad_(), W.clone().requires_grad_()
        (first,) = torch.autograd.grad((x @ W).square().sum(), x, create_graph=True)
        return torch.autograd.grad(first.square().sum(), (x, W))

    with OneDNN():
        inside = twice(x, W)
    torch.testing.assert_close(inside, twice(x, W), rtol=1e-4, atol=1e-2)


def test_float64_is_left_as_it_is():
    x, W = (matrix.double() for matrix in matrices(40, 30, 50, False))
    with OneDNN():
        assert torch.equal(x @ W, torch.matmul(x, W))
    assert torch.equal(product(x, W), x @ W)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_with_something_added_are_the_same(dtype):
    x, W = (matrix.to(dtype) for matrix in matrices(40, 30, 50, False))
    bias, more = torch.arange(50).to(dtype) - 25, torch.ones(40, 50, dtype=dtype)
    torch.testing.assert_close(affine_product(x, W, bias), x @ W + bias, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(affine_product(x, W, bias, relu=True), (x @ W + bias).relu(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(product_plus(x, W, more), x @ W + 1, rtol=1e-5, atol=1e-5)
    assert bool((more == 1).all())
