"""A task of texts: each is a row of tokens, which stand for words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from interp.contracts.task import Task


@dataclass(frozen=True)
class Texts(Task):
    """Rows of tokens [text, pos]; token 0 is padding, before a text's first word, so that the last words are last."""

    noun: ClassVar[str] = "text"
    words: tuple[str, ...]
    """The word of each token, from token 1 on."""

    @property
    def d_vocab(self) -> int:
        """How many tokens there are."""
        return len(self.words) + 1
