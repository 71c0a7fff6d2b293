"""What `sharpness` shows and says of a run: eigenvalues and traces over training, the spectrum's end, sentences."""

from __future__ import annotations

import numpy as np
import xarray as xr

from interp.figures import Bars, Curves
from interp.measures.shared.told_apart import remark
from interp.measures.shared.trained_with import in_units, titled
from interp.summaries import Summary, number


def figure(result: xr.Dataset) -> list[Curves | Bars]:
    places = result.eigenvalue.values
    of_trace = shares_of_trace(result.largest, result.trace, result.trace_se)
    of_gauss_newton = shares_of_trace(
        result.gauss_newton_largest, result.gauss_newton_trace, result.gauss_newton_trace_se
    )
    together = of_trace.sum("eigenvalue", min_count=1)
    return [
        Curves(
            titled("Largest eigenvalues of the Hessian", result), _by_place(in_units(result.largest, result)), log=True
        ),
        Curves(
            "Trace", {"all": in_units(result.trace, result)}, log=True, width="half", errors={"all": result.trace_se}
        ),
        Curves(
            "Hessian over Gauss–Newton",
            {
                "largest eigenvalue": (result.largest / result.gauss_newton_largest)[:, 0],
                "trace": result.trace / result.gauss_newton_trace,
            },
            width="half",
            errors={"trace": _error_of_ratio(result)},
        ),
        Curves(
            f"Share of the trace in the {len(places)} largest",
            {"all": together.assign_attrs(long_name="Their sum, as a share of the trace")},
            percent=True,
            width="half",
        ),
        Curves("Share of the gradient along them", {"all": result.gradient_overlap}, percent=True, width="half"),
        Curves(
            "Most negative eigenvalue, its size",
            {
                "all": in_units(-result.most_negative, result).assign_attrs(
                    long_name="Size of the most negative eigenvalue"
                )
            },
            log=True,
            width="half",
        ),
        Curves("Gradient norm", {"all": in_units(result.gradient_norm, result)}, log=True, width="half"),
        Bars("Eigenvalues at this step, as shares of the trace", of_trace, percent=True),
        Bars("Gauss–Newton, as shares of its trace", of_gauss_newton, percent=True),
    ]


def _error_of_ratio(result: xr.Dataset) -> xr.DataArray:
    """Return the standard error of the ratio of the two traces, whose probes are independent."""
    shares = [result.trace_se / result.trace, result.gauss_newton_trace_se / result.gauss_newton_trace]
    return result.trace / result.gauss_newton_trace * np.hypot(*shares)


def shares_of_trace(values: xr.DataArray, trace: xr.DataArray, error: xr.DataArray) -> xr.DataArray:
    """Return `values` as shares of the trace where that is known and holds them.

    Negative eigenvalues may make it less than their sum.
    """
    holds = (trace > 2 * error) & (values.sum("eigenvalue") <= trace)
    return (values / trace).where(holds)


def _by_place(array: xr.DataArray) -> dict[str, xr.DataArray]:
    return {f"{int(place)}": array.sel(eigenvalue=place) for place in array.eigenvalue.values}


def summary(result: xr.Dataset) -> Summary:
    largest, residual = result.largest.values[:, 0], result.largest_residual.values[:, 0] * result.largest.values[:, 0]
    highest = int(largest.argmax())
    last, short = result.isel(step=-1), int((~result.converged).sum())
    share = float(shares_of_trace(last.largest, last.trace, last.trace_se).sum(min_count=1))
    values = {
        "first": float(largest[0]),
        "highest": float(largest[highest]),
        "highest_step": int(result.step[highest]),
        "final": float(largest[-1]),
        "share_of_trace_final": share,
        "not_converged": short,
        "trace_final": float(last.trace),
        "trace_final_se": float(last.trace_se),
        "most_negative_final": float(last.most_negative),
        "largest_residual": float(result.largest_residual.max()),
        "not_told_apart": int((np.abs(np.diff(largest)) <= np.abs(residual[1:]) + np.abs(residual[:-1])).sum()),
    }
    fell = largest[highest] > 1.01 * largest[-1]
    peak = f"was **{number(largest[highest])}** at step {values['highest_step']:,} and " if fell else ""
    error = f" ± {number(values['trace_final_se'], 1)}" if np.isfinite(values["trace_final_se"]) else ""
    held = f", of which the {len(last.eigenvalue)} largest hold **{share:.0%}**" if np.isfinite(share) else ""
    ended = f" At **{short} of {len(largest)}** steps the search ended before it converged." if short else ""
    return Summary(
        f"The largest eigenvalue of the Hessian {peak}{'ends' if len(largest) > 1 else 'is'} at "
        f"**{number(largest[-1])}**; the trace at "
        f"**{number(values['trace_final'])}{error}**{held}, and the most negative "
        f"eigenvalue at **{number(values['most_negative_final'], 1)}**."
        + ended
        + remark(
            values["not_told_apart"], len(largest) - 1, "the largest eigenvalue changes by less than its residual"
        ),
        values,
    )
