"""What a measure found: a sentence made from records of what it claims."""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from interp.findings.claim import Claim
from interp.summaries import Phase, Summary, listed, named, number, without_capital

Chapter = Literal["answer", "when", "what", "how", "details"]
CHAPTERS: tuple[Chapter, ...] = ("answer", "when", "what", "how", "details")
"""What a report tells in this order: what the run came to, when, what the network computes, how, and the rest."""


@dataclass(frozen=True)
class Finding:
    """A sentence, or two, and the records of the values in it.

    `sentence` names each record in braces, with the form of its words: "It generalised at {generalised:step}, when
    {share:%} of the neurons were clear." `Claim.__format__` tells the forms; "{share.bar:%}" is what a value was held
    against. Records that no sentence names are for scripts.
    """

    sentence: str
    claims: Mapping[str, Claim] = field(default_factory=dict)
    chapter: Chapter = "details"
    rank: int = 50
    """Within its chapter the lowest stands first."""
    phases: tuple[Phase, ...] = ()
    """What the report shades behind every curve over training."""
    unchecked: Mapping[str, Any] = field(default_factory=dict)
    """Values for scripts that no record stands for."""

    @functools.cached_property
    def parts(self) -> tuple[tuple[str, Claim | None], ...]:
        """The sentence in pieces: plain text, and each value in words with its record."""
        pieces: list[tuple[str, Claim | None]] = []
        for text, name, form, _ in string.Formatter().parse(self.sentence):
            if text and pieces and pieces[-1][1] is None:
                pieces[-1] = (pieces[-1][0] + text, None)
            elif text:
                pieces.append((text, None))
            if name is not None:
                key, _, of = name.partition(".")
                claim = self.claims[key]
                pieces.append((format(claim.held_against if of == "bar" else claim, form or ""), claim))
        return tuple(pieces)

    @property
    def text(self) -> str:
        """The sentence with its values in words."""
        return "".join(text for text, _ in self.parts).replace("**", "")

    @classmethod
    def without_records(cls, said: Summary | str) -> Finding:
        """A sentence as it is, which lands among the details."""
        summary = Summary(said) if isinstance(said, str) else said
        return cls(literal(summary.sentence), phases=summary.phases, unchecked=summary.values)

    @property
    def values(self) -> dict[str, Any]:
        """Each record's value by its name, and the values that have none."""
        return {**{name: claim.value for name, claim in self.claims.items()}, **self.unchecked}

    @functools.cached_property
    def ends(self) -> tuple[Claim, ...]:
        """The records in the sentence that speak of the end of the run, those of what is so for good among them."""
        return tuple(claim for _, claim in self.parts if claim and (claim.about == "end" or claim.holds_to_the_end))

    def as_of(self, last: int, answered: int, reason: str = "") -> Finding:
        """The finding of a run whose last step is `last`, of which arrays of the whole run know up to `answered`.

        Where it speaks of an earlier end, it says so first, and of single values of an earlier end last; `reason` is
        why there is no number at the last step.
        """
        steps = [answered if one.step is None or one.holds_to_the_end else one.step for one in self.ends]
        if not steps or min(steps) >= last:
            return self
        if max(steps) >= last:
            early = sorted({step for step in steps if step < last})
            of = [text for text, one in self.parts if one in self.ends and one and one.step in early]
            which = literal(listed(of))
            told = f"{self.sentence.removesuffix('.')} ({which}: last defined at {named('step', early)})."
            return replace(self, sentence=told)
        why = f": {reason.rstrip('.')}" if reason else ""
        undefined = f"At step {number(last)} there is no such number{why}; last defined at step {number(max(steps))}"
        then = re.sub("^At the end,? | at the end(?=[,;.:])", "", self.sentence)
        then = re.sub("[Aa]t the end(?! of)", "at that step", without_capital(then))
        return replace(self, sentence=f"{undefined}: {then}")

    def of_one_step(self) -> Finding:
        """The finding of a run with a single checkpoint, which has no end to speak of."""
        began = re.sub("^At the end,? (.)", lambda found: found[1].upper(), self.sentence)
        within = re.sub("([,;:] )at the end,? (?!of)", r"\1", began)
        return replace(self, sentence=re.sub(" at the end(?=[,;.:])", "", within))

    def plain(self) -> dict[str, Any]:
        """The finding as JSON has it."""
        return {
            "chapter": self.chapter,
            "rank": self.rank,
            "sentence": self.text,
            "claims": {name: claim.plain() for name, claim in self.claims.items()},
        }


def literal(text: str) -> str:
    """A text as it has to stand in a sentence whose braces name records."""
    return text.replace("{", "{{").replace("}", "}}")
