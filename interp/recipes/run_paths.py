"""Where the runs of an analysis lie: paths and globs of its YAML, expanded. Loads nothing."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from interp.catalogue.options import checked_options
from interp.errors import InterpError, command_line, near_misses
from interp.recipes.document import Document, read_document
from interp.recipes.parent import FROM, folder_of

NAME = re.compile(r"\w[\w. =,+-]*")
"""A run's name, which is also that of a folder of results."""
MOST_NAMED = 2
"""Runs in the name of a report."""
OR_ANOTHER = " (or give --run PATH)"


@dataclass(frozen=True)
class Source:
    """Where one run lies: a path, and the importer that reads it where it is not one of ours."""

    path: Path
    importer: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    """The importer's."""
    name: str = ""
    """What an analysis calls the run; without it, the run is called by its path."""

    @property
    def made_from(self) -> tuple[Path, ...]:
        """Every file and folder that opening it may read; a configuration may lie beside an importer's file."""
        places = [self.path, _importer_path(self.path / "run.yaml"), _parent_path(self.path / "run.yaml")]
        return tuple(part for place in places if place for part in ([place.parent] if place.is_file() else [place]))


def source(path: Path, importer: Any) -> Source:
    """A run read by `importer`: None, a name, or {name: {option: value}}. Raises InterpError for anything else."""
    if importer is None:
        return Source(path)
    options: Any = {}
    if isinstance(importer, dict) and len(importer) == 1:
        importer, options = next(iter(importer.items()))
    if not isinstance(importer, str) or not isinstance(options or {}, dict):
        raise InterpError(f"{importer!r} is not an importer; expected a name, or {{name: {{option: value}}}}")
    if "path" in (options or {}):
        raise InterpError(
            "path is where the run is: --run on the command line, 'path' beside 'importer' in an analysis"
        )
    checked_options("importers", importer, options or {})
    return Source(path, importer, dict(options or {}))


def no_run(path: Path, importer: str | None = None) -> str | None:
    """Why nothing at `path` can be opened, by this importer or as a run of ours; None where it may be."""
    path = path.expanduser()
    if not path.exists():
        return f"{path} does not exist{_near(path)}"
    if importer is None and not (path / "run.yaml").is_file() and not next(path.glob("*/run.yaml"), None):
        return (
            f"{path} is not a run: it holds no run.yaml; "
            f"what it is, and the importer that opens it, tells: {command_line('describe', path)}"
        )
    return None


def nothing_to_analyse(source: Source) -> str | None:
    """Why there is nothing to analyse: no run, or one without checkpoints and without results that ship.

    As far as can be told without opening it.
    """
    path = source.path.expanduser()
    results = next(path.glob("results/*.nc"), None)
    trained = (path / "weights").exists() or results or next(path.glob("*/weights"), None)
    untrained = source.importer is None and not trained and _trains(path / "run.yaml")
    more = f"{path} has no checkpoints yet; train it with: {command_line('train', path)}" if untrained else None
    return no_run(path, source.importer) or more


def _near(path: Path) -> str:
    """Runs beside where this one should be, or else in `checkpoints`, whose names are like its."""
    beside = [recipe.parent.name for recipe in path.parent.glob("*/run.yaml")]
    elsewhere = [str(recipe.parent) for recipe in Path("checkpoints").glob("*/run.yaml")]
    known = beside or elsewhere
    return near_misses(path.name if beside else f"checkpoints/{path.name}", known) if known else ""


def _trains(recipe: Path) -> bool:
    """Whether the weights are those of a training here, and lie beside the recipe."""
    try:
        return "importer" not in read_document(recipe).content
    except InterpError:
        return False


def _importer_path(recipe: Path) -> Path | None:
    """The path of a recipe's importer, read without checking it."""
    try:
        importer = read_document(recipe).content.get("importer")
    except InterpError:
        return None
    options = next(iter(importer.values()), None) if isinstance(importer, dict) else None
    path = options.get("path") if isinstance(options, dict) else None
    return recipe.parent / os.path.expandvars(path) if isinstance(path, str) else None


def _parent_path(recipe: Path) -> Path | None:
    """The run from which that of a recipe starts, read without checking it."""
    try:
        parent = read_document(recipe).content.get(FROM)
    except InterpError:
        return None
    path = parent.get("run") if isinstance(parent, dict) else None
    return folder_of(recipe.parent, path) if isinstance(path, str) else None


def sources(document: Document) -> tuple[Source, ...]:
    """The runs an analysis names, in its order; mistakes are noted in `document`."""
    runs = document.content.get("runs")
    if not isinstance(runs, list) or not runs:
        given = f"; write runs: [{runs}]" if isinstance(runs, str) else OR_ANOTHER
        document.problem(("runs",), f"an analysis needs 'runs', a list of folders{given}")
        return ()
    found: list[Source] = []
    told: set[str] = set()
    for place, item in enumerate(runs):
        given = item if isinstance(item, dict) else {"path": item}
        document.check_keys("a run here", given, ("path", "importer", "name"), ("runs", place))
        path, importer, name = given.get("path"), given.get("importer"), given.get("name", "")
        if name != "" and not (isinstance(name, str) and NAME.fullmatch(name)):
            document.problem(
                ("runs", place, "name"), f"{name!r} cannot be a run's name; use letters, digits, _, - and ."
            )
            continue
        try:
            read_by = source(Path(), importer)
        except InterpError as error:
            document.problem(("runs", place, "importer"), str(error))
            continue
        if not isinstance(path, str):
            document.problem(
                ("runs", place), f"{item!r} is not a run; expected a path, or {{path: …, importer: …, name: …}}"
            )
            continue
        unset = re.findall(r"\$\{?(\w+)\}?", os.path.expandvars(path))
        if unset:
            if unset[0] not in told:  # one missing variable is one mistake, however many runs it leads to
                document.problem(("runs", place), f"{path}: the variable {unset[0]} is not set")
            told.add(unset[0])
            continue
        matches = _expanded(path)
        if not matches:
            document.problem(("runs", place), f"no run matches {path}{_near(Path(path))}{OR_ANOTHER}")
        for match in matches:
            if reason := no_run(match, read_by.importer):
                document.problem(("runs", place), f"{reason}{OR_ANOTHER}")
        found += [replace(read_by, path=match, name=name) for match in matches]
    return tuple(found)


def _expanded(pattern: str) -> list[Path]:
    """Variables and globs expanded, in order; a pattern without wildcards is itself."""
    pattern = os.path.expandvars(pattern)
    if not glob.has_magic(pattern):
        return [Path(pattern)]
    return [Path(match) for match in sorted(glob.glob(pattern))]


def run_name(path: Path) -> str:
    """The path below `checkpoints/`, "/" written as "."; else the last part without suffix."""
    parts = path.resolve().parts
    if "checkpoints" in parts[:-1]:
        below = len(parts) - 1 - parts[::-1].index("checkpoints")
        return ".".join(parts[below + 1 :])
    return path.resolve().stem if path.is_file() else path.resolve().name


def report_file(analysis: Path, runs: Sequence[Path]) -> Path:
    """Where the report of an analysis on these runs is written, below the folder one is in.

    fourier.html of its own runs, fourier-quick.html of another; of many the first two are named, and how many more.
    """
    more = [f"{len(runs) - MOST_NAMED}-more"] if len(runs) > MOST_NAMED else []
    return Path("reports") / f"{'-'.join([analysis.stem, *map(run_name, runs[:MOST_NAMED]), *more])}.html"
