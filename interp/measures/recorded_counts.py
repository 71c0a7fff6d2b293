"""How many published numbers are found again, over all networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Int

from interp.checkpoints import Run
from interp.errors import NothingToSay
from interp.figures import Table
from interp.findings import Claim, Claims, Finding
from interp.measures.recorded import REPRODUCED

OF_ITS_DEFINITION = "rederived_only"
"""The status of a number that was not recorded, or not comparably, and was derived again from its definition."""


@dataclass(frozen=True)
class RecordedCounts:
    metrics: int
    """Recorded metrics that a measure here defines"""
    found_again: int
    """Ours is the recorded value, which the weights reproduce"""
    as_defined: int
    """Ours is the value that follows from the definition, and there is no recorded one that the weights reproduce"""
    recorded_otherwise: int
    """Metrics among these with a recorded value that the definition does not give"""
    differing: int
    """Ours is neither"""


def recorded_counts(run: Run) -> RecordedCounts:
    r"""What is true of one network that others published is true of all of them.

    The metrics are those of `recorded`. A value that was recorded wrongly, that is older than the weights, or whose
    split is unknown, is not that of the definition; ours is then held against the definition's, derived again.

    Formula: \text{found again} = \#\{\text{ours agrees, and the weights reproduce what was recorded}\}

    Paper: Nanda et al. 2023, arXiv 2301.05217; Chughtai et al. 2023, arXiv 2302.03025; Zhong et al. 2023,
        arXiv 2306.17844
    """
    try:
        found = run.measure("recorded")
    except NothingToSay:
        return RecordedCounts(0, 0, 0, 0, 0)
    agrees = found.agrees.values.astype(bool)
    statuses = found.status.values.astype(str)[found.has_status.values.argmax(axis=1)]
    reproduced = statuses == REPRODUCED
    return RecordedCounts(
        metrics=len(agrees),
        found_again=int((agrees & reproduced).sum()),
        as_defined=int((agrees & ~reproduced).sum()),
        recorded_otherwise=int((agrees & ~reproduced & (statuses != OF_ITS_DEFINITION)).sum()),
        differing=int((~agrees).sum()),
    )


@dataclass(frozen=True)
class Totals:
    networks: int
    """Networks"""
    without_records: int
    """Networks beside which nothing is recorded that a measure here defines"""
    all_metrics: int
    """Metrics of all networks"""
    all_found_again: int
    """Metrics of which ours is the recorded value"""
    all_as_defined: int
    """Metrics of which ours is the definition's value, and there is no recorded one that the weights reproduce"""
    all_recorded_otherwise: int
    """Metrics among these with a recorded value that the definition does not give"""
    all_differing: int
    """Metrics of which ours is neither"""
    differs: Int[np.ndarray, " run"]
    """How many metrics of the network differ"""


def over_runs(result: xr.Dataset) -> Totals:
    return Totals(
        networks=result.sizes["run"],
        without_records=int((result.metrics == 0).sum()),
        all_metrics=int(result.metrics.sum()),
        all_found_again=int(result.found_again.sum()),
        all_as_defined=int(result.as_defined.sum()),
        all_recorded_otherwise=int(result.recorded_otherwise.sum()),
        all_differing=int(result.differing.sum()),
        differs=result.differing.values,
    )


def figure(result: xr.Dataset) -> list[Table]:
    columns = {
        "metrics": result.metrics,
        "found again": result.found_again,
        "as defined": result.as_defined,
        "recorded otherwise": result.recorded_otherwise,
        "differ": result.differing,
    }
    return [Table("Metrics of every network", columns, highlight={"accent": result.differing > 0})]


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, "Metrics of every network")
    names = ("networks", "without_records", *(f"all_{name}" for name in _COUNTS))
    records: dict[str, Claim] = {name: claims.end(name) for name in names}
    sentence = (
        "Of {networks:network} {all_metrics:recorded metric} {all_metrics:has.} a measure here: {all_found_again} "
        "{all_found_again:is.} found again as recorded"
    )
    if records["all_as_defined"].value:
        sentence += "; {all_as_defined} {all_as_defined:is.} what the definition gives"
        if records["all_recorded_otherwise"].value:
            sentence += (
                ", of which {all_recorded_otherwise} {all_recorded_otherwise:was.} recorded otherwise (wrongly, of "
                "older weights, or of an unknown split)"
            )
    if records["all_differing"].value:
        records["differ"] = claims.end("differs", "labels")
        sentence += "; {all_differing} {all_differing:differs.}, of {differ}"
    else:
        sentence += "; none differs"
    if records["without_records"].value:
        sentence += "; of {without_records:network} nothing is recorded"
    return Finding(f"{sentence}.", records, chapter="answer", rank=5)


_COUNTS = ("metrics", "found_again", "as_defined", "recorded_otherwise", "differing")
