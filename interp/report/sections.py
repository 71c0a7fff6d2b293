"""The parts of a section that are the same for one run, several runs and a sweep: heading, caption and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from interp.catalogue.caption import caption
from interp.catalogue.names import module_of
from interp.recipes.asks import Ask
from interp.report.content import Section, Silence, Variable
from interp.results.account import Silent


def heading(ask: Ask) -> str:
    """The first line of the measure's file, or its name in words; the label where it has one of its own."""
    first = (module_of("measures", ask.measure).__doc__ or "").strip().partition("\n")[0].rstrip(".")
    found = first or ask.measure.replace("_", " ").capitalize()
    return found if ask.label == ask.measure else f"{found} ({ask.label})"


def variable(array: xr.DataArray) -> Variable:
    """An array for the page's data."""
    return Variable(
        name=str(array.name),
        dims=tuple(map(str, array.dims)),
        values=array.values,
        coords={str(dim): array[dim].values.tolist() for dim in array.dims},
        long_name=str(array.attrs.get("long_name", "")),
        units=str(array.attrs.get("units", "")),
    )


def section(ask: Ask, **own: Any) -> Section:
    """The section of a measure: its caption, and what is its own here, the other fields of a `Section`."""
    told = caption("measures", ask.measure)
    return Section(
        label=ask.label,
        heading=heading(ask),
        claim=told.claim,
        caption=told.prose,
        formulas=told.formulas,
        paper=told.paper,
        **own,
    )


def silences(results: Mapping[str, xr.Dataset | Silent]) -> tuple[Silence, ...]:
    """The measures without an answer, those with the same reason together."""
    labels: dict[str, list[str]] = {}
    for result in results.values():
        if isinstance(result, Silent):
            labels.setdefault(result.reason.rstrip("."), []).append(result.label)
    return tuple(Silence(tuple(silent), reason) for reason, silent in labels.items())
