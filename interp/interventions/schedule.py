"""A learning rate that changes over training: less of it at the end, or in steps."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from interp.contracts.intervention import Intervention, Training


def schedule(
    stop: PositiveInt,
    to: NonNegativeFloat = 0.0,
    shape: Literal["linear", "cosine", "exponential", "step"] = "cosine",
    start: NonNegativeInt = 0,
) -> Intervention:
    r"""Multiply the learning rate by a factor that goes from 1 at update `start` to `to` at update `stop`, and stays.

    `shape` says how: in a straight line; along half a cosine; by the same factor in each update; or at once, at `stop`.
    The warm-up is the optimiser's own (`adamw: {warmup: 10}`), and both factors are multiplied. An optimiser's decay is
    multiplied too where it is part of the step, as AdamW's is. Raises ValueError where `stop` is not after `start`, or
    an exponential is to reach 0.

    Formula: \eta_i = \eta \, f(x), \quad x = \frac{i - \mathrm{start}}{\mathrm{stop} - \mathrm{start}}, \quad
        f = 1 - x (1 - t) \;\text{or}\; t + (1 - t) \frac{1 + \cos \pi x}{2} \;\text{or}\; t^x

    Paper: Loshchilov and Hutter 2016, arXiv 1608.03983
    """
    if stop <= start:
        raise ValueError(f"stop is {stop}, and start is {start}; the rate changes between the two")
    if shape == "exponential" and to == 0:
        raise ValueError("an exponential never reaches 0; give `to` a small number, or take another shape")

    def before_update(training: Training) -> None:
        gone = min((training.step - start) / (stop - start), 1.0)
        training.rate *= _factor(shape, gone, to)

    return Intervention(before_update=before_update, start=start)


def _factor(shape: str, gone: float, to: float) -> float:
    match shape:
        case "linear":
            return 1 - gone * (1 - to)
        case "cosine":
            return to + (1 - to) * (1 + math.cos(math.pi * gone)) / 2
        case "exponential":
            return to**gone
        case _:
            return to if gone == 1 else 1.0
