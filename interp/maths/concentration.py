"""How unevenly a quantity is spread."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def gini(values: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """Gini's coefficient of non-negative values: 0 where all are equal, (n-1)/n where one has all.

    G = Σ_i (2i - n - 1) x_i / (n Σ x_i) over x sorted ascending, i from 1; NaN where all are 0.
    """
    n = len(values)
    place = 2 * torch.arange(1, n + 1, dtype=values.dtype, device=values.device) - n - 1
    return (place * values.sort().values).sum() / (n * values.sum())
