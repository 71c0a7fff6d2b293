"""What a user did that cannot be done: told in one line, never a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InterpError(Exception):
    """A mistake the reader of the message can mend: what was found, what was expected, what to do."""


class DamagedError(InterpError):
    """A file that cannot be read, or is not what it should be: one message, whichever of its steps was asked for."""


class AlreadyDoneError(InterpError):
    """What was asked for is there already, whole."""


def near_misses(word: str, known: Iterable[str]) -> str:
    """ "; did you mean 'loss'?" where a known name is close, else the known names in short."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    if close:
        return "; did you mean " + " or ".join(repr(name) for name in close) + "?"
    return f"; known: {', '.join(known)}" if known else "; there are none yet"
