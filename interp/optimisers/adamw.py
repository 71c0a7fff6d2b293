"""AdamW: Adam with the weight decay applied to the weights themselves (Loshchilov & Hutter 2019)."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat

from interp.contracts.optimiser import Column, Rows, UpdateRule


def adamw(
    lr: PositiveFloat = 1e-3,
    weight_decay: NonNegativeFloat = 1.0,
    betas: tuple[float, float] = (0.9, 0.98),
    eps: PositiveFloat = 1e-8,
    warmup: NonNegativeInt = 10,
    decay: Literal["to_zero", "to_init", "jiggle"] = "to_zero",
    decay_at: Literal["before", "after"] = "before",
    seed: NonNegativeInt = 0,
) -> AdamW:
    """w ← (1 - η·weight_decay)·w - η·m̂/(√v̂ + eps), for every parameter, biases included.

    Update i, counted from 0, has η = lr·min(i/warmup, 1): as in Nanda et al. 2023 the first moves nothing
    and only gathers the gradient's moments. `warmup` 0 starts at full rate. Raises ValueError where a beta is not in
    [0, 1).

    The decay is one of those that Power et al. 2022 (arXiv 2201.02177) compare: "to_zero"; "to_init", by which w moves
    η·weight_decay of the way to the weights before the first update; or "jiggle", w ← w·exp(η·weight_decay·N(0, 1)),
    drawn for each weight by `seed`. It comes before Adam's step, or after it. A decay that is part of the gradient, and
    so of the moments, is that of the optimiser `adam`.
    """
    check_betas(betas)
    return AdamW(lr, weight_decay, betas, eps, warmup, decay, decay_at, seed)


def check_betas(betas: tuple[float, float]) -> None:
    """Raises ValueError where a beta is not in [0, 1)."""
    if not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas is {list(betas)}; each is a share that is kept, at least 0 and less than 1")


@dataclass(frozen=True)
class AdamW(UpdateRule):
    lr: float
    weight_decay: float
    betas: tuple[float, float]
    eps: float
    warmup: int
    decay: str = "to_zero"
    decay_at: str = "before"
    seed: int = 0

    @property
    def kept(self) -> tuple[str, ...]:
        moments = ("exp_avg", "exp_avg_sq")
        return (*moments, "initial") if self.decay == "to_init" else moments

    @property
    def draws(self) -> int | None:
        return self.seed if self.decay == "jiggle" else None

    @property
    def operations(self) -> Hashable:
        return self.decay, self.decay_at

    def numbers(self, update: int, rate: float) -> tuple[float, ...]:
        """The betas and what they leave, η/(1 - β₁ⁱ⁺¹), 1/√(1 - β₂ⁱ⁺¹), eps; η·weight_decay, 1 less it, and whether
        it is the first update, as 1 or 0."""
        beta1, beta2 = self.betas
        eta = self.lr * rate * (min(update / self.warmup, 1.0) if self.warmup else 1.0)
        along = eta / (1 - beta1 ** (update + 1))
        root = 1 / math.sqrt(1 - beta2 ** (update + 1))
        decay = eta * self.weight_decay
        return beta1, 1 - beta1, beta2, 1 - beta2, along, root, self.eps, decay, 1 - decay, float(update == 0)

    def move(self, rows: Rows, *numbers: Column) -> None:
        keep_m, new_m, keep_v, new_v, along, root, eps, decay, left, is_first = numbers
        m, v = rows.kept["exp_avg"], rows.kept["exp_avg_sq"]
        first, second = rows.scratch
        if self.decay == "to_init":
            rows.kept["initial"].add_(torch.mul(rows.weights, is_first, out=first))  # it is 0 at first
        if self.decay_at == "before":
            self._decay(rows, decay, left)
        m.mul_(keep_m).add_(torch.mul(rows.gradients, new_m, out=first))
        v.mul_(keep_v).add_(torch.mul(rows.gradients, rows.gradients, out=first).mul_(new_v))
        torch.sqrt(v, out=first).mul_(root).add_(eps)  # √v̂ + eps
        rows.weights.sub_(torch.mul(m, along, out=second).div_(first))
        if self.decay_at == "after":
            self._decay(rows, decay, left)

    def _decay(self, rows: Rows, decay: Column, left: Column) -> None:
        scratch = rows.scratch[0]
        if self.decay == "jiggle":
            for row in rows.draw_normal(scratch.zero_()).mul_(decay):
                row.exp_()  # a row at a time: it is not rounded alike at every place of a longer array
            rows.weights.mul_(scratch)
            return
        rows.weights.mul_(left)
        if self.decay == "to_init":
            rows.weights.add_(torch.mul(rows.kept["initial"], decay, out=scratch))
