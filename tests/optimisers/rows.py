"""Networks in rows, moved by update rules, with a gradient that is a known function of weights and update."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from interp.contracts.optimiser import Rows, UpdateRule

MEMBERS, WIDTH = 3, 37
Gradient = Callable[[Tensor, int], Tensor]


def rows(rule: UpdateRule, dtype: torch.dtype = torch.float64, members: int = MEMBERS, width: int = WIDTH) -> Rows:
    """Networks of two parameters, "first" and "rest", with random weights, none of which has moved."""
    fresh = torch.randn(members, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    empty = [torch.zeros_like(fresh) for _ in range(3 + len(rule.kept))]
    seeds = [] if rule.draws is None else [torch.Generator().manual_seed(rule.draws + row) for row in range(members)]
    return Rows(
        weights=fresh,
        gradients=empty[0],
        kept=dict(zip(rule.kept, empty[3:], strict=True)),
        scratch=empty[1:3],
        parts={"first": slice(0, 5), "rest": slice(5, width)},
        generators=seeds,
    )


def gradient(weights: Tensor, update: int) -> Tensor:
    return torch.sin(weights * (update + 1))


def advance(rules: Sequence[UpdateRule], stacked: Rows, updates: range, of: Gradient = gradient) -> None:
    """Move every network by its own rule."""
    for i in updates:
        stacked.gradients.copy_(of(stacked.weights, i))
        numbers = torch.tensor([rule.numbers(i, 1.0) for rule in rules], dtype=torch.float64).T[..., None]
        rules[0].move(stacked, *numbers.to(stacked.weights.dtype))


def by_torch(make: type[torch.optim.Optimizer], weights: Tensor, updates: int, **options: object) -> Tensor:
    """One network's weights after so many updates of torch's own."""
    weight = weights.clone()
    optimiser = make([weight], **options)
    for i in range(updates):
        weight.grad = gradient(weight, i)
        optimiser.step()
    return weight
