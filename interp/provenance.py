"""What an answer was made from: questions asked while it was computed, and a digest of each answer.

A kept answer is good as long as the same questions have the same answers now. Questions are "step 100", "final",
"first", "steps" (those of the run), "asked" (those the analysis visits), "recipe", "beside gold.json" (a file in the
run's folder), "measures/loss" (the code of a name) and, of an answer that is only a reason, "words measures/loss".
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar

Reads = dict[str, str]
"""Question -> digest of its answer."""

_open: ContextVar[tuple[Reads, ...]] = ContextVar("open", default=())


@contextlib.contextmanager
def recording() -> Iterator[Reads]:
    """Collect every question noted in the block; recordings nest."""
    reads: Reads = {}
    token = _open.set((*_open.get(), reads))
    try:
        yield reads
    finally:
        _open.reset(token)


def note(question: str, answer: str) -> None:
    """Add a question and the digest of its answer to every recording that is under way."""
    for reads in _open.get():
        reads[question] = answer


def note_all(reads: Mapping[str, str]) -> None:
    """What a remembered answer was made from, its reader was made from too."""
    for question, answer in reads.items():
        note(question, answer)
