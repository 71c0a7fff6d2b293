"""The clipped logistic loss: PAIR's, by a clipped probability; unclipped it is the cross-entropy of one output."""

from __future__ import annotations

import math

import pytest
import torch

from interp.losses.cross_entropy import cross_entropy
from interp.losses.logistic import logistic

CLASSES = torch.tensor([0, 1, 0, 1, 1, 0])
OUTPUTS = torch.tensor([[-30.0], [30.0], [0.3], [-2.0], [-20.0], [15.95]], dtype=torch.float64)


def test_it_is_minus_the_logarithm_of_the_clipped_probability() -> None:
    probability = OUTPUTS[:, 0].sigmoid().where(CLASSES == 1, (-OUTPUTS[:, 0]).sigmoid())
    epsilon = 1.19e-7
    expected = -probability.clamp(epsilon, 1 - epsilon).log()
    torch.testing.assert_close(logistic().per_example(OUTPUTS, CLASSES), expected, rtol=5e-4, atol=0)


def test_what_is_clipped_has_no_slope_and_no_curvature() -> None:
    found = logistic().derivatives(OUTPUTS, CLASSES)
    free = cross_entropy().derivatives(OUTPUTS, CLASSES)
    inside = torch.tensor([0, 0, 1, 1, 0, 0], dtype=torch.float64)[:, None]
    torch.testing.assert_close(found.slope, inside * free.slope, rtol=1e-15, atol=0)
    ones = torch.ones_like(OUTPUTS)
    torch.testing.assert_close(found.curved(ones), inside * free.curved(ones), rtol=1e-15, atol=0)


def test_unclipped_it_is_the_cross_entropy() -> None:
    found = logistic(0.0, math.inf)
    torch.testing.assert_close(found.per_example(OUTPUTS, CLASSES), cross_entropy().per_example(OUTPUTS, CLASSES))
    torch.testing.assert_close(
        found.derivatives(OUTPUTS, CLASSES).slope, cross_entropy().derivatives(OUTPUTS, CLASSES).slope
    )


def test_bounds_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match=r"least is 2.0 and most is 1.0: every loss would be the same; swap them"):
        logistic(2.0, 1.0)
