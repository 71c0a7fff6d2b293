"""The Hessian of the train loss: its largest eigenvalues, its trace, its most negative eigenvalue."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass, fields
from typing import Annotated

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from pydantic import Field, PositiveInt
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from interp.errors import InterpError
from interp.figures import Bars, Curves
from interp.maths.curvature import Curvature
from interp.maths.extreme_eigenpairs import SPARE, Eigenpairs, extreme_eigenpairs
from interp.maths.trace import trace, trace_of_square
from interp.measures.shared.around_grokking import around_grokking
from interp.measures.shared.seed import Seed
from interp.measures.shared.told_apart import remark
from interp.measures.shared.train_loss import trained
from interp.summaries import Summary, number

FEW_WEIGHTS, FEW_PER_EIGENVALUE = 1_000, 4
"""Where there are no more, or no more for each eigenvalue asked for, the search starts from every direction."""
LEAST_PRODUCTS = 1_500
"""A search may take so many at the least."""
NEGATIVE = 2
"""Eigenvalues that are looked for at the negative end: a search for one alone may end at the second."""
Tolerance = Annotated[float, Field(gt=0, lt=1)]
"""Of a residual, as a share of the eigenvalue."""
Probes = Annotated[int, Field(gt=0, le=1000)]
"""All are held at once."""
NO_VECTORS = torch.empty(0, 0)
"""To start from, where nothing was found before."""
AGREEMENT = 1e-5
"""Of float32 with float64, along the vectors found; where they differ more everything is done in float64."""


@dataclass(frozen=True)
class Sharpness:
    eigenvalue: Int[Tensor, " eigenvalue"]
    """Place of the eigenvalue, the largest first"""
    largest: Float[Tensor, " eigenvalue"]
    """Largest eigenvalues of the Hessian of the train loss [nats]"""
    largest_residual: Float[Tensor, " eigenvalue"]
    """‖Hv - λv‖ / |λ| of each"""
    most_negative: Float[Tensor, ""]
    """Most negative eigenvalue of the Hessian [nats]"""
    most_negative_residual: Float[Tensor, ""]
    """‖Hv - λv‖ / |λ| of it"""
    trace: Float[Tensor, ""]
    """Trace of the Hessian [nats]"""
    trace_se: Float[Tensor, ""]
    """Standard error of the trace"""
    gauss_newton_largest: Float[Tensor, " eigenvalue"]
    """Largest eigenvalues of the Gauss–Newton matrix [nats]"""
    gauss_newton_residual: Float[Tensor, " eigenvalue"]
    """‖Gv - λv‖ / |λ| of each"""
    gauss_newton_trace: Float[Tensor, ""]
    """Trace of the Gauss–Newton matrix [nats]"""
    gauss_newton_trace_se: Float[Tensor, ""]
    """Standard error of that trace"""
    gradient_norm: Float[Tensor, ""]
    """L2 norm of the train loss's gradient [nats]"""
    gradient_overlap: Float[Tensor, ""]
    """Share of the gradient's square along the eigenvectors of the largest eigenvalues; none without a gradient"""
    converged: bool
    """Every residual is as small as was asked, or as rounding lets it be"""
    products: int
    """Vectors that were multiplied by a matrix, in either precision"""
    bits: int
    """Precision of the forward pass, 32 or 64"""
    sampling_seed: int
    """Seed with which the probes of the traces were drawn"""
    _start: Float[Tensor, "vector weight"]
    _gauss_newton_start: Float[Tensor, "other weight"]


def sharpness(
    checkpoint: Checkpoint,
    previous: Sharpness | None = None,
    largest: PositiveInt = 5,
    tolerance: Tolerance = 1e-3,
    most_negative_tolerance: Tolerance = 0.05,
    probes: Probes = 10,
    seed: Seed = 0,
) -> Sharpness:
    r"""The curvature of the train loss about the weights: how steep its steepest directions are.

    Expect it to be highest while the training set is being learned, and to fall with the loss itself: once every
    training pair is certain, nothing that is small moves the loss. So a network that has memorised is flat without
    having generalised. Look at what changes while the loss stands still: whether one eigenvalue leaves the others, and
    what share of the trace the largest hold.

    Hessian and Gauss–Newton matrix act on vectors by exact differentiation; the `largest` eigenvalues of either come
    from a block search that starts from the vectors of the checkpoint before, until ‖Hv - λv‖ ≤ `tolerance` λ. The
    negative end is dense: lest the second be taken for the first, two are followed there, to a residual of
    `most_negative_tolerance`, and the first is reported. It may be too near 0; in every network tried it was by less
    than that share, wherever the search started (1.4 % at the worst of 532 searches among 1,100 to 2,400
    weights). With 1,000 weights or fewer the search spans every direction and misses none. Traces are
    Hutchinson's, with `probes` probes, the same at every checkpoint, outside the eigenvectors found; the bars are their
    standard errors. Shares of a trace are left out where it is not clearly above 0, or less than what it holds. The
    forward pass is float32 where float64 agrees along the eigenvectors to 1e-5; what depends on the logits alone is
    float64 always. Where the split is unknown, nothing was trained on, or the numbers overflow, there are none.

    Formula: H = \nabla^2_\theta \mathcal{L}, \quad
        G = \frac{1}{N} \sum_i J_i^\top (\mathrm{diag}\, p_i - p_i p_i^\top) J_i

    Formula: \mathrm{tr}\, H \approx \sum_{j} \lambda_j + \frac{1}{m} \sum_{i=1}^m z_i^\top P H P z_i

    Paper: Ghorbani et al. 2019, arXiv 1901.10159; Gur-Ari et al. 2018, arXiv 1812.04754
    """
    found = trained(checkpoint)
    exact = checkpoint.logits.to(found.weights.device)[checkpoint.task.train]
    most = len(found.weights) - SPARE - NEGATIVE
    if largest > most:
        raise InterpError(f"sharpness: largest is {largest}; of {len(found.weights)} weights give {most} or less")
    loss = found.loss.derivatives(exact, found.targets)
    precise = Curvature(found.outputs, found.weights, loss)
    quick = Curvature(found.outputs, found.weights.float(), loss)
    tolerances = (tolerance, most_negative_tolerance)
    before = (previous._start, previous._gauss_newton_start) if previous else (NO_VECTORS, NO_VECTORS)
    starts = _starts(len(found.weights), largest, *before, seed)
    spent = 0
    with contextlib.suppress(FloatingPointError):
        ends = _ends(quick, *starts, largest, *tolerances)
        spent = ends.products + 1
        if agree(ends.hessian, precise):
            return _described(quick, precise, ends, 32, spent, probes, seed)
        starts = _starts(len(found.weights), largest, ends.hessian.start, ends.gauss_newton.start, seed)
    try:
        ends = _ends(precise, *starts, largest, *tolerances)
    except FloatingPointError:
        warnings.warn(f"sharpness: at step {checkpoint.step:,} the curvature overflows", stacklevel=2)
        return _unknown(largest, seed)
    return _described(precise, precise, ends, 64, spent + ends.products, probes, seed)


def _starts(
    weights: int,
    largest: int,
    start: Float[Tensor, "_ _"],
    gauss_newton_start: Float[Tensor, "_ _"],
    seed: int,
) -> tuple[Float[Tensor, "vector weight"], Float[Tensor, "other weight"] | None]:
    """For the searches in H and in G: those given, where they are enough and of as many weights."""
    if weights <= max(FEW_WEIGHTS, FEW_PER_EIGENVALUE * largest):
        return torch.eye(weights), torch.eye(weights)
    if len(gauss_newton_start) >= largest + SPARE and gauss_newton_start.shape[1] == weights:
        return start, gauss_newton_start
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(largest + SPARE + NEGATIVE, weights, generator=generator), None


@dataclass(frozen=True)
class _Ends:
    hessian: Eigenpairs
    gauss_newton: Eigenpairs

    @property
    def products(self) -> int:
        return self.hessian.products + self.gauss_newton.products


def _ends(
    curvature: Curvature,
    start: Float[Tensor, "vector weight"],
    gauss_newton_start: Float[Tensor, "other weight"] | None,
    largest: int,
    tolerance: float,
    most_negative_tolerance: float,
) -> _Ends:
    """Of both spectra, in the precision of `curvature`. Without a start of its own the search in G begins where the one
    in H ended."""
    gradient, most = curvature.gradient[None], max(LEAST_PRODUCTS, 20 * largest)
    hessian = extreme_eigenpairs(
        curvature.hessian,
        torch.cat([start.to(gradient), gradient]),
        largest,
        NEGATIVE,
        tolerance,
        most_negative_tolerance,
        most,
    )
    start = hessian.start[: largest + SPARE] if gauss_newton_start is None else gauss_newton_start.to(gradient)
    return _Ends(hessian, extreme_eigenpairs(curvature.gauss_newton, start, largest, tolerance=tolerance, most=most))


def agree(found: Eigenpairs, precise: Curvature) -> bool:
    """Whether float64 maps the sum of the vectors found to the same multiple of each, and to little beside them."""
    vectors, values = found.vectors.double(), found.largest.to(precise.gradient)
    mapped = precise.hessian(vectors.sum(0, keepdim=True))[0]
    multiples = vectors @ mapped
    beside = (mapped - multiples @ vectors).norm()
    expected = found.largest_residual.norm().to(beside) + AGREEMENT * values.abs().max()
    return bool(((multiples - values).abs() <= AGREEMENT * values.abs()).all() and beside <= 2 * expected)


def _described(
    curvature: Curvature, precise: Curvature, ends: _Ends, bits: int, spent: int, probes: int, seed: int
) -> Sharpness:
    hessian, gauss_newton, gradient = ends.hessian, ends.gauss_newton, precise.gradient
    generator = torch.Generator().manual_seed(seed)
    signs = (2 * torch.randint(0, 2, (probes, len(gradient)), generator=generator) - 1).to(curvature.gradient)
    of_logits = (2 * torch.randint(0, 2, (probes, *curvature.outputs_shape), generator=generator) - 1).to(gradient)
    whole = trace(curvature.hessian, signs, hessian.vectors, hessian.largest)
    part = trace_of_square(curvature.gauss_newton_root, of_logits, gauss_newton.vectors, gauss_newton.largest)
    size = gradient.norm()
    return Sharpness(
        eigenvalue=torch.arange(len(hessian.largest)) + 1,
        largest=hessian.largest,
        largest_residual=_relative(hessian.largest_residual, hessian.largest),
        most_negative=hessian.smallest[0],
        most_negative_residual=_relative(hessian.smallest_residual, hessian.smallest)[0],
        trace=whole.value,
        trace_se=whole.se,
        gauss_newton_largest=gauss_newton.largest,
        gauss_newton_residual=_relative(gauss_newton.largest_residual, gauss_newton.largest),
        gauss_newton_trace=part.value,
        gauss_newton_trace_se=part.se,
        gradient_norm=size.cpu(),
        gradient_overlap=((hessian.vectors.double() @ (gradient / size)).square().sum()).cpu(),
        converged=hessian.converged and gauss_newton.converged,
        products=spent + 2 * probes,
        bits=bits,
        sampling_seed=seed,
        _start=hessian.start.float(),
        _gauss_newton_start=gauss_newton.start.float(),
    )


def _relative(residuals: Float[Tensor, " pair"], values: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
    return (residuals / values.abs()).where(residuals > 0, 0)


def _unknown(largest: int, seed: int) -> Sharpness:
    nothing = torch.full((largest,), torch.nan, dtype=torch.float64)
    numbers = {field.name: nothing[0] for field in fields(Sharpness) if not field.name.startswith("_")}
    vectors = dict.fromkeys(("largest", "largest_residual", "gauss_newton_largest", "gauss_newton_residual"), nothing)
    return Sharpness(
        **{
            **numbers,
            **vectors,
            "eigenvalue": torch.arange(largest) + 1,
            "converged": False,
            "products": 0,
            "bits": 64,
            "sampling_seed": seed,
            "_start": NO_VECTORS,
            "_gauss_newton_start": NO_VECTORS,
        }
    )


def steps(run: Run) -> list[int]:
    return around_grokking(run)


def figure(result: xr.Dataset) -> list[Curves | Bars]:
    places = result.eigenvalue.values
    of_trace = _shares(result.largest, result.trace, result.trace_se)
    of_gauss_newton = _shares(result.gauss_newton_largest, result.gauss_newton_trace, result.gauss_newton_trace_se)
    together = of_trace.sum("eigenvalue", min_count=1)
    return [
        Curves("Largest eigenvalues of the Hessian", _by_place(result.largest), log=True),
        Curves("Trace", {"all": result.trace}, log=True, width="half", errors={"all": result.trace_se}),
        Curves(
            "Hessian over Gauss–Newton",
            {
                "largest eigenvalue": _plain((result.largest / result.gauss_newton_largest)[:, 0]),
                "trace": _plain(result.trace / result.gauss_newton_trace),
            },
            width="half",
            errors={"trace": _error_of_ratio(result)},
        ),
        Curves(
            f"Share of the trace in the {len(places)} largest",
            {"all": together.assign_attrs(long_name="Their sum, as a share of the trace", units="")},
            percent=True,
            width="half",
        ),
        Curves("Share of the gradient along them", {"all": result.gradient_overlap}, percent=True, width="half"),
        Curves(
            "Most negative eigenvalue, its size",
            {"all": (-result.most_negative).assign_attrs(long_name="Size of the most negative eigenvalue")},
            log=True,
            width="half",
        ),
        Curves("Gradient norm", {"all": result.gradient_norm}, log=True, width="half"),
        Bars("Eigenvalues at this step, as shares of the trace", of_trace, percent=True),
        Bars("Gauss–Newton, as shares of its trace", of_gauss_newton, percent=True),
    ]


def _plain(ratio: xr.DataArray) -> xr.DataArray:
    return ratio.assign_attrs(units="")


def _error_of_ratio(result: xr.Dataset) -> xr.DataArray:
    """Of the two traces, whose probes are independent."""
    shares = [result.trace_se / result.trace, result.gauss_newton_trace_se / result.gauss_newton_trace]
    return result.trace / result.gauss_newton_trace * np.hypot(*shares)


def _shares(values: xr.DataArray, trace: xr.DataArray, error: xr.DataArray) -> xr.DataArray:
    """Of the trace, where that is known and holds the values: negative eigenvalues may make it less than their sum."""
    holds = (trace > 2 * error) & (values.sum("eigenvalue") <= trace)
    return (values / trace).where(holds)


def _by_place(array: xr.DataArray) -> dict[str, xr.DataArray]:
    return {f"{int(place)}": array.sel(eigenvalue=place) for place in array.eigenvalue.values}


def summary(result: xr.Dataset) -> Summary:
    if not result.trace.notnull().any():
        return Summary("There is no train loss to be curved: it is unknown what was trained on, or the loss overflows.")
    largest, residual = result.largest.values[:, 0], result.largest_residual.values[:, 0] * result.largest.values[:, 0]
    highest = int(largest.argmax())
    last, short = result.isel(step=-1), int((~result.converged).sum())
    share = float(_shares(last.largest, last.trace, last.trace_se).sum(min_count=1))
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
