"""What a summary says where a measure cannot tell a checkpoint from the one before."""

from __future__ import annotations


def remark(count: int, changes: int, because: str) -> str:
    """A sentence to follow another, where there are such checkpoints; else ""."""
    if not count:
        return ""
    return f" At **{count} of {changes}** steps it cannot tell the checkpoint from the one before: {because}."
