"""What an importer returns: plain data, of which `open_run` makes a Run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from interp.errors import InterpError

Arrays = dict[str, np.ndarray]
Given = tuple[str, dict[str, Any]]
"""A name and its options, as in YAML: ("transformer", {"d_model": 128})."""

STATE_DICT_KEYS = ("model", "state_dict", "model_state_dict", "net", "network", "params", "weights")


@dataclass(frozen=True)
class Imported:
    """A run of somebody else's."""

    task: Given
    model: Given
    steps: list[int]
    load: Callable[[int], Mapping[str, np.ndarray]]
    """step -> arrays under our names and shapes. Raises InterpError where the file behind it cannot be read.

    A mapping that reads an array whenever it is asked for it keeps the memory down to the largest of them.
    """
    train: np.ndarray | None = None
    """The split, True where an example was trained on, [example]; None where the task's rule tells it, or nobody."""
    files: Mapping[int, Path] = field(default_factory=dict)
    """The file of each step, where one is known: a replaced one is noticed."""
    shapes: Callable[[int], Mapping[str, tuple[int, ...]]] | None = None
    """step -> the shapes of its arrays, told without reading them; None where only reading tells them."""
    versions: Mapping[int, str] = field(default_factory=dict)
    """What names the content of each step for good, such as a commit; weights with such a name are never replaced."""
    notes: tuple[str, ...] = ()
    """What a reader should know of how it was read, a sentence each."""
    read_as: Mapping[str, str] = field(default_factory=dict)
    """Their names of tensors -> ours, or in words what became of them."""


def is_state_dict(value: Any) -> bool:
    """Whether `value` maps names to arrays and holds at least one."""
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(name, str) and isinstance(array, np.ndarray) for name, array in value.items())
    )


def state_dict(value: Any, source: str) -> Arrays:
    """The network's tensors in what a file held: a state dict itself, or one under "model", "state_dict", ….

    Raises InterpError that lists what is there instead.
    """
    if is_state_dict(value):
        return dict(value)
    if isinstance(value, Mapping):
        inside = {name: part for name, part in value.items() if is_state_dict(part)}
        for name in (*STATE_DICT_KEYS, *(name for name in inside if "optim" not in str(name).lower())):
            if name in inside:
                return dict(inside[name])
        found = f"a dictionary of {_listed(map(str, value))}"
    else:
        found = "one tensor" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
    raise InterpError(f"{source} holds {found}; expected a state dict, names and tensors, or one under 'model'")


def _listed(names: Any) -> str:
    names = [repr(name[:60]) for name in names]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
