"""Grokfast: the slow part of the gradients, amplified, in the hands of another optimiser."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat

from interp.contracts.nested_name import AnOptimiser
from interp.contracts.optimiser import Column, Rows, UpdateRule
from interp.optimisers.shared.around import Around

Kept = Annotated[float, Field(ge=0, lt=1)]
MOST = 1000


def grokfast(
    of: AnOptimiser = "adamw",
    average: Literal["ema", "ma"] = "ema",
    alpha: Kept = 0.98,
    factor: NonNegativeFloat = 2.0,
    window: Annotated[int, Field(gt=0, le=MOST)] = 100,
) -> Grokfast:
    r"""The optimiser `of`, given g + `factor`·(the running average of g) in the place of the gradient g.

    "ema" is the exponential average μ ← alpha·μ + (1 - alpha)·g, which begins as the first gradient; "ma" is the mean
    of the last `window` gradients, and adds nothing before there are so many. As in the code of Lee et al., whose
    factor is 2 for "ema" and 5 for "ma". The window of "ma" is kept: it takes `window` times the weights' memory.

    Formula: \hat g_t = g_t + \lambda \mu_t

    Paper: Lee et al. 2024, arXiv 2405.20233
    """
    assert isinstance(of, UpdateRule)  # the reader of the recipe makes it from the name
    return EMA(of, alpha, factor) if average == "ema" else MA(of, factor, window)


@dataclass(frozen=True)
class Grokfast(Around):
    """Either average."""


@dataclass(frozen=True)
class EMA(Grokfast):
    alpha: float
    factor: float

    @property
    def own_kept(self) -> tuple[str, ...]:
        return ("grokfast",)

    def own_numbers(self, update: int) -> tuple[float, ...]:
        """What is kept of the average, the gradient's share in it, which is all of it at first, and the factor."""
        return self.alpha, 1 - self.alpha if update else 1.0, self.factor

    def change(self, rows: Rows, *numbers: Column) -> None:
        keep, new, factor = numbers
        mean, scratch = rows.kept["grokfast"], rows.scratch[0]
        mean.mul_(keep).add_(torch.mul(rows.gradients, new, out=scratch))
        rows.gradients.add_(torch.mul(mean, factor, out=scratch))


@dataclass(frozen=True)
class MA(Grokfast):
    factor: float
    window: int

    @property
    def own_kept(self) -> tuple[str, ...]:
        return tuple(f"grokfast {place}" for place in range(self.window))

    @property
    def own_operations(self) -> Hashable:
        return self.window

    def own_numbers(self, update: int) -> tuple[float, ...]:
        """The place of this gradient in the window, and the factor over the window's length, 0 until it is full."""
        return update % self.window, self.factor / self.window if update + 1 >= self.window else 0.0

    def change(self, rows: Rows, *numbers: Column) -> None:
        place, by = numbers
        for at in place.unique().tolist():
            now = place[:, 0] == at
            rows.kept[f"grokfast {int(at)}"][now] = rows.gradients[now]
        total = rows.scratch[0].zero_()
        for name in self.own_kept:
            total.add_(rows.kept[name])
        rows.gradients.add_(total.mul_(by))
