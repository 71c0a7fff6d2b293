"""What was noted of code while a row was computed, and what it would be now."""

from __future__ import annotations

from interp.catalogue.names import current_digest, current_words

WORDS = "words "
"""Before the name of a measure whose reason for having no answer is kept: a reason is as good as its wording."""


def is_of_code(question: str) -> bool:
    """Whether a question that was noted is about code, "measures/loss", and not about a run."""
    kind, slash, _ = question.removeprefix(WORDS).partition("/")
    return bool(slash) and " " not in kind


def answer_of_code(question: str) -> str:
    """The present answer to such a question."""
    kind, _, name = question.removeprefix(WORDS).partition("/")
    return current_words(kind, name) if question.startswith(WORDS) else current_digest(kind, name)
