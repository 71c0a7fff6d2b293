"""Where the weights of a run come from: its own folder of blocks, or the files of an importer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interp.contracts.imported import Imported
from interp.files.arrays import file_state
from interp.files.checkpoint_blocks import CheckpointBlocks

Arrays = Mapping[str, np.ndarray]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class WeightSource:
    """The weights of a run: at which steps there are some, and how they are read."""

    steps: tuple[int, ...]
    """Those that were there when it was made, ascending."""
    load: Callable[[int], Arrays]
    """step -> parameter name -> array. Raises InterpError, KeyError or OSError where there are none to be read."""
    stamp: Callable[[int], Any]
    """step -> what changes when its weights are replaced, told now and without reading them."""
    shapes: Callable[[int], Shapes] | None = None
    """step -> shapes, told without reading the weights; None where only reading tells them."""
    digest: Callable[[int], str | None] = lambda _: None
    """step -> the weights' digest, told without reading them and checked whenever they are; None where it is not."""
    for_good: bool = False
    """Whether `digest` names a content that can never be another, so that reading need not check it."""


def own_weights(folder: Path) -> WeightSource:
    """The weights that were trained here, in `folder`."""
    blocks = CheckpointBlocks(folder)
    return WeightSource(tuple(blocks.steps), blocks.load, blocks.state, blocks.shapes, blocks.digest)


def imported_weights(found: Imported, path: Path) -> WeightSource:
    """The weights an importer found at `path`; where it does not tell their files, whatever lies there is asked."""
    steps = tuple(found.steps)
    if found.versions:
        version = found.versions.__getitem__
        return WeightSource(steps, found.load, version, found.shapes, version, for_good=True)
    if found.files:
        return WeightSource(steps, found.load, lambda step: file_state(found.files[step]), found.shapes)
    return WeightSource(steps, found.load, lambda _: _everything_at(path), found.shapes)


def _everything_at(path: Path) -> tuple[Any, ...]:
    """What changes when a file at or below `path` does."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return tuple(map(file_state, files))
