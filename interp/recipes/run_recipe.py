"""A run's recipe, `run.yaml`: what was to be learnt, by what network, and where the weights come from."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.errors import near_misses
from interp.recipes.call import Call, call_at
from interp.recipes.document import Document, Key, read_document
from interp.recipes.save_schedule import schedule

FILE = "run.yaml"

MAX_PARAMETERS = 10**9
"""4 GB in float32, and training keeps four times as much."""


@dataclass(frozen=True)
class Training:
    """How a run is trained here."""

    steps: int
    optimiser: Call
    seed: int
    save: dict[str, Any]
    batch_size: int | None


@dataclass(frozen=True)
class Recipe:
    """`run.yaml`, checked."""

    path: Path
    task: Call | None
    model: Call | None
    training: Training | None
    importer: Call | None
    weights: Path | None
    """What the importer reads; None: the folder itself."""
    text: str

    @property
    def canonical(self) -> str:
        """The same text for the same recipe, whatever its layout: names and options, defaults filled in."""
        return json.dumps({"task": _plain(self.task), "model": _plain(self.model), "training": _plain(self.training)})


def _plain(value: Any) -> Any:
    if isinstance(value, Call):
        return {value.name: {name: _plain(option) for name, option in sorted(value.options.items())}}
    if isinstance(value, Training):
        return {name: _plain(part) for name, part in sorted(vars(value).items())}
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in sorted(value.items())}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def read(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """The recipe at `path`, with "training.seed=3"-like overrides. Raises InterpError with every mistake at once."""
    document = read_document(path)
    for assignment in overrides:
        document.set(assignment)
    content = document.content
    known = ("task", "model", "training", "importer", "text")
    for key in content:
        if key not in known:
            document.problem((key,), f"a run has no {key!r}{near_misses(key, known)}")
    weights = _weights(document)
    parts = {
        key: call_at(document, (key,), content[key], kind)
        for key, kind in (("task", "tasks"), ("model", "models"), ("importer", "importers"))
        if key in content
    }
    training = _training(document) if "training" in content else None
    if "importer" not in content:
        for key in ("task", "model"):
            if key not in content:
                document.problem((), f"a run needs {key!r}")
    if "importer" in content:
        _leave_split_unknown(parts.get("task"), content.get("task"))
    if "training" in content and "importer" in content:
        document.problem(("importer",), "a run is trained here or imported: give 'training' or 'importer', not both")
    _try_out(document, parts, training)
    document.settle()
    text = str(content.get("text") or "")
    return Recipe(path, parts.get("task"), parts.get("model"), training, parts.get("importer"), weights, text)


def _weights(document: Document) -> Path | None:
    """Take `path` out of the importer's options: it is relative to the recipe, variables are expanded."""
    importer = document.content.get("importer")
    if not isinstance(importer, dict) or len(importer) != 1:
        return None
    ((name, options),) = importer.items()
    if not isinstance(options, dict) or "path" not in options:
        return None
    given = options.pop("path")
    if not isinstance(given, str):
        document.problem(("importer", name, "path"), f"path is {given!r}; expected a file or folder")
        return None
    return document.path.parent / Path(os.path.expandvars(given)).expanduser()


def _leave_split_unknown(task: Call | None, given: Any) -> None:
    """How somebody else split is known only where the recipe says it."""
    options = next(iter(given.values()), None) if isinstance(given, dict) else None
    if task is not None and "split" in task.options and "split" not in (options or {}):
        task.options["split"] = "unknown"


def _try_out(document: Document, parts: dict[str, Call | None], training: Training | None) -> None:
    """Make what the recipe names, so that values that do not go together are told with their line."""
    import torch

    def made(key: Key, call: Call | None, *ours: Any) -> Any:
        try:
            return call(*ours) if call else None
        except (ValueError, RuntimeError, OverflowError) as error:
            document.problem(key, f"{call.name if call else key[-1]}: {(str(error).splitlines() or [''])[0]}")
            return None

    task = made(("task",), parts.get("task"))
    if task is not None:
        architecture = made(("model",), parts.get("model"), task)
        parameters = sum(map(math.prod, architecture.shapes.values())) if architecture else 0
        if parameters > MAX_PARAMETERS:
            document.problem(
                ("model",), f"a network of {parameters:,} parameters; at most {MAX_PARAMETERS:,} are tried"
            )
    if training:
        made(("training", "optimiser"), training.optimiser, [torch.zeros(1)])


def _training(document: Document) -> Training | None:
    key, given = ("training",), document.content["training"]
    if not isinstance(given, dict):
        document.problem(key, "training should be names and values: steps, optimiser, seed, save")
        return None
    known = ("steps", "optimiser", "seed", "save", "batch_size")
    for name in given:
        if name not in known:
            document.problem((*key, str(name)), f"training has no {name!r}{near_misses(str(name), known)}")
    steps, seed, batch_size = given.get("steps"), given.get("seed", 0), given.get("batch_size")
    if not _is_count(steps):
        document.problem((*key, "steps"), f"training needs 'steps', the number of updates; found {steps!r}")
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        document.problem((*key, "seed"), f"seed is {seed!r}; expected a whole number from 0 to 2^63 - 1")
    if batch_size is not None and not _is_count(batch_size):
        document.problem((*key, "batch_size"), f"batch_size is {batch_size!r}; expected a whole number, or none")
    save = given.get("save", {"every": 100})
    if not isinstance(save, dict) or not set(save) <= {"every", "log", "dense"}:
        document.problem((*key, "save"), f"save is {save!r}; expected every, log and dense: {{every: 100}}")
    elif wrong := [name for name in ("every", "log") if not _is_count(save.get(name, 1))]:
        document.problem((*key, "save"), f"save: {wrong[0]} is {save[wrong[0]]!r}; expected a whole number above 0")
    elif not isinstance(save.get("dense", []), list) or not all(isinstance(one, str) for one in save.get("dense", [])):
        document.problem((*key, "save"), 'save: dense is a list of windows "start:stop:every"')
    elif isinstance(steps, int) and _is_count(steps):
        try:
            schedule(steps, **save)
        except ValueError as error:
            document.problem((*key, "save"), f"save is {save!r}: {error}")
    optimiser = call_at(document, (*key, "optimiser"), given.get("optimiser", "adamw"), "optimisers")
    if optimiser is None or document.problems or not isinstance(steps, int):
        return None
    return Training(steps, optimiser, seed, save, batch_size)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
