"""Whether a report is still what its command would write, told without loading what would write it.

Beside a report lies one note: what was asked, the files that were read for it, and those that were written. The report
is fresh while all these are what they were: the same question, and files of the same path, size and time of change.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from interp.catalogue.names import KINDS, PACKAGE, known_names
from interp.errors import InterpError
from interp.files.writing import write_text
from interp.recipes.document import read_document
from interp.recipes.run_paths import Source, sources

NOT_PARTS = ("__pycache__", ".lock", ".parts", "fresh.json")
"""Files and folders that come and go without a report's numbers or words being others."""


def question(analysis: Path, given: Sequence[Source] | None, *options: Any) -> dict[str, Any] | None:
    """What a report is made from: runs, options and Python, and every file that is read for it.

    Those are the analysis, the recipes and weights of its runs, or of those `given` in their place, and the code of
    this package and of those that add names to it. None where the analysis has mistakes, which its reading will tell.
    """
    try:
        document = read_document(analysis)
        runs = tuple(given or ()) or sources(document)
        document.settle()
    except InterpError:
        return None
    code = {PACKAGE} | {path.parent for kind in KINDS for path in known_names(kind).values()}
    named = list(_named(document.content.get("measures")))
    read = [analysis, *(place for run in runs for place in run.made_from), *code, *map(Path, named)]
    return {"asked": [str(one) for one in (runs, *options, named, sys.version)], "read": _states(read)}


def _named(value: Any) -> Iterator[str]:
    """Texts of measures' options with variables of the environment, as they are now: they may be paths of files."""
    if isinstance(value, str) and "$" in value:
        yield os.path.expandvars(value)
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _named(part)


def remembered(report: Path, asked: dict[str, Any] | None) -> str | None:
    """What was said when `report` was written, where it is still the answer to the question `asked`; else None."""
    note = _note(report)
    same = asked is not None and note.get("question") == asked and note.get("written") == _written(report)
    return note["said"] if same and isinstance(note.get("said"), str) else None


def another_run(report: Path, *runs: Path) -> str | None:
    """The paths of the runs that `report` was written on, where those are others than `runs`."""
    written_on = _note(report).get("run")
    return written_on if isinstance(written_on, str) and written_on != _places(runs) else None


def remember(report: Path, asked: dict[str, Any] | None, said: str, *runs: Path) -> None:
    """Note what `report`, just written, was the answer to; `runs` are those it was pointed at."""
    note = {"question": asked, "written": _written(report), "said": said, "run": _places(runs) if runs else None}
    write_text(_note_path(report), json.dumps(note))


def _places(runs: Iterable[Path]) -> str:
    return ", ".join(str(run.resolve()) for run in runs)


def _note_path(report: Path) -> Path:
    return report.with_suffix("") / "fresh.json"


def _note(report: Path) -> dict[str, Any]:
    """The note beside a report, empty where there is none that can be read."""
    try:
        note = json.loads(_note_path(report).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _written(report: Path) -> list[list[Any]]:
    return _states([report, report.with_suffix("")])


def _states(places: Iterable[Path]) -> list[list[Any]]:
    """[path, size, time of change] of every file at or below these places."""
    files = {file for place in places for file in (place.rglob("*") if place.is_dir() else [place]) if file.is_file()}
    kept = (file for file in sorted(files) if not set(NOT_PARTS) & set(file.parts) and file.suffix != ".tmp")
    return [[str(file), state.st_size, state.st_mtime_ns] for file in kept for state in [file.stat()]]
