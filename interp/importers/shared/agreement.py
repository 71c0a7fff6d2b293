"""Whether a network, as it is read here, does what its authors recorded of it beside the weights."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from interp.summaries import number

ACCURACY_APART = 0.02
LOSS_APART, ONLY_LOSS_APART = 0.05, 0.20
"""Relative, at more than one checkpoint and at the only one: recorded losses may be some updates older."""
ROUNDING = 1e-6
"""Losses below it, recorded in float32, are rounding."""
MOST_LOOKED_AT = 8

LEAST_SHARE = 0.02
"""So many of all pairs at least are trained on, and so many are not."""

Curves = Mapping[str, Mapping[int, float]]
"""Quantity ("train_loss", "test_accuracy", …) -> step -> value."""
Computed = Callable[[int], Mapping[str, float]]
"""step -> quantity -> value; without a split the quantities are "loss" and "accuracy", of all pairs."""


def _share(value: float) -> str:
    return f"{value:.1%}"


def _loss(value: float) -> str:
    return number(value, 4) if math.isfinite(value) else "no finite number"


@dataclass(frozen=True)
class Disagreement:
    """One quantity at one checkpoint, recorded and computed."""

    quantity: str
    step: int
    recorded: tuple[float, float]
    """The least and the highest of what was recorded about then."""
    computed: float
    possible: tuple[float, float]
    """The least and the highest that this lets it be: of all pairs, less than of the two sets."""

    @property
    def sentence(self) -> str:
        low, high = self.recorded
        form = _share if "accuracy" in self.quantity else _loss
        recorded = form(low) if form(low) == form(high) else f"{form(low)} to {form(high)}"
        if low <= self.computed <= high:
            recorded += f", of all pairs {form(self.possible[0])} to {form(self.possible[1])}"
        name = self.quantity.replace("_", " ")
        article = "an" if name.startswith("a") else "a"
        here = form(self.computed)
        return (
            f"At step {self.step:,} the files record {article} {name} of {recorded}; as it is read here it is {here}."
        )


def disagreements(curves: Curves, steps: Sequence[int], computed: Computed) -> list[Disagreement]:
    """What was recorded and is not so, at some of the `steps`, the last among them, the greatest first.

    An accuracy that is off by more than .02 is; so is a loss that is off by more than 5% at more than one checkpoint,
    or by more than 20% at the only one. What was recorded a little before or after may be meant.
    """
    curves = {name: _as_shares(curve) if "accuracy" in name else curve for name, curve in curves.items() if curve}
    looked_at = sorted({*steps[:: -max(1, len(steps) // MOST_LOOKED_AT)], steps[-1]})
    found: list[tuple[float, Disagreement]] = []
    for step in looked_at if curves else ():
        for quantity, value in computed(step).items():
            about = _about(curves, quantity, step)
            if about is not None:
                recorded, (least, most) = about
                off = max(least - value, value - most, 0.0)
                if "loss" in quantity:
                    nearest = least if value < least else most
                    off = 0.0 if off < ROUNDING else off / max(abs(nearest), ROUNDING)
                found.append((off, Disagreement(quantity, step, recorded, value, (least, most))))
    wrong = [(off, one) for off, one in found if "accuracy" in one.quantity and off > ACCURACY_APART]
    losses = [(off, one) for off, one in found if "loss" in one.quantity]
    several = len({one.step for _, one in losses}) > 1
    apart = [(off, one) for off, one in losses if off > (LOSS_APART if several else ONLY_LOSS_APART)]
    if len({one.step for _, one in apart}) > 1 or (apart and not several):
        wrong += apart
    return [one for _, one in sorted(wrong, key=lambda pair: -pair[0])]


def _about(curves: Curves, quantity: str, step: int) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """The range of what was recorded of a quantity about a step, and that of what it may then be.

    Recorded about a step is what was recorded then, and at the recorded steps on either side. A quantity of all pairs
    lies between those of the two sets, and is neither: of 0 and 8 it is at least 0.16.
    """
    own = [_range(curve, step) for name, curve in curves.items() if name == quantity or name.endswith(f"_{quantity}")]
    of_all_pairs = quantity in ("loss", "accuracy")
    if not own or (of_all_pairs and len(own) < 2):
        return None  # of all pairs nothing is known from one of the two sets
    lows, highs = (sorted(side) for side in zip(*own, strict=True))
    least = LEAST_SHARE if of_all_pairs else 0.0
    possible = (1 - least) * lows[0] + least * lows[-1], (1 - least) * highs[-1] + least * highs[0]
    return (lows[0], highs[-1]), possible


def _range(curve: Mapping[int, float], step: int) -> tuple[float, float]:
    """The least and the highest value of a curve about a step."""
    recorded = sorted(curve)
    place = bisect.bisect_left(recorded, step)
    then = place < len(recorded) and recorded[place] == step
    values = [curve[at] for at in recorded[max(place - 1, 0) : place + (2 if then else 1)]]
    return min(values), max(values)


def _as_shares(curve: Mapping[int, float]) -> Mapping[int, float]:
    """Accuracies as shares, where they were recorded in per cent."""
    return {step: value / 100 for step, value in curve.items()} if max(curve.values()) > 1.5 else curve
