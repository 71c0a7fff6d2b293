"""AdamW against its formula, and its state against an uninterrupted course."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from interp.contracts.optimiser import Optimiser
from interp.optimisers.adamw import adamw


def parameters() -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(3, 4, dtype=torch.float64), torch.randn(5, dtype=torch.float64)]


def advance(optimiser: Optimiser, weights: list[Tensor], updates: range) -> None:
    for i in updates:
        for weight in weights:
            weight.grad = torch.sin(weight * (i + 1))
        optimiser.update()


def test_follows_its_formula_through_the_warm_up() -> None:
    lr, decay, (beta1, beta2), eps, warmup = 0.02, 0.7, (0.8, 0.95), 1e-8, 4
    weights = parameters()
    expected, optimiser = [weight.clone() for weight in weights], adamw(weights, lr, decay, (beta1, beta2), eps, warmup)
    m, v = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    for i in range(10):
        rate = lr * min(i / warmup, 1)
        for k, weight in enumerate(expected):
            gradient = torch.sin(weight * (i + 1))
            m[k], v[k] = beta1 * m[k] + (1 - beta1) * gradient, beta2 * v[k] + (1 - beta2) * gradient**2
            unbiased_m, unbiased_v = m[k] / (1 - beta1 ** (i + 1)), v[k] / (1 - beta2 ** (i + 1))
            expected[k] = (1 - rate * decay) * weight - rate * unbiased_m / (unbiased_v.sqrt() + eps)
        advance(optimiser, weights, range(i, i + 1))
        torch.testing.assert_close(weights, expected, rtol=1e-12, atol=1e-12)


def test_the_first_update_moves_nothing_in_a_warm_up_and_something_without() -> None:
    warm, cold = parameters(), parameters()
    advance(adamw(warm), warm, range(1))
    advance(adamw(cold, warmup=0), cold, range(1))
    torch.testing.assert_close(warm, parameters(), rtol=0, atol=0)
    assert not torch.equal(cold[0], parameters()[0])


@pytest.mark.parametrize("stop", [0, 3, 12])
def test_goes_on_bit_for_bit_from_its_state(stop: int) -> None:
    whole, parted = parameters(), parameters()
    advance(adamw(whole), whole, range(20))
    first = adamw(parted)
    advance(first, parted, range(stop))
    state = {name: tensor.clone() for name, tensor in first.state().items()}
    second = adamw(parted)
    second.load(state)
    advance(second, parted, range(stop, 20))
    assert all(torch.equal(a, b) for a, b in zip(whole, parted, strict=True))


def test_an_optimiser_without_moments_needs_no_code_of_its_own() -> None:
    weights = parameters()
    sgd = Optimiser(torch.optim.SGD(weights, lr=0.1))
    advance(sgd, weights, range(2))
    assert all(isinstance(tensor, Tensor) for tensor in sgd.state().values())
    again = Optimiser(torch.optim.SGD(weights, lr=0.1))
    again.load(sgd.state())
    assert again.updates == 2
