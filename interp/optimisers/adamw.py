"""AdamW: Adam with the weight decay applied to the weights themselves (Loshchilov & Hutter 2019)."""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor

from interp.contracts.optimiser import Optimiser


def adamw(
    parameters: list[Tensor],
    lr: PositiveFloat = 1e-3,
    weight_decay: NonNegativeFloat = 1.0,
    betas: tuple[float, float] = (0.9, 0.98),
    eps: PositiveFloat = 1e-8,
    warmup: NonNegativeInt = 10,
) -> Optimiser:
    """w ← (1 - η·weight_decay)·w - η·m̂/(√v̂ + eps), for every parameter, biases included.

    Update i, counted from 0, has η = lr·min(i/warmup, 1): as in Nanda et al. 2023 the first moves nothing
    and only gathers the gradient's moments. `warmup` 0 starts at full rate.
    """
    return Optimiser(
        torch.optim.AdamW(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=True),
        factor=lambda update: min(update / warmup, 1.0) if warmup else 1.0,
    )
