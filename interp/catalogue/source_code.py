"""A digest of the code that can change a number, by which a kept answer knows whether it still holds.

1. From the measure's file on, imports are followed, also those inside functions, but not into what cannot change a
   number (`NOT_FOLLOWED`). In every file `figure`, `summary` and what only they use are left out (`_kept`).
2. Of each file so reached the code that is left is written down (`_text`). An imported name stands in it for the code
   that it names, not for the place of that code.
3. The digest is that of the set of these texts: moving or renaming a file changes nothing.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from interp.catalogue.source_file import Chain, Import, Source, Statement, read_source

PACKAGE = Path(__file__).parents[1]

NOT_FOLLOWED = {
    *("catalogue", "executors", "figures", "files", "findings", "recipes", "report", "results"),
    *("__init__", "describe", "errors", "notebook", "provenance", "run", "summaries", "terminal", "train"),
}
"""Folders and modules of ours that draw, speak, store or look up."""
COMPUTING = {"checkpoints": {"checkpoint"}}
"""The modules that compute, of a folder that is followed no further."""
TELLING = ("figure", "summary")
ASKED_BY_THE_ENGINE = ("over_run", "over_runs", "steps")


@functools.cache
def source_digest(path: Path) -> str:
    """A fingerprint of all code in this package and in the file's own that can change what the file computes."""
    return _digest("".join(sorted({_digest(_text(file, asked)) for file, asked in _reached(path).items()})))


@functools.cache
def words_digest(path: Path) -> str:
    """A fingerprint of every letter of the files that `source_digest` depends on: of what they say, too."""
    return _digest("".join(sorted(_digest(file.read_text(encoding="utf-8")) for file in _reached(path))))


def reached_files(path: Path) -> set[Path]:
    """The files on whose code `source_digest(path)` depends."""
    return set(_reached(path))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _reached(path: Path) -> dict[Path, frozenset[str]]:
    """The file and those it imports, however far, where they hold code; with each the names that are asked of it."""
    path = path.resolve()
    name = path.parent.name if path.name == "__init__.py" else path.stem
    asked = {path: frozenset([name, *ASKED_BY_THE_ENGINE])}
    waiting = [path]
    while waiting:
        file = waiting.pop()
        for target in _targets(file, asked[file]):
            if target.file:
                before = asked.get(target.file, frozenset())
                asked[target.file] = before | {target.name}
                if asked[target.file] != before:
                    waiting.append(target.file)
    return {file: names for file, names in asked.items() if _text(file, names)}


@functools.cache
def _read(file: Path) -> Source:
    return read_source(file.read_bytes(), lambda each: _only_tells(file, each))


@functools.cache
def _kept(file: Path, asked: frozenset[str]) -> tuple[Statement, ...]:
    """The statements that can change a number for someone who asks these names of the file: not what only tells.

    An `__init__.py` hands names on, so only those of its imports are kept that are asked or used.
    """
    source = _read(file)
    telling = source.closure([*TELLING, *source.told])
    if file.name == "__init__.py":
        telling |= {each for each in source.statements if not each.code and "*" not in each.binds}
    own = [each for each in source.statements if each not in telling or not each.only_binds]
    used = (chain[0] for each in own for chain in each.uses)
    kept = source.closure([*used, *asked]).union(own)
    return tuple(each for each in source.statements if each in kept)


@functools.cache
def _text(file: Path, asked: frozenset[str]) -> str:
    """The code of the file that can change a number for someone who asks these names of it."""
    return "".join(
        part if isinstance(part, str) else _meaning(file, part) for each in _kept(file, asked) for part in each.code
    )


@functools.cache
def _meaning(file: Path, chain: Chain) -> str:
    """A name as it stands; an imported one as the code that it names, and what is asked of that."""
    each = _read(file).imports.get(chain[0])
    if each is None:
        return f"<{'.'.join(chain)}>"
    target = _target(file, each, chain[1:])
    code = _own_code(target.file) if target.file and each.executed else ""
    return f"<{code} {'.'.join([target.name, *target.rest])}>"


@functools.cache
def _own_code(file: Path) -> str:
    """A digest that tells a file from others, by its code alone: imported names stand in it as where they are from."""
    imports = _read(file).imports
    parts = (part for each in _kept(file, frozenset()) for part in each.code)
    return _digest(
        "".join(
            part
            if isinstance(part, str)
            else f"<{imports[part[0]].name if part[0] in imports else part[0]}.{part[1:]}>"
            for part in parts
        )
    )


# What an imported name stands for.


@dataclass(frozen=True)
class _Target:
    """A name of a file ("" for all of it) and attributes taken of it. No file where it cannot change a number."""

    file: Path | None
    name: str
    rest: Chain = ()


def _targets(file: Path, asked: frozenset[str]) -> Iterator[_Target]:
    """What is brought in by whatever is kept of the file: by imports, and of modules that were imported."""
    imports = _read(file).imports
    for statement in _kept(file, asked):
        for each in statement.imports:
            if each.executed:
                yield _target(file, dataclasses.replace(each, first_only=False))
        for chain in statement.uses:
            if chain[0] in imports and imports[chain[0]].executed:
                yield _target(file, imports[chain[0]], chain[1:])


@functools.cache
def _target(file: Path, each: Import, attributes: Chain = ()) -> _Target:
    """What an import in `file` binds, with attributes taken of it."""
    start, names = _start(file, each), (each.name, *attributes) if each.name else attributes
    if start is None:
        return _Target(None, ".".join([*(each.module[:1] if each.first_only else each.module), *names]))
    target = _descended(file, start, names)
    return target if target.file and _followed(target.file) else _Target(None, target.name, target.rest)


def _only_tells(file: Path, each: Import) -> bool:
    """Whether an import in `file` binds something of ours that cannot change a number."""
    return _start(file, each) is not None and _target(file, each).file is None


@functools.cache
def _start(file: Path, each: Import) -> Path | None:
    """Where the module lies, without ".py": in a folder of that name about `file`, or here. None for other packages."""
    if each.level:
        return file.parents[each.level - 1].joinpath(*each.module)
    top, *below = each.module[:1] if each.first_only else each.module
    tops = [folder for folder in file.parents if folder.name == top] + [PACKAGE] * (top == PACKAGE.name)
    places = (folder.joinpath(*below) for folder in tops)
    return next((place for place in places if _file_at(place) or place.is_dir()), None)


@functools.cache
def _file_at(place: Path) -> Path | None:
    """The file of the module at this place."""
    files = (place.with_name(f"{place.name}.py"), place / "__init__.py")
    return next((file.resolve() for file in files if file.is_file()), None)


def _descended(reader: Path, place: Path, names: Chain) -> _Target:
    """What `names`, each taken of the one before, are in the module at this place, for the file `reader`."""
    file = _file_at(place)
    if not names:
        return _Target(file, "")
    first, rest = names[0], names[1:]
    if file and file != reader:
        if file.name == "__init__.py" and (origin := _handed_on(file, first)):
            return _descended(file, origin[0], (*origin[1], *rest))
        if first in _read(file).bound:
            return _Target(file, first, rest)
    if _file_at(place / first) or (place / first).is_dir():
        return _descended(reader, place / first, rest)
    return _Target(file, first, rest)


def _handed_on(file: Path, name: str) -> tuple[Path, Chain] | None:
    """Where the file has this name of its from: the place of a module, and the name there."""
    source = _read(file)
    if each := source.imports.get(name):
        start = _start(file, each)
        return (start, (each.name,) if each.name else ()) if start else None
    for each in (each for statement in source.statements for each in statement.imports if each.name == "*"):
        start = _start(file, each)
        if start and (named := _file_at(start)) and (name in _read(named).bound or _handed_on(named, name)):
            return start, (name,)
    return None


@functools.cache
def _followed(file: Path) -> bool:
    """Whether code in this file can change a number."""
    for top in file.parents:
        if top.name == PACKAGE.name and not (top.parent / "__init__.py").exists():
            parts = file.relative_to(top).with_suffix("").parts
            return parts[0] not in NOT_FOLLOWED and (parts[0] not in COMPUTING or parts[1] in COMPUTING[parts[0]])
    return True
