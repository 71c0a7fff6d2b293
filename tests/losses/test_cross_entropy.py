"""The logistic loss against sums of 60 decimal digits; several outputs are `maths/cross_entropy`, tested there."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
import torch
from torch import Tensor

from interp.losses.cross_entropy import cross_entropy
from interp.maths.cross_entropy import mean_cross_entropy

MARGINS = (-800.0, -60.0, -40.0, -3.0, 0.0, 0.5, 10.0, 39.0, 60.0, 80.0)
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-14}


def one_output(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Outputs [example, 1] that answer with these margins, once for each class, and the classes."""
    margins = torch.tensor(MARGINS, dtype=dtype)
    return torch.cat([margins, -margins])[:, None], torch.tensor([1, 0]).repeat_interleave(len(MARGINS))


def exactly() -> tuple[list[float], list[float], list[float]]:
    """log(1 + e⁻ᵐ), and minus its first and its second derivative in m, of each margin."""
    with localcontext() as context:
        context.prec = 60
        odds = [Decimal(-m).exp() for m in MARGINS]  # of the wrong class
        losses = [float((1 + e).ln()) for e in odds]
        return losses, [float(e / (1 + e)) for e in odds], [float(e / (1 + e) ** 2) for e in odds]


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_with_one_output_loss_slope_and_curvature_have_full_relative_precision(dtype: torch.dtype) -> None:
    outputs, classes = one_output(dtype)
    loss, wrong, curvature = (torch.tensor(2 * values, dtype=dtype) for values in exactly())
    expected = torch.cat([-wrong[: len(MARGINS)], wrong[len(MARGINS) :]])[:, None]
    leaf, close = outputs.clone().requires_grad_(), {"rtol": TOLERANCE[dtype], "atol": 1e-38}
    found = cross_entropy().per_example(leaf, classes)
    torch.testing.assert_close(found.detach(), loss, **close)
    torch.testing.assert_close(torch.autograd.grad(found.sum(), leaf)[0], expected, **close)
    derivatives = cross_entropy().derivatives(outputs, classes)
    ones = torch.ones_like(outputs)
    torch.testing.assert_close(derivatives.slope, expected, **close)
    torch.testing.assert_close(derivatives.curved(ones), curvature[:, None], **close)
    torch.testing.assert_close(derivatives.root(derivatives.root(ones)), curvature[:, None], **close)


def test_one_output_is_two_of_which_the_other_is_zero() -> None:
    outputs, classes = one_output(torch.float64)
    both = torch.cat([torch.zeros_like(outputs), outputs], dim=1)
    one, two = (cross_entropy().per_example(z, classes) for z in (outputs, both))
    torch.testing.assert_close(one, two, rtol=1e-14, atol=0)


def test_with_several_outputs_the_mean_is_bit_for_bit_the_quick_one() -> None:
    logits, classes = torch.randn(50, 7, generator=torch.Generator().manual_seed(0)), torch.arange(50) % 7
    assert torch.equal(cross_entropy().mean(logits, classes), mean_cross_entropy(logits, classes))
