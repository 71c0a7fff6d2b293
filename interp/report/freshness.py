"""Whether a report is still what its command would write, told without loading what would write it.

Beside a report lies one note: what was asked, the files that were read for it, and those that were written. The report
is fresh while all these are what they were: the same question, and files of the same path, size and time of change.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from interp.catalogue.names import KINDS, PACKAGE, known_names
from interp.errors import InterpError
from interp.files.writing import write_text
from interp.recipes.document import read_document
from interp.recipes.run_paths import Source, sources

NOT_PARTS = ("__pycache__", ".lock", ".parts", "fresh.json")
"""Files and folders that come and go without a report's numbers or words being others."""


def question(analysis: Path, source: Source | None, *options: Any) -> dict[str, Any] | None:
    """What a report is made from: runs, options and Python, and every file that is read for it.

    Those are the analysis, the recipes and weights of its runs, and the code of this package and of those that add
    names to it. None where the analysis has mistakes, which its reading will tell.
    """
    try:
        document = read_document(analysis)
        runs = (source,) if source else sources(document)
        document.settle()
    except InterpError:
        return None
    code = {PACKAGE} | {path.parent for kind in KINDS for path in known_names(kind).values()}
    read = [analysis, *(place for run in runs for place in run.made_from), *code]
    return {"asked": [str(one) for one in (runs, *options, sys.version)], "read": _states(read)}


def remembered(report: Path, asked: dict[str, Any] | None) -> str | None:
    """What was said when `report` was written, where it is still the answer to the question `asked`; else None."""
    note = _note(report)
    same = asked is not None and note.get("question") == asked and note.get("written") == _written(report)
    return note["said"] if same and isinstance(note.get("said"), str) else None


def another_run(report: Path, run: Path) -> str | None:
    """The path of the run that `report` was written on, where that is another one than `run`."""
    written_on = _note(report).get("run")
    return written_on if isinstance(written_on, str) and written_on != str(run.resolve()) else None


def remember(report: Path, asked: dict[str, Any] | None, said: str, run: Path | None = None) -> None:
    """Note what `report`, just written, was the answer to; `run` is the one it was pointed at."""
    place = str(run.resolve()) if run else None
    note = {"question": asked, "written": _written(report), "said": said, "run": place}
    write_text(_note_path(report), json.dumps(note))


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
