"""A path becomes a run: a folder with a recipe, or anything an importer reads."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from interp.catalogue.options import checked_options, parameter_names
from interp.checkpoints.folder import SPLIT, WEIGHTS
from interp.checkpoints.run import Run
from interp.checkpoints.sweep import Sweep, sweep_of_folder, sweep_of_grid
from interp.checkpoints.weight_source import imported_weights, own_weights
from interp.contracts.task import Task
from interp.errors import InterpError
from interp.files.arrays import read_arrays
from interp.recipes import run_recipe
from interp.recipes.call import Call
from interp.recipes.document import read_document
from interp.recipes.grid import grid_of
from interp.recipes.run_paths import Source, no_run
from interp.recipes.run_recipe import Recipe


def open_run(path: str | os.PathLike[str], importer: str | None = None, device: str = "cpu", **options: Any) -> Any:
    """Open the run at `path`: a folder with a `run.yaml`, or anything the `importer` of that name reads.

    A `run.yaml` with a grid gives a `Sweep`, and so does a folder that is no run itself, but has runs in it.

    `options` are the importer's. `$NAMES` in the path are expanded. Raises InterpError where there is no run, no such
    importer or option, or a recipe with mistakes.
    """
    place = Path(os.path.expandvars(path)).expanduser()
    checked = checked_options("importers", importer, options) if importer is not None else {}
    source = Source(place, importer, checked)
    sweep = opened_sweep(source, device)
    return opened(source, device) if sweep is None else sweep


def opened_sweep(source: Source, device: str) -> Sweep | None:
    """The sweep at `source`; None where one run lies there. Raises InterpError where its recipe has mistakes."""
    path = source.path
    recipe = path / run_recipe.FILE
    if source.importer is not None or not path.is_dir():
        return None
    document = read_document(recipe) if recipe.is_file() else None
    grid = grid_of(document) if document else None
    if grid and document:
        found = sweep_of_grid(grid, opened, device, str(document.content.get("text") or ""))
        return dataclasses.replace(found, called=source.name)
    holds_runs = (path / WEIGHTS).exists() or (document and "importer" in document.content)
    if not holds_runs and next(path.glob(f"*/{run_recipe.FILE}"), None):
        return dataclasses.replace(sweep_of_folder(path, opened, device), called=source.name)
    return None


def opened(source: Source, device: str) -> Run:
    """The run at `source`, whose path and options are checked."""
    if source.importer is not None:
        call = Call("importers", source.importer, source.options)
        return _imported(source, device, Recipe(source.path, None, None, None, call, None, ""))
    if reason := no_run(source.path, source.importer):
        raise InterpError(reason)
    recipe = run_recipe.read(source.path / run_recipe.FILE)
    return _imported(source, device, recipe) if recipe.importer else _own(source, device, recipe)


def open_runs(sources: Sequence[Source], device: str) -> list[Run | Sweep]:
    """Open several runs, or sweeps. Raises InterpError where two have one name: their results would share a folder."""
    places = [dataclasses.replace(source, path=source.path.expanduser()) for source in sources]
    sweeps = [opened_sweep(place, device) for place in places]
    runs = [opened(place, device) if sweep is None else sweep for place, sweep in zip(places, sweeps, strict=True)]
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            paths = " and ".join(str(run.path) for run in runs if run.name == name)
            raise InterpError(f"two runs are called {name!r}: {paths}; give one a name: {{path: …, name: …}}")
    return runs


def _own(source: Source, device: str, recipe: Recipe) -> Run:
    """A run that was, or will be, trained here."""
    assert recipe.task is not None
    assert recipe.model is not None
    task = _made(recipe.path, recipe.task)
    weights = source.path / WEIGHTS
    if (weights / SPLIT).exists():
        task = _with_split(task, read_arrays(weights / SPLIT)[0].get("train"), weights / SPLIT)
    architecture = _made(recipe.path, recipe.model, task)
    return Run(
        path=source.path,
        task=task,
        architecture=architecture,
        loss=_made(recipe.path, recipe.loss),
        task_call=recipe.task,
        model_call=recipe.model,
        loss_call=recipe.loss,
        weights=own_weights(weights),
        source=source,
        opener=opened,
        training=recipe.training,
        child_of=recipe.parent,
        text=recipe.text,
        notes=(*_of_parent(recipe), *architecture.notes),
        device=device,
    )


def _of_parent(recipe: Recipe) -> list[str]:
    """Where a run starts that has a parent, and that the parent is gone, where it is."""
    parent = recipe.parent
    if parent is None:
        return []
    gone = f"Its parent is not there any more: {parent.folder} holds no {run_recipe.FILE}."
    return [parent.sentence, *([gone] if parent.is_gone else [])]


def _imported(source: Source, device: str, recipe: Recipe) -> Run:
    """A run made of what an importer returns; the task and model of a recipe stand in the place of its own."""
    assert recipe.importer is not None
    place = recipe.weights or source.path
    given = {"task": recipe.task, "model": recipe.model}
    known = parameter_names(recipe.importer)
    told = {name: (call.name, call.options) for name, call in given.items() if call and name in known}
    found = recipe.importer(place, **told)
    task_call = recipe.task or Call("tasks", found.task[0], checked_options("tasks", *found.task))
    model_call = recipe.model or Call("models", found.model[0], checked_options("models", *found.model))
    task = _made(place, task_call)
    if found.train is not None:
        task = _with_split(task, found.train, place)
    architecture = _made(place, model_call, task)
    return Run(
        path=source.path,
        task=task,
        architecture=architecture,
        loss=_made(place, recipe.loss),
        task_call=task_call,
        model_call=model_call,
        loss_call=recipe.loss,
        weights=imported_weights(found, source.path),
        source=source,
        opener=opened,
        text=recipe.text,
        notes=(*found.notes, *architecture.notes),
        read_as=found.read_as,
        device=device,
    )


def _with_split(task: Task, train: np.ndarray | None, place: Path) -> Task:
    if train is None or train.dtype != np.bool_ or train.shape != (len(task),):
        raise InterpError(f"{place} is not a split of the {len(task)} examples of {task.description}; restore it")
    return dataclasses.replace(task, train=torch.from_numpy(train))


def _made(place: Path, call: Call, *ours: Any) -> Any:
    try:
        return call(*ours)
    except ValueError as error:
        raise InterpError(f"{place}: {call.name}: {error}") from None
