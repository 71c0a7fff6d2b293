"""What the commands share: a user's mistake is one line, text from files is harmless, progress is a line.

A mistake ends in "error: …" and exit code 1; Ctrl-C is none: it ends in a line that says how to go on, and code 130.
"""

from __future__ import annotations

import errno
import io
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from interp.errors import InterpError, MisnamedError, Stopped, near_misses

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
INTERRUPTED = 130
"""The exit code that typer makes of Ctrl-C."""
MISTYPED = 2
"""The exit code that typer makes of a command line that it cannot read."""
PLAIN = {"add_completion": False, "pretty_exceptions_enable": False, "rich_markup_mode": None}


def command(main: Callable[..., None]) -> None:
    """Run `main` as a command line: `python -m interp.train FOLDER`."""
    app = typer.Typer(**PLAIN)
    app.command(help=main.__doc__)(main)
    _perform(app)


def commands(mains: Mapping[str, Callable[..., None]]) -> None:
    """Run the one of `mains` that the first word names as a command line: `interp train FOLDER`."""
    app = typer.Typer(cls=_Commands, **PLAIN)
    app.callback()(_about)
    for name, main in mains.items():
        app.command(name, help=main.__doc__, short_help=str(main.__doc__).partition("\n")[0])(main)
    _perform(lambda: app(prog_name="interp"))


def _about(
    shown: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=lambda asked: _tell_version(asked), help="Say which version this is."
        ),
    ] = False,
) -> None:
    """What did this network learn, how, and when? interp COMMAND --help tells more."""


def _tell_version(asked: bool) -> None:
    if asked:
        print(version("interp"))
        raise typer.Exit


class _Commands(TyperGroup):
    """Commands by name: one that is mistyped is told with its near misses, none at all with the help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args:
            print(ctx.get_help(), file=sys.stderr)
            ctx.exit(MISTYPED)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands:
            raise MisnamedError(f"no command {args[0]!r}{near_misses(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


def _perform(app: Callable[[], Any]) -> None:
    """Run a command line; what a user did wrong is told as the module says."""
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {printable(str(message))}", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a letter the terminal lacks stops nothing
    try:
        _run(app)
        if sys.stdout:
            sys.stdout.flush()
    except Stopped as stop:
        _end(printable(str(stop)), INTERRUPTED)
    except InterpError as error:
        _end(f"error: {printable(str(error))}")
    except BrokenPipeError:
        _end("")
    except OSError as error:
        if error.filename is None and error.errno not in FULL:
            raise
        _end(f"error: {printable(str(error.filename or 'output'))}: {error.strerror}")
    except KeyboardInterrupt:
        _end("stopped; what was finished is kept: start again to go on", INTERRUPTED)


def _run(app: Callable[[], Any]) -> None:
    try:
        app()
    except SystemExit as done:
        if done.code == INTERRUPTED:
            raise KeyboardInterrupt from None
        if done.code:
            raise


def _end(message: str, code: int = 1) -> NoReturn:
    """Exit with a line on stderr, silently where whoever read the output has gone."""
    for stream, text in ((sys.stdout, ""), (sys.stderr, f"{message}\n" if message else "")):
        if stream is None:
            continue  # closed before the start
        try:
            stream.write(text)
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # the interpreter flushes again at its end
    sys.exit(code)


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
    """Return a time as one says it: "12 s", "3 min", "1.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
