"""A name in YAML is the function of that name, in the file or folder of that name.

`embedding_dft` among the measures is the function `embedding_dft` in `interp/measures/embedding_dft.py`, and a long
one, `weight_mixture`, that in `interp/measures/weight_mixture/__init__.py`. A folder holds names of one kind where
its `__init__.py` says GIVEN, the parameters that are ours and therefore no options. Other packages add names through
entry points: group "interp.measures", and so on.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from interp import provenance
from interp.catalogue.source_code import PACKAGE, source_digest, words_digest
from interp.errors import InterpError, MisnamedError, near_misses


def _given() -> Iterator[tuple[str, tuple[str, ...]]]:
    """The folders of names, and the GIVEN of each, read from the source."""
    for file in sorted(PACKAGE.glob("*/__init__.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node).startswith("GIVEN = "):
                yield file.parent.name, ast.literal_eval(node.value)


KINDS = dict(_given())
"""Each kind's folder, and the parameters that are ours: not options."""


def singular(kind: str) -> str:
    """One of a kind, in a word: "loss" of "losses", "task" of "tasks"."""
    return kind.removesuffix("es" if kind.endswith("sses") else "s")


def known_names(kind: str) -> dict[str, Path]:
    """Every name of a kind and the file that defines it, without importing anything."""
    files = {path.stem: path for path in (PACKAGE / kind).glob("[!_]*.py")}
    folders = {path.parent.name: path for path in (PACKAGE / kind).glob("[!_]*/__init__.py")}
    there = sorted((folders | files).items())
    found = {name: path for name, path in there if _defines(path, name, path.stat().st_mtime_ns)}
    for entry in _entry_points(kind):
        try:
            spec = importlib.util.find_spec(entry.module)
        except ImportError:  # a broken package takes only its own names away
            continue
        if spec and spec.origin:
            found.setdefault(entry.name, Path(spec.origin))
    return found


def _is_ours(kind: str, name: str) -> bool:
    """Whether the file, or the folder, of that name defines it; the folder of the kind is not listed."""
    if not re.fullmatch(r"[A-Za-z]\w*", str(name)):
        return False
    places = (PACKAGE / kind / f"{name}.py", PACKAGE / kind / name / "__init__.py")
    there = filter(os.path.isfile, places)  # a name too long for a file is none, where Path.is_file raises
    return any(_defines(path, name, path.stat().st_mtime_ns) for path in there)


def _entry_points(kind: str) -> importlib.metadata.EntryPoints:
    return _every_entry_point().select(group=f"interp.{kind}")


@functools.cache
def _every_entry_point() -> importlib.metadata.EntryPoints:
    """Those of all packages that are installed, each of which is a folder to look into."""
    found: Any = importlib.metadata.entry_points()  # of Python 3.11 a mapping too, by its type
    return found


@functools.cache
def _defines(path: Path, name: str, modified: int) -> bool:  # noqa: ARG001 (a file is read again when it has changed)
    return re.search(rf"^def {re.escape(name)}\(", path.read_text(encoding="utf-8"), re.MULTILINE) is not None


def check_name(kind: str, name: str) -> None:
    """Raises MisnamedError with the near misses where there is no such name."""
    if _is_ours(kind, name):  # a measure asks so at every checkpoint
        return
    known = known_names(kind)
    if name not in known:
        raise MisnamedError(f"no {singular(kind)} {name!r}{near_misses(name, known)}")


@functools.cache
def file_of(kind: str, name: str) -> Path:
    """The file that defines a name, looked for until it is there. Raises MisnamedError where there is none."""
    check_name(kind, name)
    return known_names(kind)[name]


def find(kind: str, name: str) -> Callable[..., Any]:
    """The function; whatever is being recorded was made with its file. Raises MisnamedError where there is none."""
    found = load(kind, name)
    provenance.note(f"{kind}/{name}", current_digest(kind, name))
    return found


def current_digest(kind: str, name: str) -> str:
    """The fingerprint of the file behind a name, "" where there is no such name any more."""
    try:
        return source_digest(file_of(kind, name))
    except MisnamedError:
        return ""


def current_words(kind: str, name: str) -> str:
    """The fingerprint of all that is written in the files behind a name, reasons and messages too."""
    try:
        return words_digest(file_of(kind, name))
    except MisnamedError:
        return ""


@functools.cache
def load(kind: str, name: str) -> Callable[..., Any]:
    """The function, for what can change no number. Raises MisnamedError where there is none."""
    file = file_of(kind, name)
    for entry in _entry_points(kind):
        if entry.name == name and not file.is_relative_to(PACKAGE):
            return entry.load()
    try:
        return getattr(importlib.import_module(f"interp.{kind}.{name}"), name)
    except SyntaxError as error:
        raise InterpError(
            f"{error.filename}:{error.lineno}: {error.msg}; mend it, or use another {singular(kind)}"
        ) from None


def module_of(kind: str, name: str) -> Any:
    """The module the function lives in, for its `figure`, `summary`, `over_run` and `steps`."""
    return inspect.getmodule(find(kind, name))
