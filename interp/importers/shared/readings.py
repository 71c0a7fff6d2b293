"""How a transformer may read two residues: the row of its tokens, the id of each, and where the answer's logits begin.

The sizes of the tables leave only some readings: a vocabulary of p + 2 has room for two words beside the residues.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from interp.importers.shared.layouts import Layout

ROWS = ("a b =", "a b", "a op b =", "a op b", "op a b", "bos a b =", "a b op =", "eos a op b =")
"""From the most usual on. A word's name is no matter: "bos a b =" is "op a b =" as well. What stands after the place
where the answer is read is not seen there, and is left out."""
MOST_WORDS = 3
"""A vocabulary has at most so many ids beside the residues, unless it is one of `VOCABULARIES`."""
LEAST_P = 3


@dataclass(frozen=True)
class Reading:
    """A row and its ids, as options of the model `transformer`."""

    p: int
    row: str
    shared_vocab: bool = True
    tokens: dict[str, int] = field(default_factory=dict)
    """The ids that are not the usual ones: residues from 0, then the other words in the order of the row."""
    answers: int = 0
    """The logit of residue 0."""

    def options(self, layout: Layout) -> dict[str, Any]:
        """The options of `transformer` that say it."""
        n_words = len({word for word in self.row.split() if word not in ("a", "b")})
        usual = self.p * (1 if self.shared_vocab else 2) + n_words
        options: dict[str, Any] = {"row": self.row, "shared_vocab": self.shared_vocab}
        if self.tokens:
            options["tokens"] = self.tokens
        if self.answers:
            options["answers"] = self.answers
        if layout.d_vocab != usual:
            options["d_vocab"] = layout.d_vocab
        if layout.d_vocab_out != layout.d_vocab:
            options["d_vocab_out"] = layout.d_vocab_out
        return options


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a published code with more than one task."""

    size: int
    p: int
    first: int
    words: dict[str, int]
    operators: range

    def readings(self) -> Iterator[Reading]:
        for operator in self.operators:
            tokens = {"first": self.first, "op": operator, **self.words}
            yield Reading(self.p, "eos a op b =", tokens=tokens, answers=self.first)


VOCABULARIES = (Vocabulary(size=239, p=97, first=22, words={"eos": 0, "equals": 1}, operators=range(2, 22)),)
"""That of Power et al. 2022: <|eos|>, =, twenty operators, the residues modulo 97, the permutations of five."""


def readings(layout: Layout, p: int | None = None) -> list[Reading]:
    """Every reading for which the tables have the sizes they have, the most usual first.

    Where `p` is known, those of residues modulo it alone, however many ids the tables have beside them.
    """
    found = list(_plain(layout, p))
    found += [one for known in VOCABULARIES if known.size == layout.d_vocab for one in known.readings()]
    fitting = [one for one in found if layout.n_ctx is None or layout.sinusoidal or _length(one) <= layout.n_ctx]
    fitting = [one for one in fitting if one.p >= LEAST_P and p in (None, one.p)]
    fewer = layout.d_vocab_out < layout.d_vocab  # logits than tokens: those of the residues
    return sorted(
        fitting,
        key=lambda one: (_length(one) != layout.n_ctx, fewer and one.p != layout.d_vocab_out, _unused(one, layout)),
    )


def _unused(reading: Reading, layout: Layout) -> bool:
    """Whether the table has rows for words, between its residues and its end, that the row does not hold."""
    used = {word for word in reading.row.split() if word not in ("a", "b")}
    return layout.d_vocab > reading.p * (1 if reading.shared_vocab else 2) + len(used)


def _length(reading: Reading) -> int:
    return len(reading.row.split())


def _plain(layout: Layout, known: int | None) -> Iterator[Reading]:
    """The residues in a row, and few words before or after them; behind those of a known modulus any number of ids."""
    d_vocab, d_vocab_out = layout.d_vocab, layout.d_vocab_out
    for row, shared in itertools.product(ROWS, (True, False)):
        words = list(dict.fromkeys(word for word in row.split() if word not in ("a", "b")))
        tables = 1 if shared else 2
        few = range(len(words), MOST_WORDS + 1)
        for extra in few if known is None else [d_vocab - tables * known]:
            p, rest = divmod(d_vocab - extra, tables)
            if rest or extra < len(words) or (d_vocab_out not in (d_vocab, p) and not p <= d_vocab_out < d_vocab):
                continue
            if extra == len(words) or d_vocab_out == p or (shared and (words or extra not in few)):
                for room in [extra] if extra in few else few:
                    yield from _placed(row, p, shared, words, room, d_vocab_out)


def _placed(row: str, p: int, shared: bool, words: list[str], extra: int, d_vocab_out: int) -> Iterator[Reading]:
    """The words after the residues or before them, in each order; ids that nothing in the row uses come last."""
    yield Reading(p, row, shared)
    names = ["equals" if word == "=" else word for word in words]
    end = p * (1 if shared else 2)
    for order in itertools.permutations(range(extra if shared else len(words)), len(words)):
        after = {name: end + place for name, place in zip(names, order, strict=True)}
        if order != tuple(range(len(words))):
            yield Reading(p, row, shared, after)
        if words and shared and d_vocab_out != p:
            before = dict(zip(names, order, strict=True))
            yield Reading(p, row, shared, {"first": extra, **before}, answers=extra)
        elif words and shared:
            yield Reading(p, row, shared, {"first": extra, **dict(zip(names, order, strict=True))})
