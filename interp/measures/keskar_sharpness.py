"""The highest loss in a small box about the weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from interp.checkpoints import Checkpoint, Run
from interp.figures import Curves
from interp.findings import Claims, Finding, course
from interp.maths.landscape import value_and_gradient
from interp.maths.rises import Box, rises_in_boxes
from interp.maths.standard_error import standard_error
from interp.measures.shared.around_grokking import around_grokking
from interp.measures.shared.seed import Seed
from interp.measures.shared.told_apart import remark
from interp.measures.shared.train_loss import train_loss

SubspaceDim = Annotated[int, Field(ge=0, le=1000)]
"""A larger subspace than 1,000 takes gigabytes; 0 stands for no subspace, all dimensions."""


@dataclass(frozen=True)
class KeskarSharpness:
    sharpness: Float[np.ndarray, ""]
    """Keskar's φ, the mean over the subspaces drawn [%]"""
    sharpness_se: Float[np.ndarray, ""]
    """Standard error of φ's mean; 0 in the full space, NaN where the draws do not differ [%]"""
    relative_rise: Float[np.ndarray, ""]
    """The mean rise as a multiple of the train loss; NaN where the loss is 0"""
    relative_rise_se: Float[np.ndarray, ""]
    """Standard error of the mean rise as a multiple of the train loss; 0 and NaN as that of φ"""
    by_draw: Float[np.ndarray, " draw"]
    """Keskar's φ in each subspace, the same ones at every step"""
    sampling_seed: int
    """Seed with which the subspaces were drawn"""


def keskar_sharpness(
    checkpoint: Checkpoint,
    subspace_dim: SubspaceDim = 10,
    epsilon: PositiveFloat = 1e-3,
    draws: PositiveInt = 10,
    seed: Seed = 0,
) -> KeskarSharpness:
    r"""Sharp minima, where the loss rises fast about the weights, are said to generalise worse.

    φ is the largest rise of the train loss in a box about the weights, in percent of 1 + loss. The box lies in a random
    subspace of `subspace_dim` dimensions, at most 1,000 (0: in all of them, and nothing is drawn) and is wider along
    larger weights; `epsilon` is its width. The rows of A⁺ are uniform in [-1, 1], scaled to unit length, A is its
    pseudo-inverse. φ is the mean over `draws` of them, the bars are its standard error, which is 0 in the full space
    and missing where one subspace was drawn or all rise alike. φ grows with `subspace_dim` and with `epsilon`, so only
    values with the same options can be compared.

    Once the training set is known the loss is far below 1 and φ falls with it; the rise as a multiple of the loss shows
    what remains of it beyond that.

    At the default width, in small networks, φ is the maximum. In wider boxes it is what the search finds, a lower
    bound: of the highest corner it has been found to miss up to 7% at ε = 0.01, and most at ε = 0.1. The maximum is a
    maximum: the code released with Power et al. 2022 appears to look for the minimum in the box. The loss is the one
    that the run was trained with, cross-entropy unless its recipe says otherwise, and is taken in float64.

    Formula: \varphi = 100\, \frac{\max_{y \in C} \mathcal{L}(\theta + A y) - \mathcal{L}(\theta)}
        {1 + \mathcal{L}(\theta)}, \quad C = \{y : |y_i| \le \epsilon\, (|(A^+ \theta)_i| + 1)\}

    Paper: Keskar et al. 2017, arXiv 1609.04836; Power et al. 2022, arXiv 2201.02177
    """
    drawn = draws if subspace_dim else 1
    loss, x = train_loss(checkpoint)
    value, _ = value_and_gradient(loss, x)
    rises = np.array(list(rises_in_boxes(loss, x, _boxes(x, subspace_dim, epsilon, drawn, seed))))
    sharpness = 100 * rises / (1 + value)
    relative = rises / value if value else np.full(drawn, np.nan)
    return KeskarSharpness(
        sharpness=np.array(sharpness.mean()),
        sharpness_se=_standard_error(sharpness, subspace_dim),
        relative_rise=np.array(relative.mean()),
        relative_rise_se=_standard_error(relative, subspace_dim),
        by_draw=sharpness,
        sampling_seed=seed,
    )


def _standard_error(by_draw: Float[np.ndarray, " draw"], subspace_dim: int) -> Float[np.ndarray, ""]:
    """The standard error of the mean over the draws; 0 where nothing was drawn, as there is but one full space."""
    return np.array(standard_error(by_draw, counted=0.0 if subspace_dim else 1.0))


def _boxes(x: Float[Tensor, " weight"], subspace_dim: int, epsilon: float, draws: int, seed: int) -> Iterator[Box]:
    """The boxes of the definition about x; the subspaces are the same for every x of one length."""
    if not subspace_dim:
        yield Box(epsilon * (x.abs() + 1))
        return
    generator = torch.Generator().manual_seed(seed)
    for _ in range(draws):
        drawn = 2 * torch.rand(min(subspace_dim, len(x)), len(x), generator=generator, dtype=torch.float64) - 1
        A_plus = (drawn / drawn.norm(dim=1, keepdim=True)).to(x)
        Q, R = torch.linalg.qr(A_plus.T)
        A = torch.linalg.solve_triangular(R.T, Q, upper=False, left=False)  # the pseudo-inverse of A_plus
        yield Box(epsilon * ((A_plus @ x).abs() + 1), A)


def steps(run: Run) -> list[int]:
    return around_grokking(run)


@dataclass(frozen=True)
class Changes:
    changes: int
    """Steps of which there is a φ, less one"""
    not_told_apart: int
    """At how many of them φ changed, in the same subspaces, by less than two standard errors"""


def over_run(result: xr.Dataset) -> Changes:
    known = result.dropna("step", subset=["sharpness"]).by_draw.transpose("step", "draw").values
    change = np.diff(known, axis=0)
    draws = known.shape[1]
    error = 2 * change.std(axis=1, ddof=1) / draws**0.5 if draws > 1 else np.zeros(len(change))
    return Changes(len(change), int((np.abs(change.mean(axis=1)) <= error).sum()))


def figure(result: xr.Dataset) -> list[Curves]:
    arrays = {"Keskar sharpness φ": "sharpness", "The rise as a multiple of the loss": "relative_rise"}
    return [
        Curves(title, {"all": result[name]}, log=True, width="half", errors={"all": result[f"{name}_se"]})
        for title, name in arrays.items()
    ]


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, "Keskar sharpness φ")
    told, records = course(claims, "sharpness", "2", "%")
    sentence = f"The Keskar sharpness φ {told}"
    error = claims.maybe("sharpness_se")
    if error and error.step == records["end"].step and error.value > 0:
        records["error"] = error
        sentence += " (± {error:1}%)"
    because = "φ changes by less than two standard errors"
    return Finding(f"{sentence}.{remark(claims, records, because)}", records, chapter="how", rank=60)
