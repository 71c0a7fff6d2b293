"""Eigenvalues as shares of a trace that is known to an error."""

from __future__ import annotations

import xarray as xr


def shares_of_trace(values: xr.DataArray, trace: xr.DataArray, error: xr.DataArray) -> xr.DataArray:
    """Return `values` as shares of the trace where that is known and holds them.

    Negative eigenvalues may make it less than their sum.
    """
    holds = (trace > 2 * error) & (values.sum("eigenvalue") <= trace)
    return (values / trace).where(holds)
