"""The step of a checkpoint as a file says it inside: beside the network, or in its optimiser's state."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from interp.importers.shared.files_by_step import contents
from interp.importers.shared.files_by_step.places import Route


def told_step(content: Any, route: Route) -> dict[str, int]:
    """What the maps around a network, and a small one beside it, say of its step: by "step" and "epoch"."""
    found: dict[str, int] = {}
    for depth in range(len(route), -1, -1):
        around = contents.at(content, route[:depth])
        if not isinstance(around, Mapping):
            continue
        beside = [
            part
            for key, part in around.items()
            if isinstance(part, Mapping)
            and len(part) <= 64
            and key not in route
            and not contents.SETTINGS.search(str(key).lower())
            and not contents.OTHER.search(str(key).lower())
            and not contents.has_matrix(contents.all_tensors(part))
        ]
        for each in (around, *beside):
            found = _step_in(each) | found
    return found


SAVED_EVERY = re.compile(
    r"(save|saving|saves|checkpoint|checkpoints|checkpointing|ckpt|ckpts|snapshot|snapshots)(_model|_weights|_ckpt|_checkpoint)?s?"
    r"_?(every|interval|freq|frequency|period|steps|epochs)(_n)?(_(train_)?(steps?|epochs?|iters?|updates?))?"
    r"|every_n_(train_)?(steps|epochs)|steps_per_(save|checkpoint|ckpt|snapshot)"
)
"""What settings call the number of steps from one checkpoint to the next."""


LARGEST_SETTINGS = 2**20
"""Bytes."""


def saved_every(content: Any, route: Route, file: Path) -> tuple[str, int] | None:
    """What settings about these checkpoints of a file call the steps between two, and their number; None where none do.

    They lie around them, or in a JSON file beside theirs. Where several say so, and not the same, none is taken.
    """
    around = [contents.at(content, route[:depth]) for depth in range(len(route), -1, -1)]
    around += [_json(beside) for beside in sorted(file.parent.glob("*.json")) if _is_settings(beside)]
    found: dict[int, str] = {}
    for each in around:
        for name, every in _intervals(each) if isinstance(each, Mapping) else ():
            found.setdefault(every, name)
    return next(((name, every) for every, name in found.items()), None) if len(found) == 1 else None


def _is_settings(file: Path) -> bool:
    return contents.SETTINGS.search(file.stem.lower()) is not None and file.stat().st_size < LARGEST_SETTINGS


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _intervals(settings: Mapping[Any, Any], level: int = 0) -> Iterator[tuple[str, int]]:
    for key, value in settings.items():
        name = str(key)
        every = whole_number(value)
        if every and SAVED_EVERY.fullmatch(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()):
            yield name, every
        elif isinstance(value, Mapping) and level < contents.MAX_LEVELS and contents.SETTINGS.search(name.lower()):
            yield from _intervals(value, level + 1)


def updates_made(content: Any, level: int = 0) -> int | None:
    """How many updates an optimiser whose state lies in the content has made; None where none says so."""
    if isinstance(content, list | tuple) and len(content) < 16:
        content = dict(enumerate(content))
    if not isinstance(content, Mapping) or level > contents.MAX_LEVELS:
        return None
    state = content.get("state")
    if "param_groups" in content and isinstance(state, Mapping):
        steps = [whole_number(each.get("step")) for each in state.values() if isinstance(each, Mapping)]
        return max((step for step in steps if step is not None), default=None)
    within = (updates_made(part, level + 1) for part in content.values() if isinstance(part, Mapping | list | tuple))
    return next((step for step in within if step is not None), None)


INSIDE_STEP = (
    "global_step", "step", "train_step", "training_step", "current_step", "steps", "iteration", "iterations", "iter",
    "iters", "it", "its", "update", "updates", "num_updates", "n_updates", "step_num", "iter_num",
)  # fmt: skip
INSIDE_EPOCH = ("epoch", "current_epoch", "epochs", "epoch_num", "ep")


def _step_in(around: Mapping[Any, Any]) -> dict[str, int]:
    names = {str(key).lower(): value for key, value in around.items()}
    found = {}
    for unit, words in (("step", INSIDE_STEP), ("epoch", INSIDE_EPOCH)):
        numbers = [whole for word in words if (whole := whole_number(names.get(word))) is not None]
        if numbers:
            found[unit] = numbers[0]
    return found


def whole_number(value: Any) -> int | None:
    """A step, whatever number it is written as: 3, 3.0, an array that holds it; None of anything else."""
    if isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "iuf":
        value = value.reshape(-1)[0].item()
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != value // 1:
        return None
    return int(value) if value < 2**62 else None


def whole_numbers(value: Any) -> list[int]:
    """The steps in a list or an array of one axis; none where not all are."""
    values = (
        value.tolist() if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iuf" else value
    )
    if not isinstance(values, list | tuple):
        return []
    numbers = [whole_number(each) for each in values]
    return [each for each in numbers if each is not None] if None not in numbers else []
