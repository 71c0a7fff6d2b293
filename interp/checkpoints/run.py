"""A run on disk as Python objects: `Run`, and `Checkpoint`, its weights, task and hooked model at one step."""

from __future__ import annotations

import dataclasses
import functools
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp import provenance
from interp.catalogue.names import current_digest, find
from interp.catalogue.options import checked_options, default_options, parameter_names
from interp.contracts.architecture import Architecture, has_neurons, reads_two_operands
from interp.contracts.loss import Loss
from interp.contracts.task import Task
from interp.errors import DamagedError, InterpError
from interp.files.arrays import Arrays, arrays_digest, file_state, read_arrays
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.losses.cross_entropy import cross_entropy
from interp.machine import devices
from interp.recipes import run_recipe, step_choice
from interp.recipes.call import Call
from interp.recipes.run_paths import no_run, run_name
from interp.results import schema

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import xarray as xr
    from transformer_lens import ActivationCache

    from interp.contracts.hooked_model import HookedModel

WEIGHTS = "weights"
SPLIT = "split.safetensors"


def open_run(path: str | os.PathLike[str], importer: str | None = None, device: str = "cpu", **options: Any) -> Run:
    """Open the run at `path`: a folder with a `run.yaml`, or anything the `importer` of that name reads.

    `options` are the importer's. `$NAMES` in the path are expanded. Raises InterpError where there is no run, no such
    importer or option, or a recipe with mistakes.
    """
    place = Path(os.path.expandvars(path)).expanduser()
    if importer is not None:
        call = Call("importers", importer, checked_options("importers", importer, options))
        return _imported(place, place, call, None, None, "", device, (place, importer, call.options))
    if not (place / run_recipe.FILE).is_file():
        raise InterpError(no_run(place) or f"{place} is not a run")
    read = run_recipe.read(place / run_recipe.FILE)
    if read.importer:
        source = read.weights or place
        return _imported(place, source, read.importer, read.task, read.model, read.text, device, (place, None, {}))
    assert read.task is not None
    assert read.model is not None
    task = _built(read.path, read.task)
    store = CheckpointBlocks(place / WEIGHTS)
    if (place / WEIGHTS / SPLIT).exists():
        mask, _ = read_arrays(place / WEIGHTS / SPLIT)
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
        shapes=store.shapes,
        state=store.state,
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
        name: (call.name, call.options) for name, call in given.items() if call and name in parameter_names(importer)
    }
    found = importer(source, **told)
    task_call = task_call or Call("tasks", found.task[0], checked_options("tasks", *found.task))
    model_call = model_call or Call("models", found.model[0], checked_options("models", *found.model))
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
        state=(lambda step: file_state(found.files[step])) if found.files else None,
    )


def _with_split(task: Task, train: np.ndarray | None, source: Path) -> Task:
    if train is None or train.dtype != np.bool_ or train.shape != task.targets.shape:
        raise InterpError(f"{source} is not a split of the {len(task.targets)} pairs of {task.description}; restore it")
    return dataclasses.replace(task, train=torch.from_numpy(train))


def _built(source: Path, call: Call, *ours: Any) -> Any:
    try:
        return call(*ours)
    except ValueError as error:
        raise InterpError(f"{source}: {call.name}: {error}") from None


class AnotherNetworkError(DamagedError):
    """Weights that are not of the shapes the recipe says."""


@dataclass(frozen=True)
class LeftOut:
    """Checkpoints that cannot be read, all for one reason."""

    steps: list[int]
    reason: str

    def __str__(self) -> str:
        return f"{step_choice.listed(self.steps)} left out: {self.reason}"


@dataclass(frozen=True)
class Holding:
    """What a run held at one moment."""

    states: dict[int, Any]
    """step -> what changes when its weights are replaced"""
    steps: list[int]
    """Those that can be read, ascending"""
    left_out: tuple[LeftOut, ...] = ()
    asked: tuple[int, ...] | None = None
    """Those an analysis visits, ascending; None where none does"""


class Run:
    """One training: `run.steps`, `run[step]`, `run.first`, `run.final`, `for checkpoint in run`.

    A checkpoint whose file cannot be read is left out of them, with a warning; `run.left_out` says which, and why.
    """

    def __init__(
        self,
        *,
        path: Path,
        task: Task,
        architecture: Architecture,
        task_call: Call,
        model_call: Call,
        training: run_recipe.Training | None,
        text: str,
        stored_steps: Callable[[], list[int]],
        load: Callable[[int], Arrays],
        device: str,
        reopen: tuple[Path, str | None, dict[str, Any]],
        notes: tuple[str, ...] = (),
        shapes: Callable[[int], Mapping[str, tuple[int, ...]]] | None = None,
        state: Callable[[int], Any] | None = None,
    ) -> None:
        """`shapes(step)` tells the shapes at a step, or that it is damaged, without reading it; `state(step)` what
        changes when its weights are replaced. Without them weights are read, and whatever lies at `path` is asked.
        """
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
        self._shapes = shapes
        self._state = state
        self._reopen = reopen
        self._held: Holding | None = None
        self._damage: dict[int, tuple[Any, InterpError | None]] = {}
        self._digests: dict[tuple[int, Any], str] = {}
        self._measured: dict[str, tuple[xr.Dataset, provenance.Reads, Any]] = {}
        self._told: set[str] = set()
        self._finite: dict[str, bool] = {}
        self._measured_at_ends: dict[str, dict[str, tuple[Any, provenance.Reads]]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        path, importer, options = self._reopen
        held = (self._held.steps, self._held.asked) if self._held else None
        return _reopened, (path, importer, self.device, options, held)

    @functools.cached_property
    def loss(self) -> Loss:
        """What it was trained to make small; cross-entropy unless its recipe says another."""
        chosen = getattr(self.training, "loss", None)
        return chosen() if chosen else cross_entropy()

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
        span = f"1 checkpoint, step {steps[0]:,}" if len(steps) == 1 else span
        return f"Run({self.name}: {self.task.description}, {self.architecture.description}; {span})"

    @property
    def steps(self) -> list[int]:
        """The steps at which there is a readable checkpoint, ascending. Raises InterpError where there is none."""
        found = self._holding()
        if not found.states:
            raise InterpError(f"{self.path} has no checkpoints yet; train it with: python -m interp.train {self.path}")
        if not found.steps:
            raise self._unreadable(list(found.states))
        provenance.note("steps", _digest_of(found.steps))
        return list(found.steps)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """The checkpoints that cannot be read, by reason."""
        return self._holding().left_out

    def snapshot(self) -> Run:
        """This run with the readable checkpoints it has now, here and in worker processes; others are not looked for.

        Where weights are replaced while it is used, `renewed` tells.
        """
        return self if self._held else self._keeping(self._holding())

    def renewed(self) -> Run:
        """A snapshot with the same checkpoints, of their files as they are now."""
        held = self.snapshot()._holding()
        return self._keeping(dataclasses.replace(held, states=self._states(held.steps)))

    def visited_at(self, asked: list[int]) -> Run:
        """A snapshot that knows which steps an analysis visits, where it is not part of another analysis already."""
        held = self.snapshot()._holding()
        return self._keeping(dataclasses.replace(held, asked=held.asked or tuple(asked)))

    @property
    def asked(self) -> list[int]:
        """The steps the analysis visits, ascending: for measures that look at all of them together. Else all."""
        provenance.note("asked", self.answer("asked"))
        held = self._holding()
        return list(held.asked or held.steps)

    def _keeping(self, held: Holding) -> Run:
        twin = object.__new__(Run)
        twin.__dict__.update(self.__dict__, _held=held)
        return twin

    def _holding(self) -> Holding:
        if self._held:
            return self._held
        states = self._states(self._stored_steps())
        damage = {step: self._damage_at(step, state) for step, state in states.items()}
        by_reason: dict[str, list[int]] = {}
        for step, error in damage.items():
            if error:
                by_reason.setdefault(str(error), []).append(step)
        found = Holding(
            states,
            [step for step in states if not damage[step]],
            tuple(LeftOut(steps, reason) for reason, steps in by_reason.items()),
        )
        if found.steps:
            self._tell(found.left_out)
        return found

    def _states(self, wanted: list[int]) -> dict[int, Any]:
        if self._state:
            return {step: self._state(step) for step in wanted}
        return dict.fromkeys(wanted, _tree_state(self.path))

    def _damage_at(self, step: int, state: Any) -> InterpError | None:
        """What is wrong with the weights at `step`, looked at again when their state has changed."""
        known, error = self._damage.get(step, (None, None))
        if known is None or known != state:
            try:
                error = None
                if self._shapes:
                    self._check_shapes(self._shapes(step))
                else:
                    self._read(step, state)
            except InterpError as found:
                error = found.with_traceback(None)
            except OSError as found:
                error = DamagedError(f"{found.filename or self.path}: {found.strerror}")
            self._damage[step] = state, error
        return error

    def _tell(self, left_out: tuple[LeftOut, ...]) -> None:
        for told in map(str, left_out):
            if told not in self._told:
                self._told.add(told)
                warnings.warn(f"{self.name}: {told}", stacklevel=4)

    def _unreadable(self, stored: list[int]) -> InterpError:
        """Of a run without one readable checkpoint."""
        states = self._states(stored)
        errors = [error for step, state in states.items() if (error := self._damage_at(step, state))]
        if all(isinstance(error, AnotherNetworkError) for error in errors):
            return errors[0]
        return InterpError(f"{self.path}: none of its {len(stored)} checkpoints can be read: {errors[0]}")

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, step: Any) -> Checkpoint:
        """The checkpoint at `step`. Raises InterpError that names the nearest ones where there is none."""
        if not isinstance(step, int | np.integer):
            raise InterpError(f"{self.name}[{step!r}]: a checkpoint is named by its step, a whole number")
        step = int(step)
        if step not in self._present_steps():
            raise InterpError(step_choice.not_there(step, self.steps, self.name))
        if not self._held and (error := self._damage_at(step, self._states([step])[step])):
            raise error
        return Checkpoint(self, step)

    def _present_steps(self) -> list[int]:
        """Ascending; those that cannot be read among them unless this is a snapshot."""
        return self._held.steps if self._held else self._stored_steps()

    def __iter__(self) -> Iterator[Checkpoint]:
        now = self.snapshot()
        return (Checkpoint(now, step) for step in now.steps)

    @property
    def first(self) -> Checkpoint:
        return self._end("first")

    @property
    def final(self) -> Checkpoint:
        """The last whose weights are finite numbers; the last of all where none are."""
        return self._end("final")

    def _end(self, which: str) -> Checkpoint:
        step = self._end_step(which, self._present_steps() or self.steps)
        if step is None:
            raise self._unreadable(self._present_steps())
        digest = self.digest(step)
        provenance.note(which, digest)
        return Checkpoint(self, step, self._measured_at_ends.setdefault(digest, {}))

    def _end_step(self, which: str, steps: list[int]) -> int | None:
        """The first or the final step of those that can be read; None where none can."""
        if which == "first":
            return self._first_readable(steps)
        last = readable = self._first_readable(steps[::-1])
        while readable is not None and not self._is_finite(readable):
            readable = self._first_readable([step for step in reversed(steps) if step < readable])
        return last if readable is None else readable

    def _is_finite(self, step: int) -> bool:
        digest = self.digest(step)
        if digest not in self._finite:
            self._finite[digest] = Checkpoint(self, step).finite
        return self._finite[digest]

    def _first_readable(self, steps: list[int]) -> int | None:
        if self._held:
            return steps[0] if steps else None
        states = self._states(steps)
        return next((step for step in steps if not self._damage_at(step, states[step])), None)

    def arrays(self, step: int) -> Arrays:
        """The weights at `step`, as stored. Raises InterpError where their file is damaged."""
        return self.arrays_and_digest(step)[0]

    def arrays_and_digest(self, step: int) -> tuple[Arrays, str]:
        """The weights at `step`, as stored, and their fingerprint. Raises InterpError where their file is damaged."""
        return self._read(step, self.state_of(step))

    def digest(self, step: int) -> str:
        """A fingerprint of the weights at `step`, "" where there are none that can be read."""
        if step not in self._present_steps():
            return ""
        state = self.state_of(step)
        if (step, state) in self._digests and state is not None:
            return self._digests[step, state]
        try:
            return self._read(step, state)[1]
        except InterpError:
            return ""

    def state_of(self, step: int) -> Any:
        """What changes when the weights at `step` are replaced."""
        return self._held.states.get(step) if self._held else self._states([step])[step]

    def _read(self, step: int, state: Any) -> tuple[Arrays, str]:
        """`state` as it was before: weights replaced meanwhile are then read again when next asked for."""
        try:
            arrays = self._load(step)
        except OSError as error:
            raise DamagedError(f"{error.filename or self.path}: {error.strerror}") from error
        self._check_shapes({name: array.shape for name, array in arrays.items()})
        digest = arrays_digest(arrays)
        if self._held and self._digests.get((step, state), digest) != digest:
            raise DamagedError(f"{self.path}: the weights at step {step:,} were replaced while they were analysed")
        self._digests[step, state] = digest
        return arrays, digest

    def _check_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        expected = self.architecture.shapes
        for name in sorted(shapes.keys() | expected.keys()):
            if shapes.get(name) != expected.get(name):
                raise AnotherNetworkError(
                    f"{self.path}: {name} has shape {shapes.get(name)}, the recipe says {expected.get(name)}; "
                    "the weights are another network's"
                )

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
                return self._digest_of_end("final")
            case ("first", _, _):
                return self._digest_of_end("first")
            case ("steps", _, _):
                return _digest_of(self._holding().steps)
            case ("asked", _, _):
                held = self._holding()
                return _digest_of(list(held.asked or held.steps))
            case ("recipe", _, _):
                return self.recipe_digest
            case ("beside", _, name):
                return _digest_of(self._content_beside(name))
        kind, _, name = question.partition("/")
        return current_digest(kind, name)

    def _digest_of_end(self, which: str) -> str:
        step = self._end_step(which, self._present_steps())
        return "" if step is None else self.digest(step)

    def beside(self, name: str) -> bytes | None:
        """The content of the file `name` in the run's folder, or beside the file that the run is; None without one."""
        content = self._content_beside(name)
        provenance.note(f"beside {name}", _digest_of(content))
        return content

    def _content_beside(self, name: str) -> bytes | None:
        file = self.path / name if self.path.is_dir() else self.path.with_name(name)
        return file.read_bytes() if file.is_file() else None

    def measure(self, name: str, **options: Any) -> xr.Dataset:
        """A measure over the whole run, computed once and remembered until its checkpoints change."""
        from interp.results.over_steps import over_steps

        key = f"{name} {_digest_of(options)}"
        now = self.snapshot()
        held = now._holding()
        made_of = held.states, held.asked
        if key not in self._measured or self._measured[key][2] != made_of:
            with provenance.recording() as reads:
                result = over_steps({name: {"measure": name, **options}}, now)[name].to_dataset()
            self._measured[key] = result, reads, made_of
        result, reads, _ = self._measured[key]
        provenance.note_all(reads)
        return result

    def show(self, measure: str, panel: str | None = None, **options: Any) -> go.Figure:
        """The report's panel of `measure`: the first, or the one titled `panel`."""
        from interp import notebook
        from interp.results import over_steps

        return notebook.panel_figure(over_steps.panels(measure, self.measure(measure, **options)), panel)


def _reopened(
    path: Path,
    importer: str | None,
    device: str,
    options: dict[str, Any],
    held: tuple[list[int], tuple[int, ...] | None] | None = None,
) -> Run:
    run = open_run(path, importer, device, **options)
    if held is None:
        return run
    steps, asked = held
    return run._keeping(Holding(run._states(steps), steps, asked=asked))


def _tree_state(path: Path) -> str:
    """What changes when a file at or below `path` does."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return _digest_of(list(map(file_state, files)))


def _changed(importer: str, options: dict[str, Any]) -> dict[str, Any]:
    defaults = default_options("importers", importer)
    return {name: value for name, value in options.items() if defaults.get(name) != value}


def _digest_of(value: Any) -> str:
    return arrays_digest({"": np.frombuffer(repr(value).encode(), np.uint8)})


class Checkpoint:
    """The network at one step: `.step .weights .model .task .run`, and activations, each computed when asked for."""

    def __init__(self, run: Run, step: int, measured: dict[str, tuple[Any, provenance.Reads]] | None = None) -> None:
        """`measured` holds answers that are remembered beyond this object: every checkpoint may ask for the last's."""
        self.run = run
        self.step = step
        self._measured = {} if measured is None else measured

    def __repr__(self) -> str:
        return f"Checkpoint({self.run.name}, step {self.step:,})"

    @property
    def task(self) -> Task:
        return self.run.task

    @property
    def loss(self) -> Loss:
        """What the network was trained to make small."""
        return self.run.loss

    @functools.cached_property
    def _read(self) -> tuple[Arrays, str]:
        return self.run.arrays_and_digest(self.step)

    @property
    def digest(self) -> str:
        """A fingerprint of its weights."""
        return self._read[1]

    @property
    def weights(self) -> dict[str, Tensor]:
        """Parameter name -> tensor, in the precision they were trained in."""
        provenance.note(f"step {self.step}", self.digest)
        return self._weights

    @functools.cached_property
    def _weights(self) -> dict[str, Tensor]:
        return {name: torch.from_numpy(array).to(self.run.device) for name, array in self._read[0].items()}

    @functools.cached_property
    def finite(self) -> bool:
        """Whether every weight is a finite number."""
        return all(np.isfinite(array).all() for array in self._read[0].values())

    @functools.cached_property
    def model(self) -> HookedModel:
        """The network as a TransformerLens hooked module, this checkpoint's own."""
        return self.run.architecture.hooked({name: value.clone() for name, value in self.weights.items()})

    @functools.cached_property
    def tokens(self) -> Int[Tensor, "pair pos"]:
        """Every input of the task, as `model` takes it."""
        return self.run.architecture.tokens(self.task.inputs).to(self.run.device)

    @functools.cached_property
    def cache(self) -> ActivationCache:
        """Every activation on every input, [pair, pos, …], by the hooked path."""
        with torch.no_grad():
            return self.model.run_with_cache(self.tokens)[1]

    @property
    def activations(self) -> Mapping[str, Float[Tensor, "pair ..."]]:
        """Activations at the last position on every input, float64, by hook name; the fast path where there is one."""
        provenance.note(f"step {self.step}", self.digest)
        return self._activations

    @functools.cached_property
    def _activations(self) -> Mapping[str, Float[Tensor, "pair ..."]]:
        weights = {name: devices.float64(value) for name, value in self._weights.items()}
        inputs = self.task.inputs.to(next(iter(weights.values())).device)
        with torch.no_grad():
            return self.run.architecture.activations(weights, inputs)

    @property
    def logits(self) -> Float[Tensor, "pair d_vocab"]:
        """At the last position on every input, float64."""
        return self.activations["logits"]

    @property
    def neurons(self) -> Float[Tensor, "pair neuron"]:
        """The last hidden layer's activations at the last position on every input, float64."""
        return self.activations[has_neurons(self.run.architecture).neurons]

    @property
    def embedding(self) -> Float[Tensor, "p d_model"]:
        """W_E's rows for the residues 0…p-1, float64; separate embeddings of a and b side by side."""
        return devices.float64(reads_two_operands(self.run.architecture).embedding(self.weights))

    def measure(self, name: str, **options: Any) -> Any:
        """Another measure's answer at this checkpoint, computed once and shared."""
        key = f"{name} {_digest_of(options)}"
        if key not in self._measured:
            if schema.subject(name) != "checkpoint":
                raise InterpError(f"{name} measures a whole run, not a checkpoint: run.measure({name!r})")
            with provenance.recording() as reads:
                function = find("measures", name)
                self._measured[key] = function(self, **checked_options("measures", name, options)), reads
        answer, reads = self._measured[key]
        provenance.note_all(reads)
        return answer

    def show(self, measure: str, panel: str | None = None, **options: Any) -> go.Figure:
        """The report's panel of `measure` at this step."""
        from interp import notebook
        from interp.results import over_steps

        shown = over_steps.panels(measure, self.run.measure(measure, **options))
        return notebook.panel_figure(shown, panel, step=self.step)
