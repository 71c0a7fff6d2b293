"""Blocks give back the array they were made of, to half a level at worst."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from interp.report.blocks import ArrayStore, decode, encode, every, fit

TINY = np.finfo(np.float64).tiny
FLOATS = hnp.arrays(
    np.float64,
    hnp.array_shapes(max_dims=3, max_side=5),
    elements=st.one_of(st.floats(-1e6, 1e6), st.just(np.nan)),
)


@given(FLOATS, st.sampled_from([1, 2]))
def test_quantised_values_are_within_half_a_level(values: np.ndarray, item_size: int) -> None:
    block = encode(values, item_size)
    half_level = (block["max"] - block["min"]) / block["levels"] / 2
    assert block["dtype"] == f"uint{8 * item_size}"
    np.testing.assert_allclose(decode(block), values, rtol=1e-9, atol=half_level * (1 + 1e-6) + TINY)


@given(FLOATS)
def test_float32_keeps_nan_and_seven_digits(values: np.ndarray) -> None:
    np.testing.assert_array_equal(decode(encode(values)), values.astype(np.float32))


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.array([True, False]), "uint8"),
        (np.array([0, 255]), "uint8"),
        (np.array([-1, 127]), "int8"),
        (np.array([0, 65_535]), "uint16"),
        (np.array([-40_000, 7]), "int32"),
    ],
)
def test_integers_take_the_smallest_type_that_holds_them(values: np.ndarray, dtype: str) -> None:
    block = encode(values)
    assert block["dtype"] == dtype
    np.testing.assert_array_equal(decode(block), values)


def test_texts_are_kept() -> None:
    roles = np.array([["role:accent", "role:quiet"], ["role:quiet", "role:quiet"]])
    np.testing.assert_array_equal(decode(encode(roles, item_size=1)), roles)


def test_an_empty_array_stays_empty() -> None:
    assert decode(encode(np.zeros((0, 3)), item_size=1)).shape == (0, 3)


@pytest.mark.parametrize(("budget", "expected"), [(400, (4, 1)), (399, (2, 1)), (100, (1, 1)), (34, (1, 3))])
def test_the_widest_type_within_the_budget_is_taken_then_steps_are_left_out(
    budget: int, expected: tuple[int, int]
) -> None:
    assert fit([np.linspace(0, 1, 100)], budget) == expected


def test_items_are_no_smaller_than_asked_for() -> None:
    assert fit([np.linspace(0, 1, 100)], 100, smallest=2) == (2, 2)


def test_leaving_out_steps_keeps_the_last() -> None:
    assert every(3, 8).tolist() == [0, 3, 6, 7]
    assert every(1, 3).tolist() == [0, 1, 2]


def test_equal_arrays_are_stored_once() -> None:
    store = ArrayStore()
    assert store.add(np.ones(3)) == store.add(np.ones(3)) != store.add(np.zeros(3))
    assert len(store.blocks()) == 2
