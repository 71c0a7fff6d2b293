from __future__ import annotations

from decimal import Decimal, getcontext

import pytest
import torch

from interp.maths.landscape import flattened, rounding_error, unflattened, value_and_gradient

getcontext().prec = 60


def test_a_vector_holds_every_parameter_and_gives_it_back():
    weights = {"W": torch.arange(6.0).view(2, 3), "heads": torch.arange(8.0).view(2, 2, 2), "b": torch.tensor([9.0])}
    vector = flattened(weights)
    assert vector.tolist() == [*range(6), *range(8), 9]
    back = unflattened(vector, {name: value.shape for name, value in weights.items()})
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], weights[name]) for name in weights)


def test_a_loss_of_the_parts_has_its_gradient_in_the_vector():
    shapes = {"a": (2,), "b": (1, 2)}
    x = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    value, gradient = value_and_gradient(lambda v: (unflattened(v, shapes)["b"] ** 2).sum() + v[0], x)
    assert value == 26
    assert gradient.tolist() == [1, 0, 6, 8]
    assert not x.requires_grad


@pytest.mark.parametrize("cancelling", [1.0, 1e3, 1e6])
def test_the_rounding_error_is_that_of_the_computed_value(cancelling):
    """Against 60 digits; a sum whose large terms cancel loses what they are rounded by."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, generator=generator, dtype=torch.float64)
    x = torch.cat([x, cancelling * x, -cancelling * x * (1 + 1e-3)])

    def loss(v):
        return (v**3).sum()

    exact = sum(Decimal(value) ** 3 for value in x.tolist())
    error = float(abs(Decimal(float(loss(x))) - exact))
    estimate = rounding_error(loss, x)
    assert error < 4 * estimate
    assert estimate < 1e-14 * float((x.abs() ** 3).sum())


def test_a_sum_that_loses_more_has_a_larger_rounding_error():
    x = torch.tensor([1.0, 1e6, -1e6], dtype=torch.float64)
    assert rounding_error(torch.sum, x) > 1e4 * rounding_error(torch.sum, x[:1])
