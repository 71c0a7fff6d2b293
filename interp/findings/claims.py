"""Records as a measure makes them: what its arrays hold at the end, where they are highest, when they pass a bar."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import xarray as xr

from interp.findings.claim import About, Bar, Claim, Combined, Reduction, Where
from interp.findings.recompute import UndefinedError, bar_at, evaluated

ABOUT: dict[Where, About] = {"end": "end", "run": "end", "step": "event", "start": "event"}


class Claims:
    """Makes records of one result: `Claims(result).end("test_loss")`, `.end("power", freq=[3, 7], reduction="sum")`.

    Labels along an array's axes are given by name: one label, or a list of them. What has no value raises
    UndefinedError, which leaves a measure's `summary` without that finding; `maybe` and `known` ask first.
    """

    def __init__(self, result: xr.Dataset, panel: str = "", unit: str | None = None) -> None:
        """`panel` is where the numbers can be seen, `unit` theirs, where it is not that of the array."""
        self.result, self.panel, self.unit = result, panel, unit

    def end(self, array: str, reduction: Reduction = "value", bar: Bar | None = None, **labels: Any) -> Claim:
        """What the array holds at the last step at which it has a number; of an array without steps, what it holds."""
        where = "end" if "step" in self.result[array].dims else "run"
        return self._made(Claim(array, where, labels, reduction, bar=bar))

    def start(self, array: str, reduction: Reduction = "value", **labels: Any) -> Claim:
        """What the array holds at the first step at which it has a number."""
        return self._made(Claim(array, "start", labels, reduction))

    def at(self, step: int, array: str, reduction: Reduction = "value", **labels: Any) -> Claim:
        """What the array holds at a step."""
        return self._made(Claim(array, "step", labels, reduction, step=step))

    def highest(self, array: str, reduction: Reduction = "value", **labels: Any) -> Claim:
        """The largest value that the array has at any step."""
        return self._made(Claim(array, "highest", labels, reduction))

    def lowest(self, array: str, reduction: Reduction = "value", **labels: Any) -> Claim:
        """The smallest value that the array has at any step."""
        return self._made(Claim(array, "lowest", labels, reduction))

    def passes(self, where: Where, array: str, bar: Bar, reduction: Reduction = "value", **labels: Any) -> Claim:
        """The step at which the array passes a bar, for the first time or for good."""
        return self._made(Claim(array, where, labels, reduction, gives="step", bar=bar))

    def step(self, array: str, **labels: Any) -> Claim:
        """A step that an array of the whole run holds."""
        return self._made(Claim(array, "run", labels, gives="step"))

    def step_of(self, claim: Claim) -> Claim:
        """The step at which what another record claims stands."""
        return self._made(replace(claim, gives="step", unit="", combined=None, other=None))

    def compared(self, claim: Claim, how: Combined, other: Claim) -> Claim:
        """What one value is less another, over it, or relative to it."""
        return self._made(replace(claim, combined=how, other=other, about="change"))

    def maybe(self, array: str, reduction: Reduction = "value", **labels: Any) -> Claim | None:
        """What the array holds at the end, or None where it has no number at any step."""
        try:
            return self.end(array, reduction, **labels)
        except UndefinedError:
            return None

    def when(self, where: Where, array: str, bar: Bar, reduction: Reduction = "value", **labels: Any) -> Claim | None:
        """The step at which the array passes a bar, or None where it does not."""
        try:
            return self.passes(where, array, bar, reduction, **labels)
        except UndefinedError:
            return None

    def for_good(self, *records: Claim) -> str:
        """The words "for good ", where these steps stand before the last: what is so there alone has not lasted yet."""
        last = int(self.result.step[-1])
        return "for good " if all(record.value != last for record in records) else ""

    def known(self, array: str) -> bool:
        """Whether the array has a number at any step."""
        return bool(self.result[array].notnull().any())

    def _made(self, claim: Claim) -> Claim:
        """The record with its value, its unit and the panel in which it can be seen."""
        value, step = evaluated(claim, self.result)
        bar = claim.bar and replace(claim.bar, value=bar_at(claim, self.result, step))
        unit = self.unit if self.unit is not None else str(self.result[claim.array].attrs.get("units", ""))
        about = claim.about if claim.combined else ABOUT.get(claim.where, "event")
        if claim.gives == "step":
            about, unit = "event", ""
        if claim.combined in ("over", "relative to"):
            unit = ""
        return replace(claim, value=value, step=step, bar=bar, unit=unit, about=about, panel=claim.panel or self.panel)
