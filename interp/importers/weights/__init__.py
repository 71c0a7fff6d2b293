"""Any state dict of any model, and the revisions of a repository of them: the weights alone.

1. `revisions` finds the revisions of a Hugging Face repository, of a git clone or of the Hub's cache, and fetches their
   weight files; without revisions, files by step are found as the importer `state_dicts` finds them.
2. Here the tensors in them become the arrays of a run, under their own names, each read when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interp.catalogue.names import find
from interp.contracts.architecture import Architecture, ReadsStateDicts
from interp.contracts.imported import Given, Imported
from interp.errors import InterpError
from interp.files.one_at_a_time import Lying, OneAtATime, in_memory, on_disk
from interp.importers.shared import files_by_step
from interp.importers.weights.revisions import Chosen, Fetched, found_revisions, refuse_shards

TENSORS = "tensors"
"""The model of which nothing is known."""


def weights(
    path: Path,
    task: Given | None = None,
    model: Given | None = None,
    pattern: str | None = None,
    repo: str | None = None,
    revisions: list[str] | str | None = None,
    file: str | None = None,
    keep: bool = True,
) -> Imported:
    """State dicts of any network: what needs only weights is measured, of the rest nothing is known.

    A folder of .pt, .pth, .safetensors, … files, one file, or revisions of a repository. The tensors keep their names.
    Half precision is widened to float32, and a complex tensor is two, its real and its imaginary part; whole numbers
    are no weights and are left out. Tensors of a safetensors file are read one at a time. With a model and a task in a
    run.yaml, such as a module of your own, the network runs, and every measure that suits it has numbers.

    - pattern: where the step is in a file's name, or in that of a revision, such as "model_{step}.pt"; else it is the
      number after "step", or the only one.
    - repo: a repository of the Hugging Face Hub, "EleutherAI/pythia-14m"; needs the extra interp[hub]. Without it,
      revisions are those of the git repository, or of the folder of the Hub's cache, at `path`.
    - revisions: branches and tags, a list of names or a pattern such as "step*"; of a repo all whose names hold a step.
    - file: the weight file in a revision, where it is not model.safetensors, pytorch_model.bin or the only one.
    - keep: whether what was downloaded stays in the Hub's cache; else a file is deleted once its rows are computed.

    Raises InterpError where there are no weights, no revision fits, two have one step, or the files are shards.
    """
    if repo is None and revisions is None:
        found = _files(path, pattern)
    else:
        found = _revisions(path, Chosen(repo, revisions, pattern, file, keep))
    last = max(found.steps)
    example = found.load(last)
    if not example:
        raise InterpError(
            f"{found.source(last)} holds no weights: {_listed(example.left_out)} are whole numbers or text"
        )
    if model is not None:
        return _of_network(found, task, model)
    shapes = example.shapes

    def own_shapes(step: int) -> Mapping[str, tuple[int, ...]]:
        return shapes if found.versions else found.load(step).shapes  # a revision is not fetched to be looked at

    return Imported(
        task=task or ("unknown", {}),
        model=(TENSORS, {"shapes": shapes}),
        steps=found.steps,
        load=found.load,
        files=found.files,
        shapes=own_shapes,
        versions=found.versions,
        notes=(
            "Opened by the importer weights: nothing is known of the task, nor of the network but its weights.",
            *found.notes,
            *_read_as(example),
        ),
    )


@dataclass(frozen=True)
class _Found:
    """Weights by step, wherever they lie."""

    steps: list[int]
    load: Callable[[int], OneAtATime]
    source: Callable[[int], str]
    """step -> what messages call its file."""
    files: Mapping[int, Path]
    versions: Mapping[int, str]
    notes: tuple[str, ...] = ()


def _files(path: Path, pattern: str | None) -> _Found:
    """Files by step: the only place that asks which file holds which step."""
    refuse_shards(path)
    read = _reading_lazily()
    run = files_by_step.find(path, files_by_step.Asked(pattern), read)
    places = run.places

    def load(step: int) -> OneAtATime:
        place = places[step]
        if _is_safetensors(place.path):
            return OneAtATime(on_disk(lambda: place.path))
        return _once(in_memory(files_by_step.arrays_at(place, read)))

    files = {step: place.path for step, place in places.items()}
    return _Found(sorted(places), load, lambda step: str(files[step]), files, {}, run.notes)


def _revisions(path: Path, chosen: Chosen) -> _Found:
    """Revisions by step; each is fetched when it is first read."""
    found, notes = found_revisions(path, chosen)
    fetched = Fetched(found)

    def load(step: int) -> OneAtATime:
        path = fetched.path(step)
        if _is_safetensors(path):
            return OneAtATime(on_disk(lambda: fetched.path(step)))
        return _once(in_memory(files_by_step.arrays_at(files_by_step.Place(path))))

    def source(step: int) -> str:
        return str(found[step])

    return _Found(sorted(found), load, source, {}, {step: one.version for step, one in found.items()}, notes)


def _reading_lazily() -> files_by_step.Read:
    """Return what reads files to find their steps: of a safetensors file it reads no tensor."""
    read = files_by_step.reading_once()

    def lazily(path: Path) -> Any:
        return OneAtATime(on_disk(lambda: path)) if _is_safetensors(path) else read(path)

    return lazily


def _is_safetensors(path: Path) -> bool:
    """Whether the file is one, or should be: what stands in its place is told where it is read."""
    return path.suffix == ".safetensors"


def _once(tensors: Mapping[str, Lying]) -> OneAtATime:
    """Leave out the second names of one tensor, such as an unembedding tied to the embedding."""
    kept: dict[Any, str] = {}
    for name, tensor in tensors.items():
        array = tensor.read()
        where = (array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str)
        kept.setdefault(where if array.size else name, name)
    first = {name: tensors[name] for name in kept.values()}
    return OneAtATime(first, tuple(name for name in tensors if name not in first))


def _read_as(example: OneAtATime) -> list[str]:
    """What a reader should know of how the numbers were read, a sentence each."""
    notes = []
    if half := sorted(example.types & {"float16", "bfloat16"}):
        notes.append(f"Tensors of {' and '.join(half)} are widened to float32.")
    if any(kind.startswith("complex") for kind in example.types):
        notes.append("A complex tensor is read as two, its real and its imaginary part.")
    if example.left_out:
        are = "is no weight and is" if len(example.left_out) == 1 else "are no weights and are"
        notes.append(f"{_listed(example.left_out)}, whole numbers or text, {are} left out.")
    if example.second_names:
        are = "is a second name" if len(example.second_names) == 1 else "are second names"
        notes.append(f"{_listed(example.second_names)} {are} of a tensor that is counted once.")
    return notes


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _of_network(found: _Found, task: Given | None, model: Given) -> Imported:
    """The run of a network that the run.yaml names, which takes its weights from somebody's tensors by their names.

    Raises InterpError where the task is not told, or the network has other names for its weights than anybody's.
    """
    if task is None:
        raise InterpError("a model is given and no task; give the task too, or neither: then the weights are measured")
    name, options = model
    try:
        network: Architecture = find("models", name)(find("tasks", task[0])(**task[1]), **options)
    except ValueError as error:
        raise InterpError(f"{name}: {error}") from None
    if not isinstance(network, ReadsStateDicts):
        raise InterpError(
            f"the importer weights keeps the names of the files, which the model {name} has not; take the importer "
            "state_dicts, which finds out which tensor is which, or the model module: a network of your own"
        )

    def load(step: int) -> dict[str, np.ndarray]:
        return network.weights_of(dict(found.load(step)), found.source(step))

    shapes = network.shapes
    return Imported(
        task=task,
        model=model,
        steps=found.steps,
        load=load,
        files=found.files,
        shapes=(lambda _: shapes) if found.versions else None,
        versions=found.versions,
        notes=found.notes,
    )
