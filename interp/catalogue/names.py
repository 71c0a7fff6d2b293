"""A name in YAML -> the function of that name in the file of that name.

`embedding_dft` among the measures is the function `embedding_dft` in `interp/measures/embedding_dft.py`.
Other packages add names through entry points: group "interp.measures", and so on.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from interp import provenance
from interp.catalogue.source_code import PACKAGE, source_digest
from interp.errors import InterpError, near_misses

KINDS = {
    "tasks": (),
    "models": ("task",),
    "optimisers": ("parameters",),
    "importers": ("path", "task", "model"),
    "measures": ("checkpoint", "run", "runs", "previous"),
}
"""Each kind's folder, and the parameters that are ours: not options."""


def known_names(kind: str) -> dict[str, Path]:
    """Every name of a kind and the file that defines it, without importing anything."""
    found = {path.stem: path for path in sorted((PACKAGE / kind).glob("[!_]*.py")) if _defines(path, path.stem)}
    for entry in _entry_points(kind):
        try:
            spec = importlib.util.find_spec(entry.module)
        except ImportError:  # a broken package takes only its own names away
            continue
        if spec and spec.origin:
            found.setdefault(entry.name, Path(spec.origin))
    return found


@functools.cache
def _entry_points(kind: str) -> tuple[importlib.metadata.EntryPoint, ...]:
    return tuple(importlib.metadata.entry_points(group=f"interp.{kind}"))


def _defines(path: Path, name: str) -> bool:
    return re.search(rf"^def {re.escape(name)}\(", path.read_text(encoding="utf-8"), re.MULTILINE) is not None


def check_name(kind: str, name: str) -> None:
    """Raises InterpError with the near misses where there is no such name."""
    known = known_names(kind)
    if name not in known:
        raise InterpError(f"no {kind.removesuffix('s')} {name!r}{near_misses(name, known)}")


def find(kind: str, name: str) -> Callable[..., Any]:
    """The function; whatever is being recorded was made with its file. Raises InterpError where there is none."""
    check_name(kind, name)
    provenance.note(f"{kind}/{name}", current_digest(kind, name))
    return _load(kind, name)


def current_digest(kind: str, name: str) -> str:
    """The fingerprint of the file behind a name, "" where there is no such name any more."""
    path = known_names(kind).get(name)
    return source_digest(path) if path else ""


@functools.cache
def _load(kind: str, name: str) -> Callable[..., Any]:
    for entry in _entry_points(kind):
        if entry.name == name and not (PACKAGE / kind / f"{name}.py").exists():
            return entry.load()
    return getattr(importlib.import_module(f"interp.{kind}.{name}"), name)


def module_of(kind: str, name: str) -> Any:
    """The module the function lives in, for its `figure`, `summary`, `over_run` and `steps`."""
    return inspect.getmodule(find(kind, name))
