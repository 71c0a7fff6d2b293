"""A run: what was there when it was opened, by step, and what measures say of it."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interp import provenance
from interp.catalogue.names import current_digest
from interp.catalogue.options import default_options
from interp.checkpoints import folder
from interp.checkpoints.checkpoint import Answer, Checkpoint
from interp.checkpoints.readable import DamagedCheckpointError, LeftOut, Readable, shapes_of
from interp.checkpoints.weight_source import Arrays, WeightSource
from interp.contracts.architecture import Architecture
from interp.contracts.loss import Loss
from interp.contracts.task import Task
from interp.errors import DamagedError, InterpError, command_line
from interp.files.arrays import arrays_digest
from interp.recipes import run_recipe, step_choice
from interp.recipes.call import Call
from interp.recipes.document import leaves, read_document
from interp.recipes.grid import GRID
from interp.recipes.parent import Parent
from interp.recipes.run_paths import Source, run_name
from interp.recipes.run_recipe import Training
from interp.results.account import show_panel
from interp.results.over_steps import over_steps
from interp.results.series import Series
from interp.results.shipping import Shipped, Trained, shipped
from interp.training.standing import standing

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import xarray as xr


@dataclass
class Memory:
    """What a run remembers of its checkpoints."""

    digests: dict[int, str] = field(default_factory=dict)
    finite: dict[int, bool] = field(default_factory=dict)
    at_ends: dict[int, dict[str, Answer]] = field(default_factory=dict)
    """step of the first or the final checkpoint -> what measures answered of it"""
    measured: dict[str, tuple[xr.Dataset, provenance.Reads]] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)


@dataclass(eq=False, repr=False, kw_only=True)
class Run(Series):
    """One training: `run.steps`, `run[step]`, `run.first`, `run.final`, `for checkpoint in run`.

    A run is what was there when it was opened, in worker processes too; `run.refreshed()` is what is there now. A
    checkpoint whose file cannot be read is left out, with a warning; `run.left_out` says which, and why.
    """

    path: Path
    task: Task
    architecture: Architecture
    loss: Loss
    """The loss it was trained with."""
    task_call: Call
    """The task as the recipe names it; the model and the loss below."""
    model_call: Call
    loss_call: Call
    weights: WeightSource
    source: Source
    opener: Callable[[Source, str], Run]
    """What opens it again: source, device -> run."""
    training: Training | None = None
    """How it is trained here; None for what others trained."""
    child_of: Parent | None = None
    """The checkpoint of another run from which its training started; None where it was from fresh weights."""
    text: str = ""
    notes: tuple[str, ...] = ()
    """What a reader should know of how it was read, a sentence each."""
    read_as: Mapping[str, str] = field(default_factory=dict)
    """Other people's names of tensors -> ours, or in words what became of them; empty for what was trained here."""
    device: str = "cpu"
    asked_for: tuple[int, ...] | None = None
    """The steps an analysis visits; None where none does."""
    scope: str = ""
    """Before each question that is noted, where several runs are measured together."""
    _memory: Memory = field(default_factory=Memory)
    _readable: Readable | None = None

    def __post_init__(self) -> None:
        self.name = self.source.name or run_name(self.path)
        self._stamps = {step: self.weights.stamp(step) for step in self.weights.steps}
        self._readable = self._readable or Readable(str(self.path), self.weights, self.architecture)

    def __reduce__(self) -> tuple[Any, ...]:
        steps = tuple(self.readable.steps)
        return _reopened, (self.opener, self.source, self.device, steps, self.asked_for, self.stamp, self.scope)

    def __repr__(self) -> str:
        steps = self.weights.steps
        span = f"{len(steps)} checkpoints, steps {steps[0]:,}-{steps[-1]:,}" if steps else "no checkpoints"
        span = f"1 checkpoint, step {steps[0]:,}" if len(steps) == 1 else span
        return f"Run({self.name}: {self.task.description}, {self.architecture.description}; {span})"

    # What is there.

    @property
    def readable(self) -> Readable:
        """Which of its checkpoints can be read."""
        assert self._readable is not None
        return self._readable

    @property
    def steps(self) -> list[int]:
        """The steps at which there is a readable checkpoint, ascending. Raises InterpError where there is none."""
        found = self._steps()
        self.note("steps", _digest_of(found))
        return found

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """The checkpoints that cannot be read, by reason."""
        return self.readable.left_out

    @functools.cached_property
    def parent(self) -> Run | None:
        """The run from one of whose checkpoints it started; None where there is none, or it is not there any more."""
        if self.child_of is None or self.child_of.is_gone:
            return None
        try:
            return self.opener(Source(self.child_of.folder), self.device)
        except InterpError as error:
            warnings.warn(f"{self.name}: its parent cannot be opened: {error}", stacklevel=3)
            return None

    @property
    def asked(self) -> list[int]:
        """The steps the analysis visits, ascending, for measures that look at all of them together; else all."""
        found = self._asked()
        self.note("asked", _digest_of(found))
        return found

    @property
    def stamp(self) -> str:
        """What changes when weights are replaced."""
        return _digest_of(sorted(self._stamps.items()))

    def refreshed(self, steps: Sequence[int] | None = None) -> Run:
        """The run as it is now; of the checkpoints at `steps` alone, where they are given.

        Damage that only reading has told is remembered of files that are still the same.
        """
        found = self.opener(self.source, self.device)
        for step, error in self.readable.damage.items():
            if isinstance(error, DamagedCheckpointError) and found._stamps.get(step) == self._stamps.get(step):
                found.readable.damage[step] = error
        return found if steps is None else found.at(steps)

    def at(self, steps: Sequence[int], asked_for: tuple[int, ...] | None = None) -> Run:
        """This run with the checkpoints at `steps` alone."""
        kept = set(steps)
        weights = dataclasses.replace(self.weights, steps=tuple(step for step in self.weights.steps if step in kept))
        readable = dataclasses.replace(self.readable, weights=weights)
        return dataclasses.replace(self, weights=weights, asked_for=asked_for, _readable=readable)

    def visiting(self, steps: Sequence[int]) -> Run:
        """This run as part of an analysis that visits `steps`, unless it is part of another already."""
        return dataclasses.replace(self, asked_for=self.asked_for or tuple(steps))

    def scoped(self, scope: str) -> Run:
        """This run for a measure of several runs, which notes whose answers it read."""
        return dataclasses.replace(self, scope=scope, _memory=Memory())

    @property
    def known_steps(self) -> list[int]:
        """Every step that was there when it was opened, those that cannot be read among them."""
        return list(self.weights.steps)

    def remember_damage(self, error: DamagedError) -> None:
        """Leave out the checkpoint that could not be read, where the error says which and it is the same file still."""
        if isinstance(error, DamagedCheckpointError) and not error.replaced:
            self.readable.damage.setdefault(error.step, error)

    def has_changed(self) -> bool:
        """Whether the weights at a step are no longer those of when it was opened."""
        return any(self.weights.stamp(step) != stamp for step, stamp in self._stamps.items())

    # Checkpoints.

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Checkpoint]:
        return (Checkpoint(self, step) for step in self.steps)

    def __getitem__(self, step: Any) -> Checkpoint:
        """The checkpoint at `step`. Raises InterpError that names the nearest ones where there is none."""
        if not isinstance(step, int | np.integer):
            raise InterpError(f"{self.name}[{step!r}]: a checkpoint is named by its step, a whole number")
        step = int(step)
        if step not in self._stamps:
            raise InterpError(step_choice.not_there(step, self._steps(), self.name))
        self.readable.steps  # noqa: B018 (looks for damage)
        if step in self.readable.damage:
            raise self.readable.damage[step]
        return Checkpoint(self, step)

    @property
    def first(self) -> Checkpoint:
        """The first whose weights are finite numbers; the first of all where none are."""
        return self._end("first")

    @property
    def final(self) -> Checkpoint:
        """The last whose weights are finite numbers; the last of all where none are."""
        return self._end("final")

    def _end(self, which: str) -> Checkpoint:
        step = self._end_step(which)
        self.note(which, self.digest(step))
        return Checkpoint(self, step, self._memory.at_ends.setdefault(step, {}))

    def _end_step(self, which: str) -> int:
        steps = self._steps()
        in_turn = steps if which == "first" else steps[::-1]
        return next((step for step in in_turn if self._is_finite(step)), in_turn[0])

    def _is_finite(self, step: int) -> bool:
        if step not in self._memory.finite:
            self._memory.finite[step] = Checkpoint(self, step).finite
        return self._memory.finite[step]

    def weights_and_digest(self, step: int) -> tuple[Arrays, str]:
        """The weights at `step`, as stored, and their digest.

        Raises DamagedCheckpointError where they cannot be read, or are no longer those that were read before.
        """
        try:
            arrays = self.weights.load(step)
            self.readable.check_shapes(shapes_of(arrays))
        except (InterpError, OSError) as error:
            told = f"{error.filename or self.path}: {error.strerror}" if isinstance(error, OSError) else str(error)
            damage = DamagedCheckpointError(step, told)
            self.readable.damage[step] = damage
            raise damage from error
        digest = (self.weights.digest(step) if self.weights.for_good else None) or arrays_digest(arrays)
        if self._memory.digests.setdefault(step, digest) != digest:
            raise DamagedCheckpointError(
                step,
                f"{self.path}: the weights at step {step:,} were replaced since the run was opened; open it again",
                replaced=True,
            )
        return arrays, digest

    # Results that ship.

    @functools.cached_property
    def shipped(self) -> Shipped | None:
        """The results that stand in the place of its weights, where it is trained here and has none."""
        if self.weights.steps or self.training is None:
            return None
        return shipped(self.path, self._told_recipe, {})

    def trained(self, minutes: float) -> Trained:
        """What is to be known of it where its results travel; `minutes` is what training it takes.

        Raises InterpError where it is not trained here.
        """
        found = standing(self.path, self.training.steps) if self.training else None
        if found is None:
            raise InterpError(f"{self.path} has no weights that were trained here: its results cannot ship")
        return Trained(self._told_recipe, described(self), {(): (found.step, found.end)}, minutes)

    @property
    def _told_recipe(self) -> dict[str, str]:
        return told_recipe(read_document(self.path / run_recipe.FILE).content)

    # What answers are made from.

    def note(self, question: str, answer: str) -> None:
        """Note what is being read of this run."""
        provenance.note(f"{self.scope}{question}", answer)

    @property
    def origin(self) -> provenance.Reads:
        """What every answer on this run is made from: the recipe, and the code of task, model and loss."""
        code = {f"{call.kind}/{call.name}": current_digest(call.kind, call.name) for call in self._calls}
        return {"recipe": self.recipe_digest, **code}

    @property
    def recipe_digest(self) -> str:
        """A fingerprint of task, split, model and loss."""
        return self._recipe_digest

    @functools.cached_property
    def _recipe_digest(self) -> str:
        split = b"" if self.task.train is None else self.task.train.numpy().tobytes()
        return _digest_of([*self._calls, split])

    @property
    def _calls(self) -> tuple[Call, ...]:
        return self.task_call, self.model_call, self.loss_call

    def digest(self, step: int) -> str:
        """A fingerprint of the weights at `step`, "" where there are none that can be read."""
        if step not in self._stamps or step in self.readable.damage:
            return ""
        if step not in self._memory.digests:
            try:
                told = self.weights.digest(step)
                self._memory.digests[step] = told or self.weights_and_digest(step)[1]
            except (InterpError, OSError):
                return ""
        return self._memory.digests[step]

    def answer(self, question: str) -> str:
        """The present answer to a question of `provenance`, to be compared with the one noted."""
        kind, _, about = question.partition(" ")
        match kind:
            case "step":
                return self.digest(int(about))
            case "first" | "final":
                return self.digest(self._end_step(kind)) if self.readable.steps else ""
            case "steps":
                return _digest_of(self._steps() if self.readable.steps else [])
            case "asked":
                return _digest_of(self._asked())
            case "recipe":
                return self.recipe_digest
            case "beside":
                return _digest_of(folder.beside(self.path, about))
        raise ValueError(f"{question!r} is no question to a run")

    def beside(self, name: str) -> bytes | None:
        """The content of the file `name` in the run's folder, or beside the file that the run is; None without one."""
        content = folder.beside(self.path, name)
        self.note(f"beside {name}", _digest_of(content))
        return content

    # What measures say.

    def measure(self, name: str, **options: Any) -> xr.Dataset:
        """A measure over the whole run, computed once and remembered.

        Raises NothingToSay where the measure has no answer at any step.
        """
        key = f"{name} {options!r} {self.asked_for}"
        if key not in self._memory.measured:
            with provenance.recording() as reads:
                result = over_steps({name: {"measure": name, **options}}, self)[name].to_dataset()
            self._memory.measured[key] = result, reads
        result, reads = self._memory.measured[key]
        provenance.note_all(reads)
        return result

    def show(self, measure: str, panel: str | None = None, **options: Any) -> go.Figure:
        """The report's panel of `measure`: the first, or the one titled `panel`."""
        return show_panel(measure, self.measure(measure, **options), panel)

    @property
    def opening(self) -> str:
        """The Python that opens it."""
        given: dict[str, Any] = {}
        if importer := self.source.importer:
            defaults = default_options("importers", importer)
            own = {name: value for name, value in self.source.options.items() if defaults.get(name) != value}
            given = {"importer": importer, **own}
        arguments = [repr(str(self.source.path)), *(f"{name}={value!r}" for name, value in given.items())]
        return f"interp.open_run({', '.join(arguments)})"

    def _steps(self) -> list[int]:
        if not self.weights.steps:
            raise InterpError(f"{self.path} has no checkpoints yet; train it with: {command_line('train', self.path)}")
        found = self.readable.steps
        if not found:
            raise self.readable.why_none()
        for told in map(str, self.left_out):
            if told not in self._memory.told:
                self._memory.told.add(told)
                warnings.warn(f"{self.name}: {told}", stacklevel=4)
        return found

    def _asked(self) -> list[int]:
        return list(self.asked_for or self._steps())


def described(run: Run) -> tuple[tuple[str, str], ...]:
    """Its task and its network in words."""
    return ((run.task.description, ""), (run.model_call.name, run.architecture.description))


def told_recipe(content: Mapping[str, Any]) -> dict[str, str]:
    """What stands in a recipe, but for its text and a grid, by dotted keys."""
    return {key: str(value) for key, value in leaves(content) if key.partition(".")[0] not in ("text", GRID)}


_opened_here: dict[str, Run] = {}
"""The last runs that were opened for pieces of work in this process."""
MOST_OPEN = 4


def _reopened(
    opener: Callable[[Source, str], Run],
    source: Source,
    device: str,
    steps: tuple[int, ...],
    asked_for: tuple[int, ...] | None,
    stamp: str,
    scope: str,
) -> Run:
    """The run in a worker process, with the checkpoints that it had where it came from; the last few stay open."""
    key = repr((source, device, steps, asked_for, stamp, scope))
    if key not in _opened_here:
        if len(_opened_here) >= MOST_OPEN:
            _opened_here.pop(next(iter(_opened_here)))
        run = opener(source, device).at(steps, asked_for)
        _opened_here[key] = run.scoped(scope) if scope else run
    return _opened_here[key]


def _digest_of(value: Any) -> str:
    return arrays_digest({"": np.frombuffer(repr(value).encode(), np.uint8)})
