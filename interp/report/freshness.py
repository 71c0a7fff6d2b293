"""Whether a report is still what its command would write, told without loading what would write it.

A report is fresh while the analysis, every file of its runs, every file of this package and of those that add
names to it, the results and the report itself are the files they were: same path, size and time of change.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from interp.catalogue.names import KINDS, PACKAGE, known_names
from interp.errors import InterpError
from interp.files.writing import write_text
from interp.recipes.document import read_document
from interp.recipes.run_paths import Source, sources


def question(analysis: Path, source: Source | None, *settings: Any) -> dict[str, Any] | None:
    """Everything a report is made from; None where the analysis has mistakes, which its reading will tell."""
    try:
        document = read_document(analysis)
        runs = (source,) if source else sources(document)
        document.settle()
    except InterpError:
        return None
    folders = {PACKAGE} | {path.parent for kind in KINDS for path in known_names(kind).values()}
    made_from = [analysis, *(place for run in runs for place in run.made_from), *sorted(folders)]
    return {
        "settings": [str(setting) for setting in (runs, *settings, sys.version)],
        "files": _states(made_from, skipped=("__pycache__", ".lock")),
    }


def remembered(report: Path, asked: dict[str, Any] | None) -> str | None:
    """What was said when `report` was written, where it is still the answer to `asked`; else None."""
    try:
        note = json.loads(_note(report).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if asked is None or not isinstance(note, dict) or not isinstance(note.get("said"), str) or not report.exists():
        return None
    same = note.get("asked") == json.loads(json.dumps(asked)) and note.get("written") == _written(report)
    return note["said"] if same else None


def another_run(report: Path, run: Path) -> str | None:
    """The path of the run that `report` was written on, where that is another one than `run`."""
    try:
        written_on = json.loads(_note(report).read_text(encoding="utf-8")).get("run")
    except (OSError, ValueError, AttributeError):
        return None
    return written_on if isinstance(written_on, str) and written_on != str(run.resolve()) else None


def remember(report: Path, asked: dict[str, Any] | None, said: str, run: Path | None = None) -> None:
    """Note what `report`, just written, was the answer to; `run` is the one it was pointed at."""
    written = json.loads(json.dumps(_written(report)))
    note = {"asked": asked, "written": written, "said": said, "run": str(run.resolve()) if run else None}
    write_text(_note(report), json.dumps(note))


def _note(report: Path) -> Path:
    return report.with_suffix("") / "fresh.json"


def _written(report: Path) -> list[Any]:
    return _states([report, report.with_suffix("")], skipped=(".lock", "fresh.json", ".parts"))


def _states(paths: Iterable[Path], skipped: tuple[str, ...]) -> list[Any]:
    """Path, size and time of change of every file at or below `paths`."""
    states = []
    for file in _files(paths):
        if not set(skipped) & set(file.parts) and not file.name.endswith(".tmp"):
            state = file.stat()
            states.append([str(file), state.st_size, state.st_mtime_ns])
    return states


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.is_file())
        elif path.exists():
            yield path
