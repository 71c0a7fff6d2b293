"""What a user did that cannot be done: told in one line, never a traceback."""

from __future__ import annotations

import difflib
import reprlib
import shlex
from collections.abc import Iterable
from typing import Any


class InterpError(Exception):
    """A mistake the reader of the message can mend: what was found, what was expected, what to do."""


class MisnamedError(InterpError):
    """A name that does not exist: known without importing what it might mean."""


class Stopped(InterpError):  # noqa: N818 (no mistake: somebody pressed Ctrl-C)
    """Work that was stopped: what is kept, and how to go on."""


class DamagedError(InterpError):
    """A file that cannot be read, or is not what it should be: one message, whichever of its steps was asked for."""


class NoNumbersError(InterpError):
    """A run whose weights are not finite at any of the steps asked for."""


class NothingToSay(InterpError):  # noqa: N818 (it is an answer: what a measure says where it does not apply)
    """Why a measure has no answer for this checkpoint, task or network: a clause, "the task has no cyclic order"."""


class AlreadyDoneError(InterpError):
    """What was asked for is there already, whole."""


def near_misses(word: str, known: Iterable[str]) -> str:
    """ "; did you mean 'loss'?" where a known name is close, else the known names in short."""
    known = sorted(known)
    close = difflib.get_close_matches(word[:100], known, n=3, cutoff=0.6)
    if close:
        return "; did you mean " + " or ".join(repr(name) for name in close) + "?"
    return f"; known: {', '.join(known)}" if known else "; there are none yet"


def command_line(*words: object) -> str:
    """What to type next, as a shell reads it: "interp train 'my runs/first'"."""
    return shlex.join(["interp", *map(str, words)])


class _Short(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:  # noqa: ARG002
        return repr(x) if x.bit_length() <= 256 else f"a whole number of {x.bit_length():,} bits"


_SHORT = _Short()
_SHORT.maxstring = _SHORT.maxother = 1000
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 20


def shown(value: Any, limit: int = 200) -> str:
    """`value` out of a file as it may stand in a message: text as it is, else its repr; one line, short, printable."""
    text = str(value) if isinstance(value, str | Exception) or hasattr(value, "__fspath__") else _SHORT.repr(value)
    text = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return "".join(character if character.isprintable() else "?" for character in text)
