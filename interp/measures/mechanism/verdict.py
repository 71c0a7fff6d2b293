"""The verdict, and how far it is from the next, from what was found of the network and of the closed forms.

Every verdict is a list of conditions, each a number held against a bar: `interp.measures.shared.conditions` tells which
of them decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from interp.measures.mechanism.forms import Explained, StandIn
from interp.measures.shared.conditions import Condition, Decided, above, all_of, below, bounded, decided, negated, where
from interp.measures.shared.generalised import GENERALISED
from interp.measures.shared.memory import OfMemory

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


def verdict_of(of_memory: OfMemory, of_forms: OfForms | None) -> Decided:
    """Return the verdict; without `of_forms`, where the task has no cyclic order, it is memorisation or unclear."""
    forms = {} if of_forms is None else _forms(of_forms)
    reached: dict[str, Condition] = {
        **forms,
        "memorisation": all_of(*of_memory.conditions, *(negated(one, verdict) for verdict, one in forms.items())),
    }
    return decided(reached)


def _forms(found: OfForms) -> dict[Verdict, Condition]:
    """How far each closed form is the verdict."""
    named: dict[Verdict, tuple[Form, StandIn]] = {
        "clock": ("clock", found.stand_ins["clock"]),
        "pizza": ("pizza", found.stand_ins["pizza"]),
        "mixture": ("halves", found.stand_ins["both"]),
    }
    circles = above("circle explained", found.circles.both, HALF)
    return {
        verdict: all_of(
            above("accuracy", found.accuracy, LEARNT),
            above("form accuracy", one.accuracy, LEARNT),
            above("agreement", one.agreement, AGREES),
            below("left accuracy", one.left_accuracy, HALF),
            where(
                circles,
                _explains_most(found.circles, form),
                all_of(_explains_most(found.whole, form), above("sparsity", found.sparsity, HALF)),
            ),
        )
        for verdict, (form, one) in named.items()
    }


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
    return Condition("explained", own, shares[best], bounded(away), "mixture" if best == "halves" else best)
