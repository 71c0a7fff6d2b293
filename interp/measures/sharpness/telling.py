"""What `sharpness` shows and says of a run: eigenvalues and traces over training, the spectrum's end, sentences."""

from __future__ import annotations

import numpy as np
import xarray as xr

from interp.figures import Bars, Curves
from interp.findings import Claims, Finding, course
from interp.measures.shared.told_apart import remark
from interp.measures.shared.trained_with import in_units, titled
from interp.measures.sharpness.shares import shares_of_trace


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


def _by_place(array: xr.DataArray) -> dict[str, xr.DataArray]:
    return {f"{int(place)}": array.sel(eigenvalue=place) for place in array.eigenvalue.values}


def summary(result: xr.Dataset) -> list[Finding]:
    claims = Claims(result, titled("Largest eigenvalues of the Hessian", result))
    told, records = course(claims, "largest", eigenvalue=int(result.eigenvalue[0]))
    sentence = f"The largest eigenvalue of the Hessian of the train loss {told}."
    records |= {"not_converged": claims.end("not_converged"), "steps": claims.end("steps")}
    if records["not_converged"].value:
        sentence += " At {not_converged} of {steps:checkpoint} the search ended before it converged."
    sentence += remark(claims, records, "the largest eigenvalue changes by less than its residual")
    return [
        Finding(sentence, records, chapter="how", rank=55),
        _beside(Claims(result, "Trace")),
    ]


def _beside(claims: Claims) -> Finding:
    """The trace, what of it the largest eigenvalues hold, and the most negative one, at the end."""
    records = {"trace": claims.end("trace")}
    sentence = "The trace of the Hessian is {trace:3}"
    error = claims.maybe("trace_se")
    if error and error.step == records["trace"].step and error.value > 0:
        records["trace_error"] = error
        sentence += " ± {trace_error:1}"
    if claims.known("share_of_trace"):
        claims.panel = f"Share of the trace in the {claims.result.sizes['eigenvalue']} largest"
        records["share"] = claims.end("share_of_trace")
        largest = claims.result.sizes["eigenvalue"]
        hold = f"{largest} largest eigenvalues hold" if largest > 1 else "largest eigenvalue holds"
        sentence += f", of which the {hold} {{share:%}}"
    claims.panel = "Most negative eigenvalue, its size"
    records["most_negative"] = claims.end("most_negative")
    sentence += " at the end; the most negative eigenvalue is {most_negative:2}."
    return Finding(sentence, records, chapter="how", rank=56)
