"""The curvature of the train loss: the ends of its Hessian's spectrum, its trace, and those of the Gauss–Newton matrix.

1. `search` finds the eigenvalues at the ends, in float32 where float64 agrees, starting from what was found at the
   checkpoint before.
2. Here the traces are estimated beside the eigenvectors found, and all is described.
3. `telling` draws and speaks; no number is made there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from pydantic import Field, PositiveInt
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from interp.errors import InterpError
from interp.maths.curvature import Curvature
from interp.maths.extreme_eigenpairs import SPARE
from interp.maths.trace import trace, trace_of_square
from interp.measures.shared.around_grokking import around_grokking
from interp.measures.shared.seed import Seed
from interp.measures.shared.train_loss import trained
from interp.measures.sharpness.search import NEGATIVE, Asked, Starts, search
from interp.measures.sharpness.shares import shares_of_trace
from interp.measures.sharpness.telling import figure, summary

__all__ = ["Sharpness", "figure", "over_run", "sharpness", "steps", "summary"]

Tolerance = Annotated[float, Field(gt=0, lt=1)]
"""The largest residual, as a share of the eigenvalue."""
Probes = Annotated[int, Field(gt=0, le=1000)]
"""How many random vectors estimate a trace; all are held at once."""


@dataclass(frozen=True)
class Sharpness:
    eigenvalue: Int[Tensor, " eigenvalue"]
    """Place of the eigenvalue, the largest first"""
    largest: Float[Tensor, " eigenvalue"]
    """Largest eigenvalues of the Hessian of the train loss"""
    largest_residual: Float[Tensor, " eigenvalue"]
    """‖Hv - λv‖ / |λ| of each"""
    most_negative: Float[Tensor, ""]
    """Most negative eigenvalue of the Hessian"""
    most_negative_residual: Float[Tensor, ""]
    """‖Hv - λv‖ / |λ| of it"""
    trace: Float[Tensor, ""]
    """Trace of the Hessian"""
    trace_se: Float[Tensor, ""]
    """Standard error of the trace; NaN for one probe, and where the Hessian is 0"""
    gauss_newton_largest: Float[Tensor, " eigenvalue"]
    """Largest eigenvalues of the Gauss–Newton matrix"""
    gauss_newton_residual: Float[Tensor, " eigenvalue"]
    """‖Gv - λv‖ / |λ| of each"""
    gauss_newton_trace: Float[Tensor, ""]
    """Trace of the Gauss–Newton matrix"""
    gauss_newton_trace_se: Float[Tensor, ""]
    """Standard error of that trace; NaN for one probe, and where the matrix is 0"""
    gradient_norm: Float[Tensor, ""]
    """L2 norm of the train loss's gradient"""
    gradient_overlap: Float[Tensor, ""]
    """Share of the gradient's square along the eigenvectors of the largest eigenvalues; NaN without a gradient"""
    converged: bool
    """Every residual is as small as was asked, or as rounding lets it be"""
    products: int
    """Vectors that were multiplied by a matrix, in either precision"""
    bits: int
    """Precision of the forward pass, 32 or 64"""
    sampling_seed: int
    """Seed with which the probes of the traces were drawn"""
    loss_name: str
    """Loss that the run was trained with"""
    loss_units: str
    """Units of that loss"""
    _start: Float[Tensor, "vector weight"]
    """Where the search in the Hessian of the next checkpoint starts"""
    _gauss_newton_start: Float[Tensor, "other weight"]
    """Where that in its Gauss–Newton matrix does"""


def sharpness(
    checkpoint: Checkpoint,
    previous: Sharpness | None = None,
    largest: PositiveInt = 5,
    tolerance: Tolerance = 1e-3,
    most_negative_tolerance: Tolerance = 0.05,
    probes: Probes = 10,
    seed: Seed = 0,
) -> Sharpness:
    r"""A few directions about the weights are far steeper than all others, and the train loss flattens as it falls.

    The loss is the one the run was trained with, and so are the units of all that is shown here. Expect the curvature
    to be highest while the training set is being learned, and to fall with the loss itself: once every training example
    is certain, nothing that is small moves the loss. So a network that has memorised is flat without having
    generalised. Look at what changes while the loss stands still: whether one eigenvalue leaves the others, and what
    share of the trace the largest hold.

    Hessian and Gauss–Newton matrix act on vectors by exact differentiation. The `largest` eigenvalues of either come
    from a block search that starts from the vectors of the checkpoint before and ends when ‖Hv - λv‖ ≤ `tolerance` λ.

    The negative end is dense: lest the second eigenvalue be taken for the first, two are followed there, to a residual
    of `most_negative_tolerance`, and the first is reported. What is reported may lie too near 0, by less than that
    share in every network tried, wherever the search started (at worst by 1.4%, in 532 searches among 1,100 to 2,400
    weights). With 1,000 weights or fewer the search spans every direction and misses none.

    Traces are Hutchinson's, outside the eigenvectors found, with `probes` probes that are the same at every checkpoint;
    the bars are their standard errors. Shares of a trace are left out where it is not clearly above 0, or less than
    what it holds. The forward pass is float32 where float64 agrees along the eigenvectors to 1e-5; what depends on the
    network's outputs alone is always float64.

    Formula: H = \nabla^2_\theta \mathcal{L}, \quad
        G = \frac{1}{N} \sum_i J_i^\top \frac{\partial^2 \ell_i}{\partial z_i^2} J_i, \quad
        \text{for cross-entropy } \frac{\partial^2 \ell_i}{\partial z_i^2} = \mathrm{diag}\, p_i - p_i p_i^\top

    Formula: \mathrm{tr}\, H \approx \sum_{j} \lambda_j + \frac{1}{m} \sum_{i=1}^m z_i^\top P H P z_i

    Paper: Ghorbani et al. 2019, arXiv 1901.10159; Gur-Ari et al. 2018, arXiv 1812.04754
    """
    found = trained(checkpoint)
    most = len(found.weights) - SPARE - NEGATIVE
    if largest > most:
        raise InterpError(f"sharpness: largest is {largest}; of {len(found.weights)} weights give {most} or less")
    exact = checkpoint.logits.to(found.weights.device)[checkpoint.task.train]
    loss = found.loss.derivatives(exact, found.targets)
    quick, precise = (Curvature(found.outputs, at, loss) for at in (found.weights.float(), found.weights))
    before = Starts(previous._start, previous._gauss_newton_start) if previous else None
    ends = search(quick, precise, Asked(largest, tolerance, most_negative_tolerance, seed), before)
    curvature, hessian, gauss_newton = quick if ends.bits == 32 else precise, ends.hessian, ends.gauss_newton
    gradient = precise.gradient
    size = gradient.norm()
    generator = torch.Generator().manual_seed(seed)
    signs = _signs(generator, probes, *gradient.shape).to(curvature.gradient)
    of_outputs = _signs(generator, probes, *curvature.outputs_shape).to(gradient)
    whole = trace(curvature.hessian, signs, hessian.vectors, hessian.largest)
    part = trace_of_square(curvature.gauss_newton_root, of_outputs, gauss_newton.vectors, gauss_newton.largest)
    return Sharpness(
        eigenvalue=torch.arange(largest) + 1,
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
        products=ends.products + 2 * probes,
        bits=ends.bits,
        sampling_seed=seed,
        loss_name=found.loss.name,
        loss_units=found.loss.units,
        _start=hessian.start.float(),
        _gauss_newton_start=gauss_newton.start.float(),
    )


def _signs(generator: torch.Generator, *shape: int) -> Int[Tensor, "probe ..."]:
    return 2 * torch.randint(0, 2, shape, generator=generator) - 1


def _relative(residuals: Float[Tensor, " pair"], values: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
    return (residuals / values.abs()).where(residuals > 0, 0)


def steps(run: Run) -> list[int]:
    return around_grokking(run)


@dataclass(frozen=True)
class Ends:
    share_of_trace: float
    """Share of the trace that the largest eigenvalues hold at the last step; NaN where it is not known well"""
    steps: int
    """Steps at which the eigenvalues were sought"""
    not_converged: int
    """At how many of them the search ended before it converged"""
    changes: int
    """Steps less one"""
    not_told_apart: int
    """At how many of these the largest eigenvalue changed by less than its residual"""


def over_run(result: xr.Dataset) -> Ends:
    last = result.isel(step=-1)
    largest = result.largest.values[:, 0]
    residual = np.abs(result.largest_residual.values[:, 0] * largest)
    return Ends(
        share_of_trace=float(shares_of_trace(last.largest, last.trace, last.trace_se).sum(min_count=1)),
        steps=len(largest),
        not_converged=int((~result.converged).sum()),
        changes=len(largest) - 1,
        not_told_apart=int((np.abs(np.diff(largest)) <= residual[1:] + residual[:-1]).sum()),
    )
