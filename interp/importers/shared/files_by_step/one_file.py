"""The checkpoints that one file holds, and the step of one that it holds alone."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interp.errors import InterpError
from interp.files import foreign
from interp.files.arrays import arrays_digest, file_state
from interp.importers.shared.files_by_step.contents import tensors
from interp.importers.shared.files_by_step.inside import Inside, look
from interp.importers.shared.files_by_step.names import Ambiguous, Named, by_pattern, named
from interp.importers.shared.files_by_step.places import Asked, Found, Place, Unit
from interp.importers.shared.files_by_step.proposals import option_line
from interp.importers.shared.files_by_step.told_steps import updates_made, whole_number

TRAINER_STATE = "trainer_state.json"
"""What Hugging Face's Trainer writes beside each checkpoint."""
EPOCHS = "The steps are epochs: how many updates one takes is not told."


def in_file(path: Path, content: Any, asked: Asked) -> Found:
    """Find the checkpoints in one file, whose content is given: several by step, or one.

    The step of one is what the file says, or its name does, or 0, which is then said. Raises InterpError where a name
    with a word for steps says another than the file.
    """
    found = look(content, asked, str(path))
    if found.series:
        return series(path, found)
    place = Place(path, *found.routes[0][1:])
    if asked.pattern is not None:
        said = by_pattern(path.parent, [path], asked.pattern)
        if not said:
            raise InterpError(f"{path}: the pattern {asked.pattern!r} does not fit its name")
        return Found({_step(said[0]): place}, found.notes, said[0].unit or "step")
    told, name = told_of(path, found), _name_alone(path)
    if not told and name.step is None and (updates := updates_made(content)) is not None:
        told = {"step": updates}
    notes = list(found.notes)
    if told:
        unit: Unit = "step" if "step" in told else "epoch"
        step = told[unit]
        if name.step is not None and (other := contradiction(name, told)):
            if name.unit is not None:
                raise InterpError(contradicting([(path, name, other)], path.parent))
            notes.append(f"{path.name} holds {other}, which is taken; the {name.step:,} in its name is not.")
        if unit == "epoch" and name.unit == "step" and name.step is not None:
            unit, step = "step", name.step
    else:
        unit, step = name.unit or "step", name.step if name.step is not None else 0
        if name.step is None:
            notes.append(f"{path.name} tells no step, inside or in its name; it is taken to be 0.")
        elif not name.said:
            notes.append(f"{path.name}: its step is taken to be {step:,}, the number in its name.")
    if unit == "epoch":
        notes.append(EPOCHS)
    return Found({step: place}, tuple(notes), unit, step_told=bool(told) or name.step is not None)


def contradicting(cases: list[tuple[Path, Named, str]], folder: Path) -> str:
    """The message that names what files say of their step in their names and inside, and how to choose the name."""
    lines = [f"{folder}: the step in a file's name is not the one inside"]
    lines += [
        f"  {path.relative_to(folder)}: {name.unit or 'step'} {name.step:,} in its name, {other} inside"
        for path, name, other in cases[:5]
    ]
    pattern = cases[0][1].key
    if any(by_pattern(folder, [path], pattern) for path, _, _ in cases):
        lines.append(f"Where the names are right, say so in a run.yaml: {option_line({'pattern': pattern})}")
    return "\n".join(lines)


def _step(name: Named) -> int:
    assert name.step is not None
    return name.step


def series(path: Path, found: Inside) -> Found:
    """The checkpoints of a file that holds several, with their steps."""
    places = {step: Place(path, route, row) for step, route, row in found.routes if step is not None}
    notes = (*found.notes, *((EPOCHS,) if found.unit == "epoch" else ()))
    return Found(places, notes, found.unit or "step")


def told_of(path: Path, found: Inside) -> dict[str, int]:
    """What is said of the step of a network alone: in its file, in safetensors' metadata, in the Trainer's state."""
    told = dict(found.told)
    state = _json(path.parent / TRAINER_STATE)
    if (step := whole_number(state.get("global_step"))) is not None:
        told = {"step": step} | {unit: value for unit, value in told.items() if unit != "step"}
    if foreign.is_safetensors(path):
        metadata: Mapping[str, str] = foreign.TensorsOneByOne(path).metadata
        for key, unit in (("epoch", "epoch"), ("step", "step"), ("global_step", "step")):
            if metadata.get(key, "").isdigit():
                told[unit] = int(metadata[key])
    return told


def contradiction(name: Named, told: Mapping[str, int]) -> str | None:
    """What a file says of its step where that contradicts its name; None where it does not, or counts another thing."""
    assert name.step is not None
    if any(abs(value - name.step) <= 1 for value in told.values()):
        return None
    if name.unit is not None and name.unit not in told:
        return None
    unit = name.unit or ("step" if "step" in told else "epoch")
    return f"{unit} {told[unit]:,}"


def _name_alone(path: Path) -> Named:
    try:
        return named(path.parent, [path])[0]
    except Ambiguous:
        return Named(path, path.name, None)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def same_weights(first: Place, second: Place) -> bool:
    """Whether two places hold the same tensors, bit for bit; the one file is let go before the other is read."""
    one, other = (_digest(place, file_state(place.path)) for place in (first, second))
    return one is not None and one == other


@functools.lru_cache(maxsize=64)
def _digest(place: Place, _: Any) -> str | None:
    try:
        return arrays_digest(tensors(foreign.read(place.path), place.route, place.row))
    except InterpError:
        return None
