"""Cross-entropy against sums of 60 decimal digits."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from interp.maths.cross_entropy import cross_entropy, mean_cross_entropy

TOLERANCE = {torch.float32: 3e-6, torch.float64: 5e-15}


def exact(logits: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
    """Losses [pair] and their gradients [pair, logit]: from the very numbers the logits are, rounded at the end."""
    losses, gradients = [], []
    with localcontext() as context:
        context.prec = 60
        for row, y in zip(logits.tolist(), answers.tolist(), strict=True):
            powers = [(Decimal(z) - Decimal(row[y])).exp() for z in row]
            others, total = sum(powers) - powers[y], sum(powers)
            losses.append(float((1 + others).ln()))
            gradients.append([float(-others / total if j == y else power / total) for j, power in enumerate(powers)])
    return torch.tensor(losses, dtype=torch.float64), torch.tensor(gradients, dtype=torch.float64)


def gradient_of(loss: Tensor, logits: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(loss, logits)
    return gradient.double()


def cases(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """From the answer far behind (row 0) to losses of 1e-9 and below, with a tie for the largest logit."""
    torch.manual_seed(0)
    logits, answers = torch.randn(9, 7, dtype=dtype), torch.arange(9) % 7
    for row, lead in enumerate((-30, -3, 0, 0.5, 3, 10, 17, 21, 25)):
        logits[row, answers[row]] = logits[row].max() + lead
    return logits.requires_grad_(), answers


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_losses_have_full_relative_precision(dtype: torch.dtype) -> None:
    logits, answers = cases(dtype)
    losses, _ = exact(logits, answers)
    assert losses.min() < 1e-9
    torch.testing.assert_close(cross_entropy(logits, answers).double(), losses, rtol=TOLERANCE[dtype], atol=0)
    for row in range(len(losses)):
        mean = mean_cross_entropy(logits[row : row + 1], answers[row : row + 1])
        torch.testing.assert_close(mean.double(), losses[row], rtol=TOLERANCE[dtype], atol=0)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_gradients_have_full_relative_precision(dtype: torch.dtype) -> None:
    logits, answers = cases(dtype)
    _, gradients = exact(logits, answers)
    found = gradient_of(cross_entropy(logits, answers).sum(), logits)
    torch.testing.assert_close(found, gradients, rtol=2 * TOLERANCE[dtype], atol=0)
    found = gradient_of(mean_cross_entropy(logits, answers), logits)
    torch.testing.assert_close(found, gradients / len(answers), rtol=2 * TOLERANCE[dtype], atol=0)


@given(st.integers(2, 9), st.integers(1, 6), st.floats(0.01, 50), st.integers(0, 2**31))
def test_agrees_with_torch_where_torch_is_exact(n_logits: int, n_pairs: int, scale: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n_pairs, n_logits, generator=generator, dtype=torch.float64)
    answers = torch.randint(n_logits, (n_pairs,), generator=generator)
    expected = torch.nn.functional.cross_entropy(logits, answers, reduction="none")
    torch.testing.assert_close(cross_entropy(logits, answers), expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(mean_cross_entropy(logits, answers), expected.mean(), rtol=1e-12, atol=1e-14)


@given(st.floats(-1e6, 1e6))
def test_is_blind_to_a_constant_added_to_all_logits(constant: float) -> None:
    logits, answers = cases(torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(
            cross_entropy(logits + constant, answers), cross_entropy(logits, answers), rtol=1e-8, atol=0
        )


def test_huge_margins_neither_overflow_nor_lose_their_gradient() -> None:
    logits, answers = torch.tensor([[0.0, 1e4], [1e4, 0.0]], requires_grad=True), torch.tensor([0, 0])
    torch.testing.assert_close(cross_entropy(logits, answers), torch.tensor([1e4, 0.0]))
    for loss in (cross_entropy(logits, answers).mean(), mean_cross_entropy(logits, answers)):
        torch.testing.assert_close(loss, torch.tensor(5e3))
        expected = torch.tensor([[-0.5, 0.5], [0.0, 0.0]], dtype=torch.float64)
        torch.testing.assert_close(gradient_of(loss, logits), expected)


def test_works_under_torch_func() -> None:
    logits, answers = cases(torch.float64)
    logits = logits.detach()
    direction = torch.randn_like(logits)

    def gradient(z: Tensor) -> Tensor:
        return torch.func.grad(lambda z: cross_entropy(z, answers).sum())(z)

    _, product = torch.func.jvp(gradient, (logits,), (direction,))
    p = logits.softmax(1)
    torch.testing.assert_close(product, p * (direction - (p * direction).sum(1, keepdim=True)), rtol=1e-9, atol=1e-15)
    each = torch.func.vmap(lambda z: cross_entropy(z, answers))(torch.stack([logits, 2 * logits]))
    torch.testing.assert_close(each[1], cross_entropy(2 * logits, answers))
