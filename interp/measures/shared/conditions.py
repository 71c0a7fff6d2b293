"""A verdict, and how far it is from the next, out of numbers that are held against bars.

Every verdict is a list of conditions. How far a number is from its bar is a share of the room on its side: 0 at the
bar, 1 at the end of its range, negative where the condition is missed. Of conditions that have to hold together the
least decides, of ways to come to the same verdict the greatest: so the margin goes to 0 at every bar, from both sides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

UNCLEAR = "unclear"
"""The verdict where no other one's conditions are met."""


@dataclass(frozen=True)
class Condition:
    """A number held against a bar."""

    number: str
    value: float
    bar: float
    away: float
    """How far it holds, from 0 to 1; negative where it is missed."""
    towards: str = UNCLEAR
    """The verdict that may stand on the other side of the bar."""


@dataclass(frozen=True)
class Decided:
    """A verdict and what it hung on."""

    verdict: str
    by: Condition
    """The condition nearest to its bar: of a verdict that is missed, the one that misses it most."""
    next: str
    """The verdict on the other side of that bar; "unclear" where no other is."""

    @property
    def margin(self) -> float:
        return abs(self.by.away)


def decided(reached: Mapping[str, Condition]) -> Decided:
    """Return the verdict that is reached, given how far each one is; "unclear" where none is, and the nearest then."""
    nearest = max(reached, key=lambda verdict: reached[verdict].away)
    by = reached[nearest]
    if by.away < 0:
        return Decided(UNCLEAR, by, nearest)
    beyond = reached.get(by.towards)
    return Decided(nearest, by, by.towards if beyond is not None and beyond.away == -by.away else UNCLEAR)


def above(number: str, value: float, bar: float) -> Condition:
    """`value`, from 0 to 1, is to reach `bar`; one that is not known misses it."""
    room = 1 - bar if value >= bar else bar
    return Condition(number, value, bar, bounded((value - bar) / room))


def below(number: str, value: float, bar: float, least: float = 0.0) -> Condition:
    """`value`, from `least` to 1, is to stay below `bar`; one that is not known misses it."""
    room = bar - least if value <= bar else 1 - bar
    return Condition(number, value, bar, bounded((bar - value) / room))


def bounded(away: float) -> float:
    return -1.0 if math.isnan(away) else max(-1.0, min(away, 1.0))


def all_of(*conditions: Condition) -> Condition:
    """The condition that decides where all have to hold: the least."""
    return min(conditions, key=lambda one: one.away)


def any_of(*conditions: Condition) -> Condition:
    """The condition that decides where one has to hold: the greatest."""
    return max(conditions, key=lambda one: one.away)


def negated(condition: Condition, towards: str = UNCLEAR) -> Condition:
    return replace(condition, away=-condition.away, towards=towards)


def where(chosen: Condition, then: Condition, otherwise: Condition) -> Condition:
    """`then` where `chosen` holds, else `otherwise`; where both agree, it does not matter how far `chosen` holds."""
    return any_of(all_of(chosen, then), all_of(negated(chosen), otherwise), all_of(then, otherwise))
