"""The panels of many runs hold the quantiles, the shares and the counts of the runs that have a number."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import xarray as xr

from interp.figures import ManyCurves, Mosaic, PhaseDiagram
from interp.figures.many_curves import MOST_FAINT

STEPS = np.arange(0, 1001, 10)


def curves(runs: int, seed: int = 0) -> xr.DataArray:
    values = np.random.default_rng(seed).normal(size=(runs, len(STEPS)))
    return xr.DataArray(values, dims=("seed", "step"), coords={"seed": np.arange(runs), "step": STEPS}, name="loss")


def traces(panel: ManyCurves) -> list[dict]:
    return panel.draw().figure["data"]


def test_median_and_band_are_the_quantiles_of_the_runs_that_have_a_number():
    array = curves(40)
    array[3, 50:] = np.nan  # a run that diverged
    array[7] = np.nan  # a run that is missing
    low, high, _, median = traces(ManyCurves("Loss", array))
    for place in (0, 49, 50, 100):
        known = np.sort(array.values[:, place][np.isfinite(array.values[:, place])])
        assert len(known) == (39 if place < 50 else 38)
        assert median["y"][place] == pytest.approx(np.median(known))
        inside = (known >= low["y"][place]) & (known <= high["y"][place])
        assert inside.mean() == pytest.approx(0.8, abs=0.03)
    assert "median of 39 runs" in median["hovertemplate"]


def test_where_most_runs_have_ended_there_is_no_median():
    array = curves(40)
    array[:21, 60:] = np.nan
    *_, faint, median = traces(ManyCurves("Loss", array))
    assert np.isfinite(np.asarray(median["y"], float)).tolist() == [place < 60 for place in range(array.sizes["step"])]
    rows = np.asarray(faint["y"], float).reshape(40, -1)
    assert np.isfinite(rows[:, 60]).sum() == 19


def test_each_faint_line_is_a_run_and_no_line_joins_two():
    array = curves(5)
    faint = traces(ManyCurves("Loss", array))[2]
    x, y = np.asarray(faint["x"]), np.asarray(faint["y"])
    ends = np.flatnonzero(np.isnan(x))
    assert len(ends) == 5
    assert np.isnan(y[ends]).all()
    for run, part in enumerate(np.split(y, ends)):
        if run < 5:
            assert part[np.isfinite(part)].tolist() == array.values[run].tolist()


def test_of_a_thousand_runs_a_few_are_drawn_and_the_median_is_that_of_all():
    array = curves(1000)
    *_, faint, median = traces(ManyCurves("Loss", array))
    assert np.isnan(faint["x"]).sum() == MOST_FAINT
    assert median["y"] == pytest.approx(np.median(array.values, axis=0))


def test_curves_are_aligned_at_the_event_of_each_and_those_without_are_left_out():
    events = np.array([200.0, 500.0, 730.0, np.nan])
    values = (np.nan_to_num(events, nan=1e9)[:, None] <= STEPS).astype(float)
    array = xr.DataArray(values, dims=("seed", "step"), coords={"seed": range(4), "step": STEPS})
    panel = ManyCurves("Accuracy", array, event=xr.DataArray(events, dims="seed"), event_name="grokking", percent=True)
    *_, median = traces(panel)
    x, y = np.asarray(median["x"]), np.asarray(median["y"])
    assert (y[x >= 0] == 1).all()
    assert (y[(x < -10) & np.isfinite(y)] == 0).all()
    assert "median of 3 runs" in median["hovertemplate"]
    drawn = panel.draw()
    assert drawn.figure["layout"]["xaxis"]["title"]["text"] == "steps from grokking"
    assert not drawn.time_axis


def test_each_place_of_an_axis_has_a_median_of_its_own():
    array = xr.concat([curves(6, 1), curves(6, 2) + 10], "weight_decay").assign_coords(weight_decay=[0.1, 1.0])
    named = [trace for trace in traces(ManyCurves("Loss", array, by="weight_decay")) if trace["showlegend"]]
    assert [trace["name"] for trace in named] == ["weight decay 0.1", "weight decay 1.0"]
    for place, trace in enumerate(named):
        assert trace["y"] == pytest.approx(np.median(array.values[place], axis=0))


def test_a_cell_is_the_share_of_its_runs_and_says_of_how_many():
    grokked = np.array([[[1, 1, 0, 1], [0, 0, 0, 0]], [[1, np.nan, 1, 1], [np.nan] * 4]])
    array = xr.DataArray(
        grokked,
        dims=("weight_decay", "lr", "seed"),
        coords={"weight_decay": [0.1, 1], "lr": [1e-3, 1e-2], "seed": range(4)},
    )
    (cells,) = PhaseDiagram("Grokked", array, x="lr", y="weight_decay", percent=True).draw().figure["data"]
    assert cells["z"][0].tolist() == [0.75, 0]
    assert cells["z"][1][0] == 1
    assert np.isnan(cells["z"][1][1])
    assert cells["customdata"] == [[", 4 runs", ", 4 runs"], [", 3 of 4 runs", ", 0 of 4 runs"]]


def test_of_times_a_cell_is_the_median():
    array = xr.DataArray(np.array([[[100.0, 900, 300]]]), dims=("b", "a", "seed"), coords={"a": [1], "b": [2]})
    (cells,) = PhaseDiagram("Time to grok", array, x="a", y="b", median=True).draw().figure["data"]
    assert cells["z"].tolist() == [[300]]


def test_every_run_is_a_square_of_its_colour_and_the_legend_counts_them():
    axes = {"n_train": [750, 1000], "widths": [16, 64, 258], "weight_decay": [0.1, 1.0], "seed": range(5)}
    rng = np.random.default_rng(0)
    words = rng.choice(["grokking", "together", ""], size=[len(labels) for labels in axes.values()])
    array = xr.DataArray(words, coords={name: list(labels) for name, labels in axes.items()}, dims=list(axes))
    heatmap, *legend = Mosaic("Classes", array, {"together": "train", "grokking": "test"}).draw().figure["data"]
    squares = {text: value for text, value in zip(heatmap["text"].ravel(), heatmap["z"].ravel(), strict=True) if text}
    for n_train, widths, weight_decay, seed in itertools.product(*axes.values()):
        word = str(array.sel(n_train=n_train, widths=widths, weight_decay=weight_decay, seed=seed).values)
        named = f"n train {n_train}, widths {widths}, weight decay {weight_decay}, seed {seed}: {word}"
        assert squares.pop(named, None) == {"together": 0, "grokking": 1, "": None}[word]
    assert not squares
    assert [one["name"] for one in legend] == [f"{word} ({(words == word).sum()})" for word in ("together", "grokking")]
    assert np.isfinite(heatmap["z"]).sum() == (words != "").sum()


def test_blocks_of_a_mosaic_do_not_overlap_whatever_the_number_of_axes():
    for n_axes in (1, 2, 3, 4, 5, 6):
        array = xr.DataArray(np.full((2,) * n_axes, "word"), dims=[f"axis_{n}" for n in range(n_axes)])
        array = array.assign_coords({dim: [0, 1] for dim in array.dims})
        heatmap = Mosaic("M", array).draw().figure["data"][0]
        assert np.isfinite(heatmap["z"]).sum() == 2**n_axes
