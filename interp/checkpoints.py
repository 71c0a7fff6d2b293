"""A run on disk as Python objects: `Run`, and `Checkpoint`, its weights, task and hooked model at one step."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp import devices, fingerprints, lookup, recipe, schema, steps, storage
from interp.documents import Call
from interp.errors import InterpError, near_misses
from interp.models._architecture import Architecture
from interp.sources import run_name
from interp.tasks._task import Task

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import xarray as xr
    from transformer_lens import ActivationCache

    from interp.models._hooks import HookedModel

WEIGHTS = "weights"
SPLIT = "split.safetensors"


def open_run(path: str | os.PathLike[str], importer: str | None = None, device: str = "cpu", **options: Any) -> Run:
    """Open the run at `path`: a folder with a `run.yaml`, or anything the `importer` of that name reads.

    `options` are the importer's. `$NAMES` in the path are expanded. Raises InterpError where there is no run, no such
    importer or option, or a recipe with mistakes.
    """
    place = Path(os.path.expandvars(path)).expanduser()
    if importer is not None:
        call = Call("importers", importer, lookup.options("importers", importer, options))
        return _imported(place, place, call, None, None, "", device, (place, importer, call.options))
    if not (place / recipe.FILE).is_file():
        raise InterpError(_no_run(place))
    read = recipe.read(place / recipe.FILE)
    if read.importer:
        source = read.weights or place
        return _imported(place, source, read.importer, read.task, read.model, read.text, device, (place, None, {}))
    assert read.task is not None
    assert read.model is not None
    task = _built(read.path, read.task)
    store = storage.Checkpoints(place / WEIGHTS)
    if (place / WEIGHTS / SPLIT).exists():
        mask, _ = storage.read_arrays(place / WEIGHTS / SPLIT)
        task = _with_split(task, mask.get("train"), place / WEIGHTS / SPLIT)
    return Run(
        path=place,
        task=task,
        architecture=_built(read.path, read.model, task),
        task_call=read.task,
        model_call=read.model,
        training=read.training,
        text=read.text,
        stored_steps=lambda: store.refresh() or store.steps,
        load=store.load,
        device=device,
        reopen=(place, None, {}),
    )


def _imported(
    place: Path,
    source: Path,
    importer: Call,
    task_call: Call | None,
    model_call: Call | None,
    text: str,
    device: str,
    reopen: tuple[Path, str | None, dict[str, Any]],
) -> Run:
    """A run made of what an importer returns; the task and model of a recipe stand in the place of its own."""
    given = {"task": task_call, "model": model_call}
    told = {
        name: (call.name, call.options) for name, call in given.items() if call and name in lookup.parameters(importer)
    }
    found = importer(source, **told)
    task_call = task_call or Call("tasks", found.task[0], lookup.options("tasks", *found.task))
    model_call = model_call or Call("models", found.model[0], lookup.options("models", *found.model))
    task = _built(source, task_call)
    if found.train is not None:
        task = _with_split(task, found.train, source)
    return Run(
        path=place,
        task=task,
        architecture=_built(source, model_call, task),
        task_call=task_call,
        model_call=model_call,
        training=None,
        text=text,
        stored_steps=lambda: found.steps,
        load=found.load,
        device=device,
        reopen=reopen,
        notes=found.notes,
    )


def _with_split(task: Task, train: np.ndarray | None, source: Path) -> Task:
    if train is None or train.dtype != np.bool_ or train.shape != task.answers.shape:
        raise InterpError(f"{source} is not a split of the {len(task.answers)} pairs of {task.description}; restore it")
    return dataclasses.replace(task, train=torch.from_numpy(train))


def _built(source: Path, call: Call, *ours: Any) -> Any:
    try:
        return call(*ours)
    except ValueError as error:
        raise InterpError(f"{source}: {call.name}: {error}") from None


def _no_run(place: Path) -> str:
    if not place.exists():
        siblings = place.parent.glob("*/run.yaml") if place.parent.is_dir() else []
        return f"{place} does not exist{near_misses(place.name, [sibling.parent.name for sibling in siblings])}"
    return (
        f"{place} is not a run: it holds no {recipe.FILE}; "
        f"what it is, and the importer that opens it, tells: python -m interp.describe {place}"
    )


class Run:
    """One training: `run.steps`, `run[step]`, `run.first`, `run.final`, `for checkpoint in run`."""

    def __init__(
        self,
        *,
        path: Path,
        task: Task,
        architecture: Architecture,
        task_call: Call,
        model_call: Call,
        training: recipe.Training | None,
        text: str,
        stored_steps: Callable[[], list[int]],
        load: Callable[[int], storage.Arrays],
        device: str,
        reopen: tuple[Path, str | None, dict[str, Any]],
        notes: tuple[str, ...] = (),
    ) -> None:
        self.path = path
        self.name = run_name(path)
        self.task = task
        self.architecture = architecture
        self.task_call = task_call
        self.model_call = model_call
        self.training = training
        self.text = text
        self.device = device
        self._stored_steps = stored_steps
        self._load = load
        self.notes = notes
        self._reopen = reopen
        self._digests: dict[int, str] = {}
        self._measured: dict[str, tuple[xr.Dataset, fingerprints.Reads]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        path, importer, options = self._reopen
        return _reopened, (path, importer, self.device, options)

    @property
    def opening(self) -> str:
        """The Python that opens it."""
        path, importer, options = self._reopen
        given = {"importer": importer, **_changed(importer, options)} if importer else {}
        arguments = [repr(str(path)), *(f"{name}={value!r}" for name, value in given.items())]
        return f"interp.open_run({', '.join(arguments)})"

    def __repr__(self) -> str:
        steps = self._stored_steps()
        span = f"{len(steps)} checkpoints, steps {steps[0]:,}-{steps[-1]:,}" if steps else "no checkpoints"
        return f"Run({self.name}: {self.task.description}, {self.architecture.description}; {span})"

    @property
    def steps(self) -> list[int]:
        """The steps at which there is a checkpoint, ascending. Raises InterpError where there is none."""
        steps = self._stored_steps()
        if not steps:
            raise InterpError(f"{self.path} has no checkpoints yet; train it with: python -m interp.train {self.path}")
        fingerprints.note("steps", _digest_of(steps))
        return steps

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, step: Any) -> Checkpoint:
        """The checkpoint at `step`. Raises InterpError that names the nearest ones where there is none."""
        if not isinstance(step, int | np.integer):
            raise InterpError(f"{self.name}[{step!r}]: a checkpoint is named by its step, a whole number")
        if step not in self._stored_steps():
            raise InterpError(steps.not_there(int(step), self.steps, self.name))
        return Checkpoint(self, int(step))

    def __iter__(self) -> Iterator[Checkpoint]:
        return (self[step] for step in self.steps)

    @property
    def first(self) -> Checkpoint:
        return self._end("first", 0)

    @property
    def final(self) -> Checkpoint:
        return self._end("final", -1)

    def _end(self, which: str, index: int) -> Checkpoint:
        steps = self._stored_steps() or self.steps
        fingerprints.note(which, self.digest(steps[index]))
        return Checkpoint(self, steps[index])

    def arrays(self, step: int) -> storage.Arrays:
        """The weights at `step`, as stored. Raises InterpError where their file is damaged."""
        arrays = self._load(step)
        expected = self.architecture.shapes
        for name in sorted(arrays.keys() | expected.keys()):
            found = arrays[name].shape if name in arrays else None
            if found != expected.get(name):
                raise InterpError(
                    f"{self.path}: {name} at step {step:,} has shape {found}, the recipe says {expected.get(name)}; "
                    "the weights are another network's"
                )
        self._digests.setdefault(step, storage.digest(arrays))
        return arrays

    def digest(self, step: int) -> str:
        """A fingerprint of the weights at `step`, "" where there are none."""
        if step not in self._digests:
            if step not in self._stored_steps():
                return ""
            self.arrays(step)
        return self._digests[step]

    @functools.cached_property
    def recipe_digest(self) -> str:
        """A fingerprint of task, split and model."""
        split = b"" if self.task.train is None else self.task.train.numpy().tobytes()
        return _digest_of([self.task_call, self.model_call, split])

    def answer(self, question: str) -> str:
        """The present answer to a question of `fingerprints`, to be compared with the one noted."""
        match question.partition(" "):
            case ("step", _, step):
                return self.digest(int(step))
            case ("final", _, _):
                return self.digest(self._stored_steps()[-1])
            case ("first", _, _):
                return self.digest(self._stored_steps()[0])
            case ("steps", _, _):
                return _digest_of(self._stored_steps())
            case ("recipe", _, _):
                return self.recipe_digest
        kind, _, name = question.partition("/")
        return lookup.current_digest(kind, name)

    def measure(self, name: str, **options: Any) -> xr.Dataset:
        """A measure over the whole run, computed once and remembered."""
        from interp.results import over_steps

        key = f"{name} {_digest_of(options)}"
        if key not in self._measured:
            with fingerprints.recording() as reads:
                result = over_steps({name: {"measure": name, **options}}, self)[name].to_dataset()
            self._measured[key] = result, reads
        result, reads = self._measured[key]
        fingerprints.note_all(reads)
        return result

    def show(self, measure: str, panel: str | None = None, **options: Any) -> go.Figure:
        """The report's panel of `measure`: the first, or the one titled `panel`."""
        from interp import notebook, results

        return notebook.panel_figure(results.panels(measure, self.measure(measure, **options)), panel)


def _reopened(path: Path, importer: str | None, device: str, options: dict[str, Any]) -> Run:
    return open_run(path, importer, device, **options)


def _changed(importer: str, options: dict[str, Any]) -> dict[str, Any]:
    defaults = lookup.defaults("importers", importer)
    return {name: value for name, value in options.items() if defaults.get(name) != value}


def _digest_of(value: Any) -> str:
    return storage.digest({"": np.frombuffer(repr(value).encode(), np.uint8)})


class Checkpoint:
    """The network at one step: `.step .weights .model .task .run`, and activations, each computed when asked for."""

    def __init__(self, run: Run, step: int) -> None:
        self.run = run
        self.step = step
        self._measured: dict[str, tuple[Any, fingerprints.Reads]] = {}

    def __repr__(self) -> str:
        return f"Checkpoint({self.run.name}, step {self.step:,})"

    @property
    def task(self) -> Task:
        return self.run.task

    @functools.cached_property
    def _arrays(self) -> storage.Arrays:
        return self.run.arrays(self.step)

    @property
    def weights(self) -> dict[str, Tensor]:
        """Parameter name -> tensor, in the precision they were trained in."""
        fingerprints.note(f"step {self.step}", self.run.digest(self.step))
        return self._weights

    @functools.cached_property
    def _weights(self) -> dict[str, Tensor]:
        return {name: torch.from_numpy(array).to(self.run.device) for name, array in self._arrays.items()}

    @functools.cached_property
    def finite(self) -> bool:
        """Whether every weight is a finite number."""
        return all(np.isfinite(array).all() for array in self._arrays.values())

    @functools.cached_property
    def model(self) -> HookedModel:
        """The network as a TransformerLens hooked module, this checkpoint's own."""
        return self.run.architecture.hooked({name: value.clone() for name, value in self.weights.items()})

    @functools.cached_property
    def tokens(self) -> Int[Tensor, "pair pos"]:
        """Every valid input of the task, as `model` takes it."""
        return self.run.architecture.tokens(self.task.pairs).to(self.run.device)

    @functools.cached_property
    def cache(self) -> ActivationCache:
        """Every activation on every input, [pair, pos, …], by the hooked path."""
        with torch.no_grad():
            return self.model.run_with_cache(self.tokens)[1]

    @property
    def last_position(self) -> Mapping[str, Float[Tensor, "pair ..."]]:
        """Activations at the last position on every input, float64, by hook name; the fast path where there is one."""
        fingerprints.note(f"step {self.step}", self.run.digest(self.step))
        return self._last_position

    @functools.cached_property
    def _last_position(self) -> Mapping[str, Float[Tensor, "pair ..."]]:
        weights = {name: devices.float64(value) for name, value in self._weights.items()}
        pairs = self.task.pairs.to(next(iter(weights.values())).device)
        with torch.no_grad():
            return self.run.architecture.last_position(weights, pairs)

    @property
    def logits(self) -> Float[Tensor, "pair d_vocab"]:
        """At the last position on every input, float64."""
        return self.last_position["logits"]

    @property
    def neurons(self) -> Float[Tensor, "pair neuron"]:
        """The last hidden layer's activations at the last position on every input, float64."""
        return self.last_position[self.run.architecture.neurons]

    @property
    def embedding(self) -> Float[Tensor, "p d_model"]:
        """W_E's rows for the residues 0…p-1, float64; separate embeddings of a and b side by side."""
        return devices.float64(self.run.architecture.embedding(self.weights))

    def measure(self, name: str, **options: Any) -> Any:
        """Another measure's answer at this checkpoint, computed once and shared."""
        key = f"{name} {_digest_of(options)}"
        if key not in self._measured:
            if schema.subject(name) != "checkpoint":
                raise InterpError(f"{name} measures a whole run, not a checkpoint: run.measure({name!r})")
            with fingerprints.recording() as reads:
                function = lookup.find("measures", name)
                self._measured[key] = function(self, **lookup.options("measures", name, options)), reads
        answer, reads = self._measured[key]
        fingerprints.note_all(reads)
        return answer

    def show(self, measure: str, panel: str | None = None, **options: Any) -> go.Figure:
        """The report's panel of `measure` at this step."""
        from interp import notebook, results

        shown = results.panels(measure, self.run.measure(measure, **options))
        return notebook.panel_figure(shown, panel, step=self.step)
