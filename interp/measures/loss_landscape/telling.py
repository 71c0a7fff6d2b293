"""What is drawn and said of the loss about the weights; no number is made here."""

from __future__ import annotations

import numpy as np
import xarray as xr

from interp.figures import Curves, Heatmap
from interp.findings import Claims, Finding, course
from interp.measures.shared.trained_with import in_units, titled, units

SCALED, REDUCED = "Loss of the weights times a factor", "Lowest train loss of each norm, and the test loss there"
BETWEEN = "Loss on the straight line from an earlier checkpoint"
BARRIER = "Barrier of the train loss on that line"
BEST = "Factor at which the test loss is lowest"
SLICE = "Decades of the train loss above the lowest of the slice"


def figure(result: xr.Dataset) -> list[Curves | Heatmap]:
    decades = xr.DataArray(np.log10(result.factor.values), dims="factor", attrs={"long_name": "Decades of the norm"})
    last = result.isel(step=-1).assign_coords(factor=decades)
    panels: list[Curves | Heatmap] = []
    for title, name in ((SCALED, "scaled"), (REDUCED, "reduced"), (BETWEEN, "between")):
        curves = {of: in_units(last[f"{of}_{name}"], result) for of in ("train", "test")}
        there = {of: curve for of, curve in curves.items() if curve.notnull().any()}
        if there:
            panels.append(Curves(titled(title, result), there, log=True, width="half"))
    best = {"scaled": result.test_scaled_best, "reduced": result.test_reduced_best}
    known = {label: curve for label, curve in best.items() if curve.notnull().any()}
    if known:
        panels.append(Curves(BEST, known, log=True, width="half"))
    panels.append(Curves(titled(BARRIER, result), {"all": in_units(result.barrier, result)}, width="half"))
    if result.sizes["first"] > 1:
        lowest = result.slice.min(["first", "second"])
        above = np.log10(result.slice / lowest.where(lowest > 0))
        path = (result.path_first, result.path_second)
        panels.append(Heatmap(SLICE, above.where(np.isfinite(above)), x="first", y="second", width="half", path=path))
    return panels


def summary(result: xr.Dataset) -> list[Finding]:
    found = []
    for rank, (name, of) in enumerate(
        (
            ("scaled", ""),
            ("reduced", ", of the weights of each norm that fit the training examples best,"),
        ),
        72,
    ):
        claims = Claims(result, BEST)
        if claims.known(f"test_{name}_best"):
            told, records = course(claims, f"test_{name}_best", "2")
            sentence = f"The factor on the norm of all weights at which the test loss is lowest{of} {told}."
            found.append(Finding(sentence, records, chapter="how", rank=rank))
    claims = Claims(result, titled(BARRIER, result), units(result))
    told, records = course(claims, "barrier", "2", units(result))
    records["earlier"] = Claims(result, titled(BARRIER, result), "").end("earlier")
    sentence = f"The barrier of the train loss on the straight line from the weights at step {{earlier}} {told}."
    found.append(Finding(sentence, records, chapter="how", rank=74))
    return found
