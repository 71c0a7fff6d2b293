"""Gradient descent against its formula, and its state against an uninterrupted course."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from interp.optimisers.sgd import sgd
from tests.optimisers.test_adamw import advance, parameters

OPTIONS = [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.3}]


@pytest.mark.parametrize("options", OPTIONS)
def test_follows_its_formula(options: dict[str, Any]) -> None:
    lr, momentum, decay = 0.02, options.get("momentum", 0), options.get("weight_decay", 0)
    weights = parameters()
    expected, optimiser = [weight.clone() for weight in weights], sgd(weights, lr=lr, **options)
    v = [torch.zeros_like(weight) for weight in weights]
    for i in range(10):
        for k, weight in enumerate(expected):
            g = torch.sin(weight * (i + 1)) + decay * weight
            v[k] = momentum * v[k] + g
            expected[k] = weight - lr * (g + momentum * v[k] if options.get("nesterov") else v[k])
        advance(optimiser, weights, range(i, i + 1))
        torch.testing.assert_close(weights, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("stop", [0, 3])
def test_goes_on_bit_for_bit_from_its_state(options: dict[str, Any], stop: int) -> None:
    whole, parted = parameters(), parameters()
    advance(sgd(whole, **options), whole, range(20))
    first = sgd(parted, **options)
    advance(first, parted, range(stop))
    second = sgd(parted, **options)
    second.load({name: tensor.clone() for name, tensor in first.state().items()})
    advance(second, parted, range(stop, 20))
    assert all(torch.equal(a, b) for a, b in zip(whole, parted, strict=True))


def test_nesterov_without_momentum_is_refused() -> None:
    with pytest.raises(ValueError, match="momentum"):
        sgd(parameters(), nesterov=True)
