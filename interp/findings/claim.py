"""The record of what a sentence states: one value, and how it is had from the arrays of a result.

A record names an array, the place along training at which it is looked at (`where`), the labels along its other axes,
and what is made of what is left there (`reduction`). `recompute` in `interp.findings.recompute` has the value again
from the record and the arrays alone. A record is plain data: `plain()` goes into results and reports as JSON, and
`Claim.of(plain)` is the record again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from interp.summaries import counted, listed, named, number, percent, plural

Where = Literal[
    "end",  # the last step at which the array has a number
    "start",  # the first
    "highest",  # the step of the largest value
    "lowest",
    "first above",  # the first step at which it passes the bar
    "first below",
    "above for good",  # the step from which it is past the bar up to the last step at which it has a number
    "below for good",
    "step",  # the step that the record gives
    "run",  # an array of the whole run, which has no steps
]
Reduction = Literal["value", "sum", "mean", "max", "min", "count", "label", "labels", "lowest label"]
"""What is made of the axes that are left: `count` and `labels` are of what is true, or past the bar; `label` is that of
the largest value."""
About = Literal["end", "event", "change"]
Combined = Literal["less", "over", "relative to"]


@dataclass(frozen=True)
class Bar:
    """What a number is held against: the limit of a definition, or a chance level."""

    name: str
    """In words: "half of what guessing costs"."""
    value: float | None = None
    array: str = ""
    """The array of the result that holds it, where it is not one number; `times` it is the bar."""
    times: float = 1.0


@dataclass(frozen=True)
class Claim:
    """One value that a sentence states, and how it is had from the arrays of a result."""

    array: str
    where: Where
    labels: Mapping[str, Any] = field(default_factory=dict)
    """Along which axes it is looked at one label, or at a list of them."""
    reduction: Reduction = "value"
    gives: Literal["value", "step"] = "value"
    """Whether the value itself is stated, or the step at which it stands."""
    bar: Bar | None = None
    about: About = "end"
    unit: str = ""
    panel: str = ""
    """The title of the panel in which it can be seen."""
    combined: Combined | None = None
    """How this value and that of `other` make what is stated: less it, over it, or their difference over it."""
    other: Claim | None = None
    step: int | None = None
    """The step at which it stands; None of an array of the whole run."""
    value: Any = None

    def plain(self) -> dict[str, Any]:
        """The record as JSON has it."""
        return asdict(self)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Claim:
        """The record again, from what `plain` gave."""
        values = dict(plain)
        return cls(
            **values
            | {
                "bar": Bar(**values["bar"]) if values["bar"] else None,
                "other": cls.of(values["other"]) if values["other"] else None,
                "value": tuple(values["value"]) if isinstance(values["value"], list) else values["value"],
            }
        )

    @property
    def holds_to_the_end(self) -> bool:
        """Whether it is a step from which something is so up to the end, or a step of the whole run."""
        return self.where in ("above for good", "below for good") or (self.where == "run" and self.gives == "step")

    @property
    def held_against(self) -> Claim:
        """The bar, to be written like the value."""
        return replace(self, value=self.bar.value if self.bar else None, gives="value", reduction="value")

    def __format__(self, form: str) -> str:
        """The value in words.

        `form` is "" or a number of digits ("3", "3 nat"); "%" or ".1%" for a share; "°" for radians; "bytes"; a noun,
        which makes "5 neurons" of a count, "frequencies 2 and 5" of labels and "step 1,200" of a step; a verb with a
        "." after it, as in "is.", which takes the form that the value asks for.
        """
        value = self.value
        if form == "°":
            degrees = math.degrees(value)
            return f"{number(round(degrees) or degrees)}°"  # what is not quite none is not rounded to that
        if form.endswith("%"):
            return percent(value, int(form.strip(".%") or 0))
        if unit := re.fullmatch(r"(\d+) (\w+)", form):
            text = number(value, int(unit[1]))
            return f"{text} {unit[2] if text in ('1', '−1') else plural(unit[2])}"
        if form == "bytes":
            return f"{number(value)} bytes" if value < 1000 else f"{number(value / 1000, 3)} kB"
        if form.isdigit() or not form:
            if isinstance(value, tuple):
                return listed(value)
            return value if isinstance(value, str) else number(value, int(form or 3))
        labels = value if isinstance(value, tuple) else (value,)
        if form.endswith("."):
            one = len(value) == 1 if isinstance(value, tuple) else value == 1
            return form[:-1] if one else plural(form[:-1])
        is_label = self.gives == "step" or self.reduction in ("label", "labels", "lowest label") or form == "step"
        return named(form, labels) if is_label else counted(int(labels[0]), form)
