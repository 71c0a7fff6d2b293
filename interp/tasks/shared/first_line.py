"""What another library's error says, in one line."""

from __future__ import annotations

from interp.errors import shown


def first_line(error: Exception) -> str:
    """The first line of its message without what ends it, or its kind where it says nothing."""
    return shown((str(error).splitlines() or [type(error).__name__])[0].rstrip(":. "))
