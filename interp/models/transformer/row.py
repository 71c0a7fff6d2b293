"""The row of tokens in which a transformer reads its two operands: "a b =", "eos a op b ="."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

OPERANDS = ("a", "b")
EQUALS = "equals"
"""The key by which `tokens` names the word "="."""


@dataclass(frozen=True)
class Row:
    """The words of the row, and the number of each token in the vocabulary."""

    words: tuple[str, ...]
    first: int
    """The token of the residue 0 as a; those of the others follow."""
    second: int
    """The token of the residue 0 as b."""
    fixed: tuple[tuple[str, int], ...]
    """The token of each word that is no operand."""
    read_at: int
    """The position, from 0, where the answer is read."""

    @property
    def places(self) -> tuple[int, int]:
        """The positions of a and of b."""
        return self.words.index("a"), self.words.index("b")

    @property
    def read_word(self) -> str:
        """The word at which the answer is read."""
        return self.words[self.read_at]

    @property
    def ends_after_b(self) -> bool:
        """Whether it is a, b and at most one more word, at the last of which the answer is read."""
        return self.words[:2] == OPERANDS and len(self.words) <= 3 and self.read_at == len(self.words) - 1

    def tokens(self, pairs: Int[Tensor, "pair 2"]) -> Int[Tensor, "pair pos"]:
        a, b = pairs.unbind(1)
        columns = {"a": a + self.first, "b": b + self.second}
        columns |= {word: torch.full_like(a, token) for word, token in self.fixed}
        return torch.stack([columns[word] for word in self.words], dim=1)


def row_of(
    words: str, tokens: Mapping[str, int] | None, read_at: int | None, p: int, shared_vocab: bool
) -> tuple[Row, int]:
    """Return the row, and the least size of a vocabulary that has all its tokens.

    Raises ValueError where an operand is not there once, a token is of no word, two words have the same token, or
    the answer is read at no position.
    """
    split = tuple(words.split())
    for operand in OPERANDS:
        if split.count(operand) != 1:
            raise ValueError(
                f"row is {words!r}, with {split.count(operand)} words {operand!r}; write each of a and b once"
            )
    others = list(dict.fromkeys(word for word in split if word not in OPERANDS))
    keys = {EQUALS if word == "=" else word: word for word in others}
    if len(keys) < len(others) or keys.keys() & {"first", "second"}:
        raise ValueError(f"row is {words!r}; 'first', 'second' and 'equals' are no words of it: write '=' or another")
    given = dict(tokens or {})
    known = ["first", *([] if shared_vocab else ["second"]), *keys]
    if unknown := sorted(given.keys() - set(known)):
        raise ValueError(
            f"tokens names {unknown[0]!r}, which the row {words!r} does not have; it has {', '.join(known)}"
        )
    first = given.get("first", 0)
    second = first if shared_vocab else given.get("second", first + p)
    taken = {*range(first, first + p), *range(second, second + p)}
    if not shared_vocab and len(taken) < 2 * p:
        raise ValueError(
            f"the residues of a have the tokens {first} to {first + p - 1}, those of b {second} to {second + p - 1}; "
            "give tokens a first and a second that are p apart, or say shared_vocab: true"
        )
    following = max(taken) + 1
    found: dict[str, int] = {}
    for key, word in keys.items():
        if key not in given:
            while following in taken or following in given.values():
                following += 1
        found[word] = given.get(key, following)
        if found[word] in taken:
            raise ValueError(f"tokens gives {key!r} the token {found[word]}, which another has; give it one of its own")
        taken.add(found[word])
    if read_at is not None and read_at >= len(split):
        raise ValueError(f"read_at is {read_at}; the positions of {words!r} are 0 to {len(split) - 1}")
    at = len(split) - 1 if read_at is None else read_at
    return Row(split, first, second, tuple(found.items()), at), max(taken) + 1
