"""An analysis, `analyses/<name>.yaml`: a question, the runs it is asked of, the measures that answer it.

Reading one imports no measure and opens no run: names and options are checked against the source.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.errors import InterpError, near_misses
from interp.recipes import step_choice
from interp.recipes.asks import Ask
from interp.recipes.call import checked_call
from interp.recipes.document import Document, Key, parse_value, read_document
from interp.recipes.run_paths import Source, sources

KEYS = ("title", "paper", "text", "runs", "steps", "measures")


@dataclass(frozen=True)
class Analysis:
    """An analysis file, checked."""

    path: Path
    title: str
    text: str
    sources: tuple[Source, ...]
    steps: step_choice.Steps
    asks: tuple[Ask, ...]
    paper: str = ""
    """Whose claims it tries, "Varma et al. 2023, arXiv 2309.02390"; "" where it tries none."""


def read(path: Path, overrides: tuple[str, ...] = (), instead: Sequence[Source] = ()) -> Analysis:
    """The analysis at `path`; `instead` in the place of its runs, "measure.option=value" over its options.

    Raises InterpError with every mistake at once, each with its line.
    """
    document = read_document(path)
    content = document.content
    document.check_keys("an analysis", content, KEYS)
    measures = content.get("measures")
    if not isinstance(measures, list) or not measures:
        given = f"; write measures: [{measures}]" if isinstance(measures, str) else ""
        document.problem(("measures",), f"an analysis needs 'measures', a list of names{given}")
        asks = []
    else:
        asks = _asks(document, overrides)
    chosen = content.get("steps", "all")
    try:
        step_choice.check(chosen)
    except InterpError as error:
        document.problem(("steps",), str(error))
    where = tuple(instead) or sources(document)
    document.settle()
    title = str(content.get("title", path.stem))
    text, paper = (str(content.get(key) or "") for key in ("text", "paper"))
    return Analysis(path, title, text, where, chosen, tuple(asks), paper)


def _asks(document: Document, overrides: tuple[str, ...]) -> list[Ask]:
    given: dict[str, tuple[Key, dict[str, Any]]] = {}
    for place, item in enumerate(document.content["measures"]):
        key = ("measures", place)
        if isinstance(item, str):
            item = {item: {}}
        if not isinstance(item, dict):
            document.problem(key, f"{item!r} is not a measure; expected a name, or {{name: {{option: value}}}}")
            continue
        for label, options in item.items():
            if not isinstance(options or {}, dict):
                document.problem((*key, str(label)), f"the options of {label!r} should be names and values")
            elif not re.fullmatch(r"\w[\w. =+-]*", str(label)):
                document.problem(
                    (*key, str(label)), f"{label!r} cannot be the name of a file; use letters, digits, _ and -"
                )
            elif label in given:
                document.problem(
                    (*key, str(label)),
                    f"{label!r} stands twice; give one a label: {{own_name: {{measure: {label}}}}}",
                )
            else:
                given[str(label)] = ((*key, str(label)), dict(options or {}))
    for assignment in overrides:
        dotted, equals, value = assignment.partition("=")
        label, dot, option = dotted.partition(".")
        if not equals or not dot:
            raise InterpError(f"--set {assignment} is not of the form measure.option=value")
        if label not in given:
            raise InterpError(f"--set {assignment}: the analysis has no measure {label!r}{near_misses(label, given)}")
        given[label][1][option] = parse_value(value)
    asks = [_ask(document, key, label, options) for label, (key, options) in given.items()]
    return [ask for ask in asks if ask is not None]


def _ask(document: Document, key: Key, label: str, given: dict[str, Any]) -> Ask | None:
    own_steps = given.pop("steps", None)
    if own_steps is not None:
        try:
            step_choice.check(own_steps)
        except InterpError as error:
            document.problem((*key, "steps"), str(error))
    call = checked_call(document, key, "measures", given.pop("measure", label), given)
    return Ask(label, call, own_steps) if call else None
