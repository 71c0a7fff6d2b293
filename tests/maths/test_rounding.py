from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch

from interp.maths.cross_entropy import cross_entropy
from interp.maths.rounding import NEGLIGIBLE, beyond, scale_and_rounding, settled


def test_means_of_logits_are_off_by_no_more_than_their_rounding():
    """Against fractions."""
    generator = torch.Generator().manual_seed(0)
    for terms in (7, 113, 1000):
        values = 1e22 * torch.randn(terms, generator=generator, dtype=torch.float64)
        exact = sum(map(Fraction, values.tolist())) / terms
        _, rounding = scale_and_rounding(values, terms)
        assert abs(Fraction(float(values.mean())) - exact) <= Fraction(float(rounding))


def test_the_scale_is_the_largest_and_1_of_zeros():
    assert float(scale_and_rounding(torch.tensor([3.0, -5.0]), 2)[0]) == 5
    assert [float(number) for number in scale_and_rounding(torch.zeros(3), 2)] == [1, 0]


def test_what_is_no_larger_than_rounding_is_0():
    assert beyond(torch.tensor([1e-3, -2.0, 0.5]), 0.5).tolist() == [0, -2, 0]


def test_what_may_be_twice_as_much_or_nothing_is_no_number():
    value, least, most = torch.tensor([[1.0, 1.0, 0.0], [0.5, 0.0, 0.0], [1.4, 2.0, 0.0]])
    found = settled(value, least, most).tolist()
    assert found[0] == 1
    assert math.isnan(found[1])
    assert found[2] == 0


@pytest.mark.parametrize("lead", [-700.0, -30.0, 0.0, 30.0, 700.0])
def test_a_negligible_rounding_unsettles_no_cross_entropy(lead):
    logits = torch.tensor([[lead, 0.0]], dtype=torch.float64)
    moved = [logits + torch.tensor([[sign * 2 * NEGLIGIBLE, 0.0]]) for sign in (1, -1)]
    answer = torch.tensor([0])
    least, most = (cross_entropy(one, answer) for one in moved)
    assert settled(cross_entropy(logits, answer), least, most).isfinite().all()


def test_a_cross_entropy_far_below_the_resolution_of_1_has_all_its_digits():
    """Of one wrong answer it is e^(wrong - right) there."""
    for margin in (40.0, 100.0, 690.0):
        found = float(cross_entropy(torch.tensor([[margin, 0.0]], dtype=torch.float64), torch.tensor([0])))
        assert found == pytest.approx(math.exp(-margin), rel=1e-12)
