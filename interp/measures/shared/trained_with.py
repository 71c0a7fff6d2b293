"""The loss that a run was trained with, as panels and sentences write it.

A measure of the train loss stores the loss's name and units beside its numbers, as `loss_name` and `loss_units`.
"""

from __future__ import annotations

import xarray as xr

USUAL = "cross-entropy"
"""The loss that titles need not name."""


def units(result: xr.Dataset) -> str:
    """The units of the run's loss: "nats" for cross-entropy, "" for a loss without units."""
    return _first(result.loss_units)


def in_units(loss: xr.DataArray, result: xr.Dataset) -> xr.DataArray:
    """`loss`, an array of `result`, labelled with the units of the run's loss."""
    return loss.assign_attrs(units=units(result))


def titled(title: str, result: xr.Dataset) -> str:
    """`title` as it is where the run's loss is cross-entropy, else with the name of the loss in brackets."""
    name = _first(result.loss_name)
    return title if name in ("", USUAL) else f"{title} ({name})"


def _first(texts: xr.DataArray) -> str:
    """The first text that is not blank; "" where all are."""
    return next((str(text) for text in texts.values.flat if text), "")
