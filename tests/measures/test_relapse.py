"""A planted course of the test accuracy is told as it is."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from interp.measures.relapse import over_run, summary


def course(*accuracies: float, least: float = 0.05) -> xr.Dataset:
    steps = 10 * np.arange(len(accuracies))
    arrays = {"test_accuracy": ("step", list(accuracies)), "least": ("step", [least] * len(accuracies))}
    result = xr.Dataset(arrays, {"step": steps})
    return result.assign(vars(over_run(result)))


def test_a_rise_alone_is_no_relapse() -> None:
    found = course(0.0, 0.4, 0.9, 0.87)
    assert (str(found.course.values), float(found.fall)) == ("no relapse", pytest.approx(0.03))
    assert "the largest fall is of 3.0%" in summary(found).text


def test_the_largest_fall_is_found_though_a_smaller_one_comes_from_higher_up() -> None:
    found = course(0.1, 0.8, 0.3, 0.5, 1.0, 0.7)
    assert str(found.course.values) == "fell back and recovered"
    assert "from 80.0% at step 10 to 30.0% at step 20, and rises to 100% again" in summary(found).text
    assert [int(found[f"fall_{end}_step"]) for end in ("from", "to")] == [10, 20]
    assert [float(found[name]) for name in ("fall", "fallen_to", "recovery", "highest")] == [
        pytest.approx(one) for one in (0.5, 0.3, 0.7, 1.0)
    ]


def test_what_never_comes_back_fell_back() -> None:
    found = course(0.1, 0.92, 0.9, 0.85)
    assert str(found.course.values) == "fell back"
    assert "from 92.0% at step 10 to 85.0% at step 30, and not up again" in summary(found).text
    assert str(course(0.1, 0.92, 0.9, 0.85, least=0.1).course.values) == "no relapse"
