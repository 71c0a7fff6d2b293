"""Gradient descent, a stack of networks at a time, against torch's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from interp.contracts.optimiser import UpdateRule
from interp.optimisers.sgd import sgd
from tests.optimisers.rows import advance, by_torch, rows

OPTIONS: list[list[dict[str, Any]]] = [
    [{}, {"weight_decay": 0.3}, {"lr": 0.5}],
    [{"momentum": 0.9}, {}, {"momentum": 0.5, "weight_decay": 0.3}],
    [{"momentum": m, "nesterov": True, "weight_decay": 0.1} for m in (0.9, 0.5, 0.1)],
]


@pytest.mark.parametrize("options", OPTIONS)
def test_each_network_of_a_stack_moves_as_torch_s_own_moves_it(options: list[dict[str, Any]]) -> None:
    rules: list[UpdateRule] = [sgd(**each) for each in options]
    assert len({rule.operations for rule in rules}) == 1
    stacked = rows(rules[0])
    fresh = stacked.weights.clone()
    advance(rules, stacked, range(20))
    for member, each in enumerate(options):
        expected = by_torch(torch.optim.SGD, fresh[member], 20, **{"lr": 0.1, **each})
        torch.testing.assert_close(stacked.weights[member], expected, rtol=1e-12, atol=1e-12)


def test_with_and_without_nesterov_are_other_operations() -> None:
    assert sgd(momentum=0.5).operations != sgd(momentum=0.5, nesterov=True).operations


def test_nesterov_without_momentum_is_refused() -> None:
    with pytest.raises(ValueError, match=r"momentum is 0; give a momentum"):
        sgd(nesterov=True)


def test_a_decoupled_decay_shrinks_the_weights_by_itself() -> None:
    rule, plain = sgd(0.05, 0.9, weight_decay=0.3, decoupled=True), sgd(0.05, 0.9)
    stacked, alone = rows(rule), rows(plain)
    for i in range(5):
        alone.weights.copy_(stacked.weights * (1 - 0.05 * 0.3))
        alone.gradients.copy_(slope := torch.sin(stacked.weights * (i + 1)))
        plain.move(alone, *torch.tensor([plain.numbers(i, 1.0)] * len(slope), dtype=torch.float64).T[..., None])
        advance([rule] * len(slope), stacked, range(i, i + 1))
        torch.testing.assert_close(stacked.weights, alone.weights, rtol=1e-13, atol=1e-13)
