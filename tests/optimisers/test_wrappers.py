"""Grokfast and ⊥Grad: what they hand on, against a few lines of NumPy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.contracts.optimiser import Column, Rows, UpdateRule
from interp.optimisers.grokfast import grokfast
from interp.optimisers.orthogonal_gradient import orthogonal_gradient
from interp.optimisers.sgd import sgd
from tests.optimisers.rows import MEMBERS, advance, gradient, rows


@dataclass(frozen=True)
class Seen(UpdateRule):
    """Moves nothing, and remembers the gradients that it was given."""

    given: list[Tensor] = field(default_factory=list, compare=False)

    def numbers(self, update: int, rate: float) -> tuple[float, ...]:
        return (update * rate,)

    def move(self, rows: Rows, *numbers: Column) -> None:
        del numbers
        self.given.append(rows.gradients.clone())


def handed_on(rule: UpdateRule, seen: Seen, updates: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The gradients that there were, and those that the inner rule saw."""
    stacked = rows(rule)
    advance([rule] * MEMBERS, stacked, range(updates))
    return [gradient(stacked.weights, i).numpy() for i in range(updates)], [one.numpy() for one in seen.given]


def test_the_exponential_average_begins_as_the_first_gradient() -> None:
    seen = Seen()
    plain, changed = handed_on(grokfast(seen, "ema", 0.8, 2.0), seen, 6)  # pyright: ignore[reportArgumentType]
    mean = plain[0]
    for g, found in zip(plain, changed, strict=True):
        mean = 0.8 * mean + 0.2 * g
        np.testing.assert_allclose(found, g + 2 * mean, rtol=1e-13)


def test_the_moving_average_adds_nothing_before_its_window_is_full() -> None:
    seen = Seen()
    plain, changed = handed_on(grokfast(seen, "ma", factor=5.0, window=4), seen, 10)  # pyright: ignore
    for i, (g, found) in enumerate(zip(plain, changed, strict=True)):
        expected = g + 5 * np.mean(plain[i - 3 : i + 1], axis=0) if i >= 3 else g
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


def test_members_at_different_steps_have_windows_of_their_own() -> None:
    """A stack in which one member is three updates ahead hands on what each alone does."""
    late, ahead = Seen(), Seen()
    rule, of_ahead = (grokfast(one, "ma", factor=1.0, window=3) for one in (late, ahead))  # pyright: ignore
    together, alone = rows(rule, members=2), rows(of_ahead, members=1)
    alone.weights.copy_(together.weights[:1])
    for update in range(7):
        for stacked, starts in ((together, (0, 3)), (alone, (3,))):
            stacked.gradients.copy_(torch.cat([gradient(stacked.weights[:1], update + start) for start in starts]))
            numbers = [rule.numbers(update + start, 1.0) for start in starts]
            which = rule if len(starts) == 2 else of_ahead
            which.move(stacked, *torch.tensor(numbers, dtype=torch.float64).T[..., None])
    for one, other in zip(late.given, ahead.given, strict=True):
        assert torch.equal(one[1], other[0])


def test_the_gradient_handed_on_is_orthogonal_to_each_parameter_and_as_long_as_it_was() -> None:
    seen = Seen()
    rule = orthogonal_gradient(seen)  # pyright: ignore[reportArgumentType]
    stacked = rows(rule)
    weights, plain = stacked.weights.numpy().copy(), gradient(stacked.weights, 0).numpy()
    advance([rule] * MEMBERS, stacked, range(1))
    found = seen.given[0].numpy()
    for part in stacked.parts.values():
        for w, g, changed in zip(weights[:, part], plain[:, part], found[:, part], strict=True):
            assert w @ changed == pytest.approx(0, abs=1e-13)
            assert np.linalg.norm(changed) == pytest.approx(np.linalg.norm(g))
            away = g - (w @ g) / (w @ w) * w
            np.testing.assert_allclose(changed, away * np.linalg.norm(g) / np.linalg.norm(away), rtol=1e-12)


@pytest.mark.parametrize("options", [{"average": "ema"}, {"average": "ma", "window": 5}])
def test_rules_around_other_rules_are_stacked_only_with_their_like(options: dict[str, Any]) -> None:
    first, same, other = (grokfast(of, **options) for of in (sgd(), sgd(lr=0.5), sgd(momentum=0.9, nesterov=True)))
    assert first.operations == same.operations != other.operations
