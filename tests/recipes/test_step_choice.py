from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.errors import InterpError
from interp.recipes import step_choice

AVAILABLE = [0, 10, 20, 25, 30, 1000]
some_steps = st.lists(st.integers(0, 10**6), min_size=1, max_size=40, unique=True).map(sorted)


def test_all_is_all():
    assert step_choice.choose("all", AVAILABLE, "run") == AVAILABLE


def test_every_gives_the_multiples_and_the_last():
    assert step_choice.choose({"every": 20}, AVAILABLE, "run") == [0, 20, 1000]
    assert step_choice.choose({"every": 20}, [0, 10, 20, 25], "run") == [0, 20, 25]


@settings(deadline=None)
@given(some_steps, st.integers(1, 60))
def test_count_gives_that_many_where_there_are_and_the_last_among_them(available, count):
    found = step_choice.choose({"count": count}, available, "run")
    assert len(found) == min(count, len(available))
    assert found == sorted(set(found) & set(available))
    assert found[-1] == available[-1]
    if count > 1:
        assert found[0] == available[0]


def test_a_list_gives_its_steps_in_order_and_once():
    assert step_choice.choose([30, 0, 30], AVAILABLE, "run") == [0, 30]


@pytest.mark.parametrize(("missing", "nearest"), [(26, "25 and 30"), (-1, "0"), (5000, "1,000"), (999, "30 and 1,000")])
def test_a_step_that_is_not_there_is_refused_with_the_nearest(missing, nearest):
    with pytest.raises(InterpError, match=rf"some run has no checkpoint at step {missing:,}; .*\b{nearest}$"):
        step_choice.choose([0, missing], AVAILABLE, "some run")


@pytest.mark.parametrize(
    "spec",
    [None, "al", 5, [], ["0"], [1.0], [True], {}, {"every": 0}, {"every": "5"}, {"every": True}, {"count": -3},
     {"count": 2.0}, {"every": 5, "count": 5}],
)  # fmt: skip
def test_anything_else_is_refused(spec):
    for refuse in (step_choice.check, lambda spec: step_choice.choose(spec, AVAILABLE, "run")):
        with pytest.raises(InterpError, match=r"^steps"):
            refuse(spec)


def test_a_misspelt_form_is_refused_with_the_near_miss():
    with pytest.raises(InterpError, match=r"'evry'; did you mean 'every'\?$"):
        step_choice.check({"evry": 5})


@pytest.mark.parametrize(
    ("spec", "chosen"),
    [
        ("all", AVAILABLE),
        ({"every": 1}, AVAILABLE),
        ({"count": 1}, [1000]),
        ({"count": 2}, [0, 1000]),
        ([0], [0]),
        ([25, 25], [25]),
    ],
)
def test_the_four_forms_are_accepted(spec, chosen):
    step_choice.check(spec)
    assert step_choice.choose(spec, AVAILABLE, "run") == chosen


def test_steps_spread_evenly_are_nowhere_close_together():
    assert step_choice.close_together(range(0, 100, 10), range(100)) == []
    assert step_choice.close_together([0, 10, 20, 25], range(26)) == []
    assert step_choice.close_together([7], [7, 8]) == []
    assert step_choice.close_together(range(100), range(100)) == []


def test_a_stretch_visited_twice_as_closely_is_told_from_its_first_to_its_last_step():
    visited = [0, 1, 2, 10, 20, 25, 30, 40, 41, 50, 53, 56]
    assert step_choice.close_together(visited, range(57)) == [(0, 2), (20, 30), (50, 56)]


def test_what_is_close_together_is_counted_in_checkpoints():
    available = [*range(100), *range(100, 10_001, 100)]
    assert step_choice.close_together(available, available) == []
    assert step_choice.close_together([0, 50, 99, 5_000, 10_000], available) == []
