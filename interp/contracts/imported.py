"""What an importer returns: plain data, of which `open_run` makes a Run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Given = tuple[str, dict[str, Any]]
"""A name and its options, as in YAML: ("transformer", {"d_model": 128})."""


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
