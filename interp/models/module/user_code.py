"""A network written by somebody else, in a file of theirs: `make` is evaluated, what goes wrong is told with its line.

The file is run as it stands, once for each content; nothing beside it is looked for. `make` is no free text of Python:
a name that the file defines, called with literals.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import random
import sys
import traceback
import types
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from interp.errors import InterpError, NothingToSay, near_misses, shown


@dataclass(frozen=True)
class Making:
    """How the network is made: a file, and the call of a name in it."""

    place: Path
    written: str
    """The file as the recipe writes it."""
    make: str

    def network(self, seed: int) -> nn.Module:
        """Return a fresh network, in evaluation mode, drawn with `seed`; no generator of this process is disturbed.

        Raises ValueError where `make` is no call with literals of a name of the file, their code fails, or what it
        makes is no nn.Module.
        """
        content = _content(self.place)
        name, arguments, by_name = _call(self.make, content, self.written)
        with self.told():
            scope = _run(content, str(self.place))
        with self.told(), _seeded(seed):
            made = scope[name](*arguments, **by_name)
        if not isinstance(made, nn.Module):
            raise ValueError(f"{self.make} of {self.written} is a {type(made).__name__}; expected a torch.nn.Module")
        return made.eval()

    @contextlib.contextmanager
    def told(self, kind: type[Exception] = ValueError) -> Iterator[None]:
        """Raises an error of this kind, one line with the place in their file, where their code fails within."""
        try:
            yield
        except (InterpError, NothingToSay):
            raise
        except (Exception, SystemExit) as error:  # whatever their code raises
            raise kind(f"{self._where(error)}: {type(error).__name__}: {shown(error)}") from None

    def _where(self, error: BaseException) -> str:
        """The file and the line at which their code failed."""
        if isinstance(error, SyntaxError) and error.filename == str(self.place):
            return f"{self.written}:{error.lineno}"
        lines = [one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == str(self.place)]
        return f"{self.written}:{lines[-1]}" if lines else f"{self.make} of {self.written}"


def _content(place: str | PathLike[str]) -> bytes:
    try:
        return Path(place).read_bytes()
    except OSError as error:
        raise ValueError(f"{place} cannot be read: {error.strerror}") from None


def _call(make: str, content: bytes, written: str) -> tuple[str, list[Any], dict[str, Any]]:
    """The name, and the literals that it is called with."""
    wanted = 'expected the call of a class or function of the file with literals, such as "Net(p=97)"'
    try:
        node = ast.parse(make.strip(), mode="eval").body
        call = ast.Call(node, [], []) if isinstance(node, ast.Name) else node
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError
        if any(one.arg is None for one in call.keywords):
            raise ValueError
        arguments = [ast.literal_eval(one) for one in call.args]
        by_name = {str(one.arg): ast.literal_eval(one.value) for one in call.keywords}
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        raise ValueError(f"make is {shown(make)!r}; {wanted}") from None
    try:
        top = ast.parse(content).body
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{written}:{getattr(error, 'lineno', 1)}: {getattr(error, 'msg', error)}") from None
    defined = [one.name for one in top if isinstance(one, ast.ClassDef | ast.FunctionDef)]
    if call.func.id not in defined:
        raise ValueError(f"{written} defines no {call.func.id!r}{near_misses(call.func.id, defined)}")
    return call.func.id, arguments, by_name


@functools.cache
def _run(content: bytes, place: str) -> dict[str, Any]:
    """The names at the top of the file, which is run."""
    module = types.ModuleType(f"interp_module_{Path(place).stem}_{len(sys.modules)}")
    module.__file__ = place
    sys.modules[module.__name__] = module  # dataclasses look themselves up there
    try:
        exec(compile(content, place, "exec"), module.__dict__)
    except BaseException:
        del sys.modules[module.__name__]
        raise
    return module.__dict__


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Every generator that a network may be drawn by begins at `seed` within, and is afterwards where it was."""
    before, numpys = random.getstate(), np.random.get_state()
    dtype = torch.get_default_dtype()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
            yield
    finally:
        random.setstate(before)
        np.random.set_state(numpys)
        torch.set_default_dtype(dtype)
