"""The verdict, and how far it is from the next, from what was found of the network and of the closed forms.

Every verdict is a list of conditions, each a number held against a bar. How far a number is from its bar is a share of
the room on its side: 0 at the bar, 1 at the end of its range, negative where the condition is missed. Of conditions
that have to hold together the least decides, of ways to come to the same verdict the greatest: so the margin goes to 0
at every bar, from both sides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from interp.measures.mechanism.forms import Explained, StandIn
from interp.measures.shared.generalised import GENERALISED

Verdict = Literal["memorisation", "clock", "pizza", "mixture", "unclear"]
Form = Literal["clock", "pizza", "halves"]
Number = Literal[
    "accuracy",
    "form accuracy",
    "agreement",
    "left accuracy",
    "explained",
    "sparsity",
    "circle explained",
    "train accuracy",
    "novel accuracy",
]
"""The numbers that can decide a verdict:

- accuracy: share of all pairs that the network answers right;
- form accuracy: share of all pairs that the verdict's closed form answers right in the network's place;
- agreement: share of the network's divergence from answers all alike that the closed form accounts for;
- left accuracy: share of all pairs that the network answers right without the closed form;
- explained: share of the deciding logits that the verdict's form explains; its bar is what the next best form explains;
- sparsity: 1 less the share of the frequencies that carry the logits;
- circle explained: share of the lone circles' logits that the closed forms explain; from one half on these decide;
- train accuracy: share of the training examples that the network answers right;
- novel accuracy: share, answered right, of the examples that a lookup table of the training examples cannot know.
"""

LEARNT = GENERALISED
"""The share of all pairs that the network, and its closed form, answer right."""
AGREES = 0.95
"""The share of the network's divergence from answers all alike that its closed form accounts for."""
HALF = 0.5
"""Less than this share of the pairs right without the closed form; more than this share of a stage, or of logits."""
ABOVE_CHANCE = 0.25
"""The share of what chance leaves below which what is known of novel examples is no more than memory."""


@dataclass(frozen=True)
class Condition:
    """A number held against a bar."""

    number: Number
    value: float
    bar: float
    away: float
    """How far it holds, from 0 to 1; negative where it is missed."""
    towards: Verdict = "unclear"
    """The verdict that may stand on the other side of the bar."""


@dataclass(frozen=True)
class Decided:
    """A verdict and what it hung on."""

    verdict: Verdict
    by: Condition
    """The condition nearest to its bar: of a verdict that is missed, the one that misses it most."""
    next: Verdict
    """The verdict on the other side of that bar; "unclear" where no other is."""

    @property
    def margin(self) -> float:
        return abs(self.by.away)


@dataclass(frozen=True)
class OfForms:
    """What speaks for a closed form."""

    circles: Explained
    """The lone circles' logits."""
    whole: Explained
    """The whole logits."""
    stand_ins: Mapping[str, StandIn]
    """The closed forms in the network's place: "clock", "pizza", "both"."""
    accuracy: float
    """The share of all pairs that the network answers right."""
    sparsity: float
    """1 less the share of the frequencies that carry the logits."""


@dataclass(frozen=True)
class OfMemory:
    """What speaks for memory."""

    train_accuracy: float
    """NaN where nobody knows the training examples; of random labels that of all examples then."""
    novel_accuracy: float
    """NaN where there are no novel examples."""
    chance: float
    """The share of the examples that have the commonest answer."""
    random_labels: bool
    """Whether there is no rule to find."""

    @property
    def can_be_told(self) -> bool:
        """Whether memory can be told from a rule."""
        return self.random_labels or not math.isnan(self.train_accuracy + self.novel_accuracy)

    @property
    def bar(self) -> float:
        """The novel accuracy from which a network knows more than it was shown."""
        return self.chance + ABOVE_CHANCE * (1 - self.chance)


def verdict_of(of_memory: OfMemory, of_forms: OfForms | None) -> Decided:
    """Return the verdict; without `of_forms`, where the task has no cyclic order, it is memorisation or unclear."""
    forms = {} if of_forms is None else _forms(of_forms)
    reached: dict[Verdict, Condition] = {
        **forms,
        "memorisation": _all_of(*_memory(of_memory), *(_not(one, verdict) for verdict, one in forms.items())),
    }
    nearest = max(reached, key=lambda verdict: reached[verdict].away)
    by = reached[nearest]
    if by.away < 0:
        return Decided("unclear", by, nearest)
    beyond = reached.get(by.towards)
    return Decided(nearest, by, by.towards if beyond is not None and beyond.away == -by.away else "unclear")


def _forms(found: OfForms) -> dict[Verdict, Condition]:
    """How far each closed form is the verdict."""
    named: dict[Verdict, tuple[Form, StandIn]] = {
        "clock": ("clock", found.stand_ins["clock"]),
        "pizza": ("pizza", found.stand_ins["pizza"]),
        "mixture": ("halves", found.stand_ins["both"]),
    }
    circles = _above("circle explained", found.circles.both, HALF)
    return {
        verdict: _all_of(
            _above("accuracy", found.accuracy, LEARNT),
            _above("form accuracy", one.accuracy, LEARNT),
            _above("agreement", one.agreement, AGREES),
            _below("left accuracy", one.left_accuracy, HALF),
            _where(
                circles,
                _explains_most(found.circles, form),
                _all_of(_explains_most(found.whole, form), _above("sparsity", found.sparsity, HALF)),
            ),
        )
        for verdict, (form, one) in named.items()
    }


def _memory(found: OfMemory) -> list[Condition]:
    """The conditions of memory, but for the one that no closed form is the verdict."""
    known = _above("train accuracy", found.train_accuracy, LEARNT)
    if found.random_labels:
        return [known]
    return [_below("novel accuracy", found.novel_accuracy, found.bar, found.chance), known]


def _above(number: Number, value: float, bar: float) -> Condition:
    """`value`, from 0 to 1, is to reach `bar`; one that is not known misses it."""
    room = 1 - bar if value >= bar else bar
    return Condition(number, value, bar, _bounded((value - bar) / room))


def _below(number: Number, value: float, bar: float, least: float = 0.0) -> Condition:
    """`value`, from `least` to 1, is to stay below `bar`; one that is not known misses it."""
    room = bar - least if value <= bar else 1 - bar
    return Condition(number, value, bar, _bounded((bar - value) / room))


def _bounded(away: float) -> float:
    return -1.0 if math.isnan(away) else max(-1.0, min(away, 1.0))


def _explains_most(explained: Explained, form: Form) -> Condition:
    """The share that this form explains, or misses, of what the next best form leaves unexplained."""
    shares: dict[Form, float] = {
        "clock": explained.clock,
        "pizza": explained.pizza,
        "halves": explained.halves,
    }
    own = shares.pop(form)
    best = max(shares, key=lambda name: shares[name])
    room = 1 - min(own, shares[best])
    away = (own - shares[best]) / room if room > 0 else 0.0
    return Condition("explained", own, shares[best], _bounded(away), "mixture" if best == "halves" else best)


def _all_of(*conditions: Condition) -> Condition:
    """The condition that decides where all have to hold: the least."""
    return min(conditions, key=lambda one: one.away)


def _any_of(*conditions: Condition) -> Condition:
    """The condition that decides where one has to hold: the greatest."""
    return max(conditions, key=lambda one: one.away)


def _not(condition: Condition, towards: Verdict = "unclear") -> Condition:
    return replace(condition, away=-condition.away, towards=towards)


def _where(chosen: Condition, then: Condition, otherwise: Condition) -> Condition:
    """`then` where `chosen` holds, else `otherwise`; where both agree, it does not matter how far `chosen` holds."""
    return _any_of(_all_of(chosen, then), _all_of(_not(chosen), otherwise), _all_of(then, otherwise))
