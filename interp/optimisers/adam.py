"""Adam with the decay in the gradient: what Adam was before AdamW, and what most networks grok without."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat

from interp.contracts.optimiser import Column, Rows
from interp.optimisers.adamw import AdamW, check_betas


def adam(
    lr: PositiveFloat = 1e-3,
    l2: NonNegativeFloat = 0.0,
    betas: tuple[float, float] = (0.9, 0.98),
    eps: PositiveFloat = 1e-8,
    warmup: NonNegativeInt = 0,
) -> Adam:
    """w ← w - η·m̂/(√v̂ + eps), the moments those of g + l2·w, for every parameter, biases included.

    Coupled so, the decay is divided by √v̂ as the gradient is: PyTorch's Adam, and "honest" weight decay in the code of
    Power et al. 2022 (arXiv 2201.02177), whose Figure 1 has none at all. The warm-up is as in `adamw`. Raises
    ValueError where a beta is not in [0, 1).
    """
    check_betas(betas)
    return Adam(lr, 0.0, betas, eps, warmup, l2=l2)


@dataclass(frozen=True)
class Adam(AdamW):
    l2: float = 0.0

    @property
    def operations(self) -> Hashable:
        return "adam"

    def numbers(self, update: int, rate: float) -> tuple[float, ...]:
        """`l2`, and the numbers of AdamW without a decay."""
        return (self.l2, *super().numbers(update, rate))

    def move(self, rows: Rows, *numbers: Column) -> None:
        l2, *others = numbers
        rows.gradients.add_(torch.mul(rows.weights, l2, out=rows.scratch[0]))
        super().move(rows, *others)
