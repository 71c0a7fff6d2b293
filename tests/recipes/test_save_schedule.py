"""The steps at which a training keeps a checkpoint."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.recipes.save_schedule import schedule

steps_of = st.integers(1, 99_000)  # with 300 spaced ones, within the most that are kept


@given(steps_of, st.none() | st.integers(1, 200_000), st.none() | st.integers(2, 300))
def test_ascends_from_0_to_the_last_step(steps: int, every: int | None, log: int | None) -> None:
    kept = schedule(steps, every, log)
    assert kept[0] == 0
    assert kept[-1] == steps
    assert all(before < after for before, after in itertools.pairwise(kept))


@given(st.integers(1, 5_000), st.integers(1, 6_000))
def test_every_keeps_the_multiples_and_the_last(steps: int, every: int) -> None:
    assert set(schedule(steps, every)) == {step for step in range(steps) if step % every == 0} | {steps}


def test_log_spacing_has_a_constant_ratio() -> None:
    assert schedule(10_000, log=5) == [0, 1, 10, 100, 1_000, 10_000]


@given(st.integers(2, 10_000), st.integers(2, 200))
def test_log_keeps_no_more_than_asked_beside_0(steps: int, log: int) -> None:
    assert len(schedule(steps, log=log)) <= log + 1


def test_dense_windows_include_both_ends() -> None:
    assert schedule(50, dense=["10:14:2", "13:15:1"]) == [0, 10, 12, 13, 14, 15, 50]


def test_the_union_of_all_ways() -> None:
    assert schedule(100, every=50, log=3, dense=["98:100:1"]) == [0, 1, 10, 50, 98, 99, 100]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "at least 1"),
        ({"steps": 10, "every": 0}, "at least 1"),
        ({"steps": 10, "log": 1}, "at least 2"),
        ({"steps": 10, "dense": ["1-5"]}, "start:stop:every"),
        ({"steps": 10, "dense": ["5:1:1"]}, "start <= stop"),
        ({"steps": 10, "dense": ["1:11:1"]}, "the last step"),
        ({"steps": 10, "dense": ["1:5:0"]}, "every >= 1"),
    ],
)
def test_refuses_what_cannot_be_kept_in_one_line(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        schedule(**options)
    assert "\n" not in str(error.value)
