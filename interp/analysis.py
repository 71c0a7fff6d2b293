"""An analysis, `analyses/<name>.yaml`: a question, the runs it is asked of, the measures that answer it."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp import documents, lookup, steps
from interp.checkpoints import Run, open_run
from interp.documents import Document
from interp.errors import InterpError, near_misses
from interp.results import Ask

KEYS = ("title", "text", "runs", "steps", "measures")


@dataclass(frozen=True)
class Source:
    """Where one run lies: a path, and the importer that reads it where it is not one of ours."""

    path: Path
    importer: str | None = None

    def open(self, device: str) -> Run:
        return open_run(self.path, self.importer, device)


@dataclass(frozen=True)
class Analysis:
    """An analysis file, checked."""

    path: Path
    title: str
    text: str
    sources: tuple[Source, ...]
    steps: steps.Steps
    asks: tuple[Ask, ...]

    @property
    def name(self) -> str:
        return self.path.stem


def read(path: Path, overrides: tuple[str, ...] = (), source: Source | None = None) -> Analysis:
    """The analysis at `path`; `source` in the place of its runs, "measure.option=value" over its options.

    Raises InterpError with every mistake at once, each with its line.
    """
    document = documents.read(path)
    content = document.content
    for key in content:
        if key not in KEYS:
            document.problem((key,), f"an analysis has no {key!r}{near_misses(key, KEYS)}")
    if not isinstance(content.get("measures"), list) or not content["measures"]:
        document.problem(("measures",), "an analysis needs 'measures', a list of names")
        asks = []
    else:
        asks = _asks(document, overrides)
    chosen = content.get("steps", "all")
    try:
        steps.check(chosen)
    except InterpError as error:
        document.problem(("steps",), str(error))
    sources = (source,) if source else _sources(document)
    document.settle()
    title = str(content.get("title", path.stem))
    return Analysis(path, title, str(content.get("text") or ""), sources, chosen, tuple(asks))


def _asks(document: Document, overrides: tuple[str, ...]) -> list[Ask]:
    given: dict[str, tuple[documents.Key, dict[str, Any]]] = {}
    for place, item in enumerate(document.content["measures"]):
        key = ("measures", place)
        if isinstance(item, str):
            item = {item: {}}
        if not isinstance(item, dict):
            document.problem(key, f"{item!r} is not a measure; expected a name, or {{name: {{option: value}}}}")
            continue
        for label, options in item.items():
            if not isinstance(options or {}, dict):
                document.problem((*key, label), f"the options of {label!r} should be names and values")
            elif not re.fullmatch(r"\w[\w. =+-]*", str(label)):
                document.problem((*key, label), f"{label!r} cannot be the name of a file; use letters, digits, _ and -")
            elif label in given:
                document.problem(
                    (*key, label),
                    f"{label!r} stands twice; give one a label: {{own_name: {{measure: {label}}}}}",
                )
            else:
                given[str(label)] = ((*key, label), dict(options or {}))
    for assignment in overrides:
        dotted, equals, value = assignment.partition("=")
        label, dot, option = dotted.partition(".")
        if not equals or not dot:
            raise InterpError(f"--set {assignment} is not of the form measure.option=value")
        if label not in given:
            raise InterpError(f"--set {assignment}: the analysis has no measure {label!r}{near_misses(label, given)}")
        given[label][1][option] = documents.parse(value)
    asks = [_ask(document, key, label, options) for label, (key, options) in given.items()]
    return [ask for ask in asks if ask is not None]


def _ask(document: Document, key: documents.Key, label: str, given: dict[str, Any]) -> Ask | None:
    own_steps = given.pop("steps", None)
    if own_steps is not None:
        try:
            steps.check(own_steps)
        except InterpError as error:
            document.problem((*key, "steps"), str(error))
    call = documents.checked_call(document, key, "measures", given.pop("measure", label), given)
    return Ask(label, call.name, call.options, own_steps) if call else None


def _sources(document: Document) -> tuple[Source, ...]:
    runs = document.content.get("runs")
    if not isinstance(runs, list) or not runs:
        document.problem(("runs",), "an analysis needs 'runs', a list of folders (or give --run PATH)")
        return ()
    found: list[Source] = []
    for place, item in enumerate(runs):
        path, importer = (item.get("path"), item.get("importer")) if isinstance(item, dict) else (item, None)
        for key in item if isinstance(item, dict) else ():
            if key not in ("path", "importer"):
                known = ("path", "importer")
                document.problem(("runs", place, key), f"a run here has no {key!r}{near_misses(str(key), known)}")
        if importer is not None:
            try:
                lookup.check_name("importers", str(importer))
            except InterpError as error:
                document.problem(("runs", place, "importer"), str(error))
        if not isinstance(path, str):
            document.problem(("runs", place), f"{item!r} is not a run; expected a path, or {{path: …, importer: …}}")
            continue
        unset = re.findall(r"\$\{?(\w+)\}?", os.path.expandvars(path))
        if unset:
            document.problem(("runs", place), f"{path}: the variable {unset[0]} is not set")
            continue
        matches = _expanded(path)
        if not matches:
            document.problem(("runs", place), f"no run matches {path}")
        found += [Source(match, importer) for match in matches]
    return tuple(found)


def _expanded(pattern: str) -> list[Path]:
    """Variables and globs expanded, in order; a pattern without wildcards is itself."""
    pattern = os.path.expandvars(pattern)
    if not glob.has_magic(pattern):
        return [Path(pattern)]
    return [Path(match) for match in sorted(glob.glob(pattern))]


def open_runs(analysis: Analysis, device: str) -> list[Run]:
    """Open its runs. Raises InterpError where two have one name: their results would share a folder."""
    runs = [source.open(device) for source in analysis.sources]
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            paths = " and ".join(str(run.path) for run in runs if run.name == name)
            raise InterpError(
                f"{analysis.path}: two runs are called {name!r}: {paths}; move one, or analyse them apart"
            )
    return runs
