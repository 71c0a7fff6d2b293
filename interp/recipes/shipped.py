"""The analyses that come with the package, which a bare name finds from any folder: `interp run fourier`,
`interp run pair` of `papers/pair`.

They lie in the top-level folder `analyses` of the repository, from which a wheel takes them into the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from interp.catalogue.source_code import PACKAGE
from interp.errors import InterpError, near_misses
from interp.recipes.document import read_document

FOLDER = "analyses"


def analyses() -> dict[str, Path]:
    """The file of each, by its name: "fourier", and "papers/pair" of one in a folder."""
    inside, beside = PACKAGE / FOLDER, PACKAGE.parent / FOLDER
    folder = inside if inside.is_dir() else beside
    files = sorted(folder.rglob("*.yaml"), key=lambda path: (len(path.parts), path))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in files}


def titles() -> dict[str, str]:
    """The question that each asks, by its name."""
    return {name: str(read_document(path).content.get("title", "")) for name, path in analyses().items()}


def locate(asked: Path) -> Path:
    """The file meant by `asked`: that file where there is one, else the shipped analysis of that name.

    Raises InterpError, with the near misses among files of that folder and shipped names, where nothing is there.
    """
    known = analyses()
    if asked.is_file():
        return asked
    if found := _named(asked.as_posix(), known):
        return _from_here(found)
    if asked.exists():
        return asked  # to read it tells what it is
    here = [path for folder in (asked.parent, asked.parent / FOLDER) for path in folder.glob("[!.]*.yaml")]
    for path in here:
        if path.stem == asked.name:  # the suffix, or the folder, was left out
            raise InterpError(f"{asked} does not exist; did you mean {str(path)!r}?")
    beside = [path.name for path in here if path.parent == asked.parent]
    elsewhere = [name for name in known if f"{name}.yaml" not in beside]
    raise InterpError(f"{asked} does not exist{near_misses(asked.name, [*beside, *elsewhere])}")


def as_written(path: Path) -> str:
    """The path of an analysis as a report shows it: that of a shipped one is the same wherever it is installed."""
    same = [name for name, known in analyses().items() if known.resolve() == path.resolve()]
    return f"{FOLDER}/{same[0]}.yaml" if same else str(path)


def _named(asked: str, known: Mapping[str, Path]) -> Path | None:
    """The shipped analysis of this name, or of this last part of one where there is no other; None where none is."""
    ends = [path for name, path in known.items() if name.rpartition("/")[2] == asked]
    return known.get(asked) or (ends[0] if len(ends) == 1 else None)


def _from_here(path: Path) -> Path:
    """`path` from the current folder where it lies below it, else as it is."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
