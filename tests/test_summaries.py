from __future__ import annotations

import pytest

from interp.summaries import listed_steps, number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0028, "0.0028"),
        (-1e-7, "−1×10⁻⁷"),
        (5.12e-9, "5.1×10⁻⁹"),
        (2.5e12, "2.5×10¹²"),
        (-0.77, "−0.77"),
        (74.0, "74"),
        (2e5, "200,000"),
    ],
)
def test_a_number_is_written_as_in_print(value, text):
    assert number(value) == text


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
