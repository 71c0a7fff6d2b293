"""The ends of memorisation, circuit formation and cleanup: closed forms, the published borders' order, planted nets."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr

from interp.measures import progress_phases
from tests.planted import clock_mlp
from tests.told import summary

STEPS = np.arange(0, 20_001, 100)


def curves(test_loss, restricted_loss, excluded_loss, test_accuracy, bar: float = 0.99) -> xr.Dataset:
    """The rows of these curves over `STEPS`, and what the whole run adds to them."""
    rows = {
        "train_loss": np.full(len(STEPS), 1e-3),
        "test_loss": test_loss,
        "restricted_loss": restricted_loss,
        "excluded_loss": excluded_loss,
        "test_accuracy": test_accuracy,
        "bar": np.full(len(STEPS), bar),
        "weight_norm": np.linspace(40, 10, len(STEPS)),
    }
    result = xr.Dataset({key: ("step", np.asarray(row, float)) for key, row in rows.items()}, {"step": STEPS})
    return result.assign({key: xr.DataArray(value) for key, value in vars(progress_phases.over_run(result)).items()})


def halving(high: float, since: float, steps: float) -> np.ndarray:
    """A loss that is `high` up to `since`, and from then on halves every so many steps."""
    return high * 2.0 ** -(np.maximum(STEPS - since, 0) / steps)


def test_the_borders_of_losses_that_halve_are_where_they_have_halved():
    """They are half at `since` + `steps`; the excluded loss is a parabola, lowest between 1,400 and 1,500."""
    excluded = 1 + ((STEPS - 1_430) / 1_000) ** 2
    accuracy = 1 / (1 + np.exp(-(STEPS - 13_000) / 200))
    found = curves(halving(20, 9_000, 450), halving(5, 3_000, 450), excluded, accuracy)
    assert float(found.memorised_step) == 1_400
    assert float(found.cleanup_step) == 9_400  # half at 9,450
    assert float(found.restricted_step) == 3_400
    assert float(found.lead) == 6_000
    assert float(found.cleaned_step) == 100 * math.ceil((13_000 + 200 * math.log(99)) / 100)
    assert float(found.norm_fall) == pytest.approx(0.75)
    assert float(found.test_over_restricted) == pytest.approx(4 * 2 ** (6_000 / 450))
    told = summary("progress_phases", found)
    assert told.values["memorised"] == 1_400
    assert told.values["cleaned"] == 14_000


def test_without_cleanup_there_are_no_borders_but_memorisation_s_end():
    found = curves(np.full(len(STEPS), 20.0), halving(5, 3_000, 450), np.abs(STEPS - 700), np.full(len(STEPS), 0.5))
    assert float(found.memorised_step) == 700
    assert all(math.isnan(float(found[name])) for name in ("restricted_step", "cleanup_step", "cleaned_step", "lead"))
    assert "99% of the test pairs never were right" in summary("progress_phases", found).sentence


def test_a_clock_uses_the_frequencies_put_in_and_guesses_without_them(make_run):
    """The harmonics of ReLU leave a little beside the two waves, which answers nothing."""
    planted = clock_mlp(13, {1: 20.0, 3: 15.0})
    run = make_run({0: planted.weights}, planted.task, planted.model)
    found = run.final.measure("progress_phases")
    assert float(found.logit_freqs) == 2
    assert float(found.clear_share) == 1
    assert float(found.restricted_loss) < 0.01
    assert float(found.excluded_loss) == pytest.approx(math.log(13), rel=0.2)
    square = sum((value.double() ** 2).sum() for value in planted.weights.values())
    assert float(found.weight_norm) == pytest.approx(math.sqrt(square), rel=1e-6)
