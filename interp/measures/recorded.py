"""What a release recorded of its networks, beside our numbers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from interp.catalogue.names import known_names
from interp.checkpoints import Checkpoint, Run
from interp.errors import InterpError, NothingToSay, shown
from interp.figures import Table
from interp.findings import Claims, Finding
from interp.measures.shared import recorded_metrics
from interp.summaries import number

RECORDED_RTOL, RECORDED_ATOL = 1e-4, 5e-8
"""Against a recorded value, which was computed in float32."""
REDERIVED_RTOL, REDERIVED_ATOL = 1e-6, 1e-9
"""Against the definition's value in float64."""
REPRODUCED = "reproduced"
TINY = "below_float64_softmax_resolution"
WHY_WRONG = {
    "recorded_wrong:rank_deficient_qr": "its authors made a basis of a frequency's four columns cos, -sin, sin and "
    "cos, which are of rank two, by QR, so that two columns of rounding came into it: shares are about 0.001 too "
    "large, and losses are wrong",
    "recorded_wrong:a5_3d_not_a_representation": "its authors' matrices for the representations of A5 of dimension 3 "
    "turn about an axis whose length is not 1, and so are none",
    "recorded_wrong:always_0_for_transformers": "its authors took the weights by names that a transformer's have not, "
    "so that 0 was recorded",
    "reproduced_times_8": "its authors cut the pairs into eight parts and added up the means of the parts",
}
"""Status of a recorded value that is not the definition's -> why the two differ."""


@dataclass(frozen=True)
class Recorded:
    metric: tuple[str, ...]
    status: tuple[str, ...]
    recorded: Float[np.ndarray, " metric"]
    """The release's value"""
    rederived: Float[np.ndarray, " metric"]
    """The definition's value, derived again in float64"""
    ours: Float[np.ndarray, " metric"]
    """Our value at the last checkpoint"""
    difference: Float[np.ndarray, " metric"]
    """Difference of ours from the recorded value, as a share of it"""
    rederived_difference: Float[np.ndarray, " metric"]
    """Difference of ours from the value derived again, as a share of it"""
    agrees: Bool[np.ndarray, " metric"]
    """Ours is the value derived again and, where that reproduces it, the recorded one"""
    differs: Bool[np.ndarray, " metric"]
    """Ours is not that value"""
    metrics: int
    """Recorded metrics that a measure here defines"""
    agreeing: int
    """How many of them agree"""
    as_recorded: int
    """How many of them agree with a recorded value that the weights reproduce"""
    differing: int
    """How many of them differ"""
    has_status: Bool[np.ndarray, "metric status"]
    """What is known of the recorded value"""
    of_status: Int[np.ndarray, " status"]
    """Metrics of whose recorded value this is known"""


@dataclass(frozen=True)
class _Row:
    """One metric of a gold file, and our value."""

    metric: str
    recorded: float
    rederived: float
    status: str
    ours: float
    rtol: float

    @property
    def agrees(self) -> bool:
        if self.status == TINY:
            return abs(self.ours) < 1e-11
        known = [(self.rederived, max(REDERIVED_RTOL, self.rtol), REDERIVED_ATOL)]
        if self.status == REPRODUCED:
            known.append((self.recorded, max(RECORDED_RTOL, self.rtol), RECORDED_ATOL))
        compared = [(value, rtol, atol) for value, rtol, atol in known if not math.isnan(value)]
        return bool(compared) and all(
            abs(self.ours - value) <= rtol * abs(value) + atol for value, rtol, atol in compared
        )


def recorded(run: Run) -> Recorded:
    r"""What a release recorded of a network comes out here again.

    The values lie beside the weights, in gold.json or gold_….json: for each metric the recorded value, the value that
    follows from its definition in float64, and what is known of the recorded one. Expect ours to agree with the
    definition's to 1e-6, and with the recorded value to 1e-4 where that is reproduced: releases computed in float32.
    (Circularity: 2e-4, for solvers differ.) Where a recorded value is wrong, older than the weights, or of a split that
    nobody recorded, only the definition's counts; why a value is wrong is said.

    Metrics that no measure here defines, and those for which there is nothing to compare with, are left out, as is a
    ratio to a loss that is but rounding.

    Formula: \lvert x - r \rvert \le 10^{-4} \lvert r \rvert + 5 \cdot 10^{-8}, \quad
        \lvert x - d \rvert \le 10^{-6} \lvert d \rvert + 10^{-9}

    Paper: Nanda et al. 2023, arXiv 2301.05217; Chughtai et al. 2023, arXiv 2302.03025; Zhong et al. 2023,
        arXiv 2306.17844
    """
    rows = list(_rows(_metrics(run), run.final))
    if not rows:
        raise NothingToSay("no values that its authors recorded lie beside the weights")
    statuses = tuple(dict.fromkeys(row.status for row in rows))
    recorded, rederived, ours = (
        np.array([getattr(row, name) for row in rows], float) for name in ("recorded", "rederived", "ours")
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        difference, rederived_difference = (np.abs(ours - known) / np.abs(known) for known in (recorded, rederived))
    return Recorded(
        metric=tuple(row.metric for row in rows),
        status=statuses,
        recorded=recorded,
        rederived=rederived,
        ours=ours,
        difference=difference,
        rederived_difference=rederived_difference,
        agrees=np.array([row.agrees for row in rows]),
        differs=np.array([not row.agrees for row in rows]),
        metrics=len(rows),
        agreeing=sum(row.agrees for row in rows),
        as_recorded=sum(row.agrees and row.status == REPRODUCED for row in rows),
        differing=sum(not row.agrees for row in rows),
        has_status=np.array([[row.status == status for status in statuses] for row in rows]),
        of_status=np.array([sum(row.status == status for row in rows) for status in statuses]),
    )


def _rows(metrics: Mapping[str, Any], checkpoint: Checkpoint) -> Iterator[_Row]:
    defined = known_names("measures")
    for name, entry in metrics.items():
        found = recorded_metrics.find(str(name))
        if found is None or found.metric.measure not in defined:
            continue
        recorded, rederived, status = _entry(str(name), entry)
        if (math.isnan(rederived) and status != REPRODUCED) or not found.is_resolved(checkpoint):
            continue
        yield _Row(str(name), recorded, rederived, status, found.value(checkpoint), found.metric.rtol)


def _entry(name: str, entry: Any) -> tuple[float, float, str]:
    try:
        recorded, rederived, status = entry
        numbers = [math.nan if value is None else float(value) for value in (recorded, rederived)]
    except (TypeError, ValueError, OverflowError):
        raise InterpError(
            f"the gold file's {shown(name, 60)} is {shown(entry, 60)}; expected [recorded, derived again, status]"
        ) from None
    return numbers[0], numbers[1], re.sub(r"[^\w :().-]", "?", str(status))[:80]


def _metrics(run: Run) -> Mapping[str, Any]:
    """The metrics of the gold file beside the weights; none where there is no such file.

    Raises InterpError where the file is not one of metrics.
    """
    for name in _gold_names(run.path):
        content = run.beside(name)
        if content is None:
            continue
        try:
            metrics = json.loads(content)["metrics"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InterpError(f"{name} beside {run.path} should be JSON that holds 'metrics'") from None
        if not isinstance(metrics, dict):
            raise InterpError(f"{name} beside {run.path}: 'metrics' should hold names and values")
        return metrics
    return {}


def _gold_names(path: Path) -> Iterable[str]:
    """The names it may have: gold_abc.json beside model_abc.pt or abc.pth, gold.json in a folder or beside any file."""
    if path.is_dir():
        return ("gold.json",)
    return (f"gold_{path.stem.removeprefix('model_')}.json", "gold.json")


def figure(result: xr.Dataset) -> list[Table]:
    """A table of all metrics: first those that differ, then those of the network, then those of one representation."""
    names, agrees = result.metric.values.tolist(), result.agrees.values.tolist()
    order = sorted(range(len(names)), key=lambda place: (agrees[place], recorded_metrics.is_of_rep(names[place])))
    rows = result.isel(metric=order)
    status = [str(rows.status.values[place]).replace("_", " ") for place in rows.has_status.values.argmax(axis=1)]
    columns = {
        "ours": rows.ours,
        "recorded": rows.recorded,
        "difference": _short(rows.difference),
        "derived again": rows.rederived,
        "difference from it": _short(rows.rederived_difference),
        "the recorded value": xr.DataArray(status, dims="metric"),
    }
    return [Table("Ours and recorded", columns, highlight={"accent": ~rows.agrees})]


def _short(difference: xr.DataArray) -> xr.DataArray:
    """The differences as texts of two digits; "" where there is no number to compare with."""
    texts = [number(value) if np.isfinite(value) else "" for value in difference.values]
    return difference.copy(data=texts)


MOST_NAMED = 5


def summary(result: xr.Dataset) -> list[Finding]:
    """How many agree, and of each kind of recorded values that are not the definition's why they are not."""
    claims = Claims(result, "Ours and recorded")
    records = {name: claims.end(name) for name in ("metrics", "agreeing", "as_recorded", "differing")}
    sentence = (
        "{agreeing} of {metrics:recorded metric} {agreeing:agrees.} with the definition, {as_recorded} of them with "
        "the recorded value too"
    )
    if records["differing"].value:
        records["differ"] = claims.end("differs", "labels")
        names = "{differ}" if records["differing"].value <= MOST_NAMED else "see the table"
        sentence += f"; {{differing}} {{differing:differs.}}: {names}"
    return [Finding(f"{sentence}.", records, chapter="answer", rank=10), *_why_wrong(claims)]


def _why_wrong(claims: Claims) -> list[Finding]:
    found = []
    for status, why in WHY_WRONG.items():
        if status in claims.result.status.values:
            of = {"wrong": claims.end("of_status", status=status)}
            sentence = f"Of {{wrong:metric}} the recorded value is not that of the definition: {why}."
            found.append(Finding(sentence, of, chapter="what", rank=10))
    return found
