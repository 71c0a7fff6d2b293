"""The size of the weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.figures import Curves
from interp.findings import Claims, Finding, course
from interp.measures.shared.parameter_names import short_names

MOST_LINES = 6
"""The panel by parameter shows at most so many."""


@dataclass(frozen=True)
class WeightNorm:
    parameter: tuple[str, ...]
    norm: Float[Tensor, " parameter"]
    """L2 norm of each parameter"""
    total: Float[Tensor, ""]
    """L2 norm of all parameters together"""


def weight_norm(checkpoint: Checkpoint) -> WeightNorm:
    r"""The weights grow while the training set is memorised, and shrink as the network generalises.

    The norm is that of all weights together, and of each parameter. So it is expected to go with weight decay; whether
    it falls or rises at grokking depends on the set-up: without weight decay it rises (Gromov 2023).

    Formula: \lVert\theta\rVert_2 = \sqrt{\sum_i \theta_i^2}

    Paper: Nanda et al. 2023, arXiv 2301.05217; Liu et al. 2022 (Omnigrok), arXiv 2210.01117
    """
    squares = {name: value.double().square().sum() for name, value in checkpoint.weights.items()}
    stacked = torch.stack(list(squares.values()))
    return WeightNorm(tuple(squares), stacked.sqrt(), stacked.sum().sqrt())


def figure(result: xr.Dataset) -> list[Curves]:
    names = result.parameter.values.tolist()
    largest = result.norm.max("step").values.argsort()[::-1][:MOST_LINES]
    lines = {
        short: result.norm.isel(parameter=place) for place, short in enumerate(short_names(names)) if place in largest
    }
    return [
        Curves("Weight norm", {"all": result.total}, width="half"),
        Curves("Weight norm by parameter", lines, width="half"),
    ]


def summary(result: xr.Dataset) -> Finding:
    told, records = course(Claims(result, "Weight norm"), "total")
    return Finding(f"The weight norm {told}.", records, chapter="how", rank=40)
