"""AdamW against its formula and torch's own, a stack of networks at a time."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor

from interp.contracts.optimiser import Optimiser, UpdateRule
from interp.optimisers.adam import adam
from interp.optimisers.adamw import adamw
from tests.optimisers.rows import MEMBERS, WIDTH, advance, by_torch, gradient, rows


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_each_network_of_a_stack_moves_as_torch_s_own_moves_it(dtype: torch.dtype, tolerance: float) -> None:
    options = [(1e-3, 1.0, (0.9, 0.98), 1e-8), (0.03, 0.0, (0.99, 0.98), 1e-5), (0.01, 0.3, (0.0, 0.999), 1e-8)]
    rules: list[UpdateRule] = [adamw(*each, warmup=0) for each in options]
    stacked = rows(rules[0], dtype)
    fresh = stacked.weights.clone()
    advance(rules, stacked, range(20))
    for member, (lr, decay, betas, eps) in enumerate(options):
        expected = by_torch(torch.optim.AdamW, fresh[member], 20, lr=lr, weight_decay=decay, betas=betas, eps=eps)
        torch.testing.assert_close(stacked.weights[member], expected, rtol=tolerance, atol=tolerance)


def test_follows_its_formula_through_the_warm_up() -> None:
    lr, decay, (beta1, beta2), eps, warmup = 0.02, 0.7, (0.8, 0.95), 1e-8, 4
    rule = adamw(lr, decay, (beta1, beta2), eps, warmup)
    stacked = rows(rule)
    expected, m, v = stacked.weights.clone(), torch.zeros(MEMBERS, WIDTH), torch.zeros(MEMBERS, WIDTH)
    for i in range(10):
        rate, g = lr * min(i / warmup, 1), gradient(expected, i)
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        unbiased_m, unbiased_v = m / (1 - beta1 ** (i + 1)), v / (1 - beta2 ** (i + 1))
        expected = (1 - rate * decay) * expected - rate * unbiased_m / (unbiased_v.sqrt() + eps)
        advance([rule] * MEMBERS, stacked, range(i, i + 1))
        torch.testing.assert_close(stacked.weights, expected, rtol=1e-12, atol=1e-12)


def test_the_first_update_moves_nothing_in_a_warm_up_and_something_without() -> None:
    warm, cold, fresh = rows(adamw()), rows(adamw()), rows(adamw())
    advance([adamw()] * MEMBERS, warm, range(1))
    advance([adamw(warmup=0)] * MEMBERS, cold, range(1))
    assert torch.equal(warm.weights, fresh.weights)
    assert bool((cold.weights != fresh.weights).all())


@pytest.mark.parametrize("decay_at", ["before", "after"])
def test_a_decay_to_the_start_is_its_formula(decay_at: Literal["before", "after"]) -> None:
    lr, decay = 0.02, 0.7
    rule, plain = adamw(lr, decay, warmup=0, decay="to_init", decay_at=decay_at), adamw(lr, 0.0, warmup=0)
    stacked, alone = rows(rule), rows(plain)
    start = stacked.weights.clone()
    for i in range(8):
        w = stacked.weights.clone()
        alone.weights.copy_(w + lr * decay * (start - w) if decay_at == "before" else w)
        for kept in alone.kept:
            alone.kept[kept].copy_(stacked.kept[kept])
        alone.gradients.copy_(gradient(w, i))
        plain.move(alone, *torch.tensor([plain.numbers(i, 1.0)] * MEMBERS, dtype=torch.float64).T[..., None])
        moved = alone.weights
        expected = moved if decay_at == "before" else moved + lr * decay * (start - moved)
        advance([rule] * MEMBERS, stacked, range(i, i + 1))
        torch.testing.assert_close(stacked.weights, expected, rtol=1e-12, atol=1e-12)


def test_a_jiggle_multiplies_by_numbers_whose_logarithms_have_the_stated_spread() -> None:
    lr, decay = 0.1, 0.5
    rule = adamw(lr, decay, warmup=0, decay="jiggle")
    stacked = rows(rule, members=2, width=40_000)
    start = stacked.weights.clone()
    advance([rule] * 2, stacked, range(1), of=lambda weights, _: torch.zeros_like(weights))
    logarithms = (stacked.weights / start).log().flatten()
    assert float(logarithms.mean()) == pytest.approx(0, abs=4 * lr * decay / 80_000**0.5)
    assert float(logarithms.std()) == pytest.approx(lr * decay, rel=0.01)


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_adam_with_its_decay_in_the_gradient_moves_as_torch_s_own(l2: float) -> None:
    rule = adam(0.01, l2)
    stacked = rows(rule)
    fresh = stacked.weights.clone()
    advance([rule] * MEMBERS, stacked, range(20))
    for member in range(MEMBERS):
        expected = by_torch(torch.optim.Adam, fresh[member], 20, lr=0.01, weight_decay=l2, betas=(0.9, 0.98))
        torch.testing.assert_close(stacked.weights[member], expected, rtol=1e-12, atol=1e-12)


def test_a_beta_that_keeps_everything_is_refused() -> None:
    with pytest.raises(ValueError, match=r"betas is \[1.0, 0.98\]; each is a share"):
        adamw(betas=(1.0, 0.98))


def test_one_of_torch_s_without_moments_needs_no_code_of_its_own() -> None:
    weights = [torch.ones(3)]
    weights[0].grad = torch.ones(3)
    sgd = Optimiser(torch.optim.SGD(weights, lr=0.1))
    sgd.update(lambda: 0.0, 1.0)
    sgd.update(lambda: 0.0, 0.5)
    assert weights[0].tolist() == pytest.approx([1 - 0.1 - 0.05] * 3)
    assert all(isinstance(tensor, Tensor) for tensor in sgd.state().values())
    again = Optimiser(torch.optim.SGD(weights, lr=0.1))
    again.load(sgd.state())
    assert again.updates == 2
