"""The lines that a message proposes, as they are written in a run.yaml, an analysis, or a command."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from interp.errors import command_line
from interp.recipes.document import parse_value
from interp.recipes.run_paths import run_name

PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def in_yaml(value: Any) -> str:
    """Return `value` as YAML in one line, quoted where it has to be."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{in_yaml(key)}: {in_yaml(part)}" for key, part in value.items()) + "}"
    if isinstance(value, str) and not (PLAIN.fullmatch(value) and value.lower() not in WORDS):
        return json.dumps(value, ensure_ascii=False)
    return value if isinstance(value, str) else json.dumps(value)


def option_line(options: Mapping[str, Any]) -> str:
    """Return the line of a run.yaml that gives these options to `state_dicts`; it is known to be YAML that says so."""
    value = {"state_dicts": dict(options)}
    line = in_yaml(value)
    assert parse_value(line) == value, line
    return f"importer: {line}"


def opening_lines(runs: Iterable[tuple[Path, Mapping[str, Any]]]) -> list[str]:
    """Return the `runs:` of an analysis that opens each of these paths with its options, and the command for the first.

    Runs of one path would have one name, under which an analysis keeps the results: each is given one of its own.
    """
    runs = list(runs)
    values: list[dict[str, Any]] = [
        {"path": str(path), "importer": {"state_dicts": dict(options)} if options else "state_dicts"}
        for path, options in runs
    ]
    assert all(parse_value(in_yaml(value)) == value for value in values)
    commands = [
        command_line("run", "fourier", "--run", value["path"], "--importer", in_yaml(value["importer"]))
        for value in values
    ]
    if len({run_name(path) for path, _ in runs}) < len(runs):
        names = _names(runs)
        values = [value | {"name": name} for value, name in zip(values, names, strict=True)]
    return [
        "in an analysis, all of them:",
        "  runs:",
        *(f"    - {in_yaml(value)}" for value in values),
        "or one of them, such as",
        f"  {commands[0]}",
    ]


def _names(runs: list[tuple[Path, Mapping[str, Any]]]) -> list[str]:
    """A name for each run, by its path and by the words of its options; with a number where that tells none apart."""
    words = [[re.sub(r"\{step\}|\.\w+$", "", str(value)) for value in options.values()] for _, options in runs]
    named = [
        re.sub(r"[^\w.-]+", "-", "-".join([run_name(path), *own])).strip("-._")
        for (path, _), own in zip(runs, words, strict=True)
    ]
    return named if len(set(named)) == len(named) else [f"{run_name(path)}-{n}" for n, (path, _) in enumerate(runs, 1)]
