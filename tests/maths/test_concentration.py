from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.maths.concentration import gini

values = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30).map(
    lambda numbers: torch.tensor(numbers, dtype=torch.float64)
)


@settings(deadline=None)
@given(values)
def test_it_is_half_the_relative_mean_absolute_difference(x):
    differences = (x[:, None] - x[None, :]).abs().mean()
    torch.testing.assert_close(gini(x), differences / (2 * x.mean()), rtol=1e-9, atol=1e-12)


@settings(deadline=None)
@given(values, st.floats(0.1, 10))
def test_neither_order_nor_scale_matters(x, scale):
    torch.testing.assert_close(gini(x.flip(0) * scale), gini(x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5, 56])
def test_equal_shares_give_zero_and_one_owner_gives_all_but_one_nth(n):
    equal = torch.full((n,), 0.3, dtype=torch.float64)
    one = torch.zeros(n, dtype=torch.float64)
    one[n // 2] = 7.0
    assert abs(float(gini(equal))) < 1e-12
    assert float(gini(one)) == pytest.approx((n - 1) / n)


@pytest.mark.parametrize("n", [2, 7, 100])
def test_zero_to_n_minus_one_give_n_plus_one_over_three_n(n):
    assert float(gini(torch.arange(n, dtype=torch.float64))) == pytest.approx((n + 1) / (3 * n))


def test_of_nothing_but_zeros_it_is_not_a_number():
    assert gini(torch.zeros(4, dtype=torch.float64)).isnan()
