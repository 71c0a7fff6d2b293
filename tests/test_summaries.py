from __future__ import annotations

import pytest

from interp.summaries import counted, listed, listed_steps, named, number, percent


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0028, "0.0028"),
        (-1e-7, "−1×10⁻⁷"),
        (5.12e-9, "5.1×10⁻⁹"),
        (2.5e12, "2.5×10¹²"),
        (-0.77, "−0.77"),
        (74.0, "74"),
        (6412.3, "6,400"),
        (200_000, "200,000"),
        (-0.0, "0"),
        (0.999, "1"),
        (99.96, "100"),
        (123_456, "123,456"),
    ],
)
def test_a_number_is_written_as_in_print(value, text):
    assert number(value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_written(value):
    with pytest.raises(ValueError, match="no number"):
        number(value)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.84, "84%"),
        (1.0, "100%"),
        (0.0, "0%"),
        (0.9996, "99.96%"),
        (0.996, "99.6%"),
        (0.0004, "0.04%"),
        (1e-9, "under 0.001%"),
        (1 - 1e-9, "over 99.999%"),
        (-0.031, "−3%"),
        (-1e-12, "under 0.001%"),
        (1.062, "106%"),
        (12.5, "1,250%"),
    ],
)
def test_a_share_is_never_rounded_to_none_or_all(share, text):
    assert percent(share) == text


def test_counts_names_and_lists():
    assert [counted(n, "frequency") for n in (0, 1, 2)] == ["0 frequencies", "1 frequency", "2 frequencies"]
    assert named("matrix", ["W_E"]) == "matrix W_E"
    assert named("frequency", [2, 5, 1200]) == "frequencies 2, 5 and 1,200"
    assert listed(["a", "b"]) == "a and b"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([1000], "step 1,000"),
        ([0, 5], "steps 0 and 5"),
        ([0, 5, 1000], "steps 0, 5 and 1,000"),
        (range(0, 5000, 100), "50 steps from 0 to 4,900"),
    ],
)
def test_steps_are_listed_in_words(given, said):
    assert listed_steps(given) == said
