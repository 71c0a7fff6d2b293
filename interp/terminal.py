"""What the commands share: a user's mistake is one line, text from files is harmless, progress is a line."""

from __future__ import annotations

import re
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import typer

from interp.errors import InterpError


def command(main: Callable[..., None]) -> None:
    """Run `main` as a command line."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(help=main.__doc__)(main)
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {printable(str(message))}", file=sys.stderr)
    try:
        app()
    except InterpError as error:
        sys.exit(f"error: {printable(str(error))}")
    except OSError as error:
        if error.filename is None:
            raise
        sys.exit(f"error: {printable(str(error.filename))}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit("stopped; what was finished is kept: start again to go on")


def printable(text: str) -> str:
    """`text` without the control characters by which a file could play with a terminal."""
    return re.sub(r"[^\n\t\x20-\x7e\u00a0-\U0010ffff]", "?", text)


class ProgressLine:
    """One line on the terminal, rewritten in place; where output is not a terminal, a line now and then."""

    def __init__(self) -> None:
        self.rewritten = sys.stderr.isatty()
        self._shown = 0.0
        self._width = 0

    def show(self, text: str, last: bool = False) -> None:
        now = time.monotonic()
        if not last and now - self._shown < (0.1 if self.rewritten else 10):
            return
        self._shown = now
        if self.rewritten:
            print(f"\r{text:<{self._width}}", end="\n" if last else "", file=sys.stderr, flush=True)
            self._width = len(text)
        else:
            print(text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """12 s, 3 min, 1.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def options_text(values: Any) -> str:
    """Names and values on one line, in the order they were given."""
    return ", ".join(f"{name}={value}" for name, value in dict(values).items())
