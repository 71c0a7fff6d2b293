"""What a measure says of a result, all its findings together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import xarray as xr

from interp.results import account
from interp.summaries import Phase


@dataclass(frozen=True)
class Said:
    sentence: str
    values: dict[str, Any]
    phases: tuple[Phase, ...]


def summary(measure: str, result: xr.Dataset) -> Said:
    """The sentences of the measure's findings, and the values of their records by name."""
    found = account.findings(measure, result)
    values = {
        name: list(value) if isinstance(value, tuple) else value for one in found for name, value in one.values.items()
    }
    return Said(" ".join(one.text for one in found), values, tuple(phase for one in found for phase in one.phases))
