"""What a result was made from: questions asked while it was computed, and a digest of each answer.

A kept result is good as long as the same questions still have the same answers. Questions are
"step 100", "final", "first", "steps" (of the run), "asked" (the steps the analysis visits), "recipe", and
"measures/loss" (a file looked up, and what it imports).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar

Reads = dict[str, str]

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
    for reads in _open.get():
        reads[question] = answer


def note_all(reads: Mapping[str, str]) -> None:
    """What a remembered answer was made from, its reader was made from too."""
    for question, answer in reads.items():
        note(question, answer)
