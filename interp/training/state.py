"""A training at one step: what an update needs, and its state on disk, from which it goes on exactly.

An update draws examples, computes outputs and loss, goes back to the gradients, and lets the optimiser move the
weights; interventions act in between. The state, one file that is written whole and renamed into its place, holds
weights, optimiser, the order of the batches and what interventions remember.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from interp.contracts.architecture import Architecture
from interp.contracts.intervention import Examples, Intervention
from interp.contracts.loss import Loss
from interp.contracts.optimiser import Optimiser
from interp.contracts.task import Task
from interp.errors import InterpError, Stopped, near_misses
from interp.files.arrays import Arrays, read_about, read_arrays, write_arrays
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.files.lock import locked
from interp.machine import denormals, process
from interp.training.batches import Batches, FullBatch
from interp.training.plan import Plan

if TYPE_CHECKING:
    from interp.contracts.hooked_model import HookedModel

STATE = "training.safetensors"
WEIGHTS = "weights"
SPLIT = "split.safetensors"
SECONDS_BETWEEN_REPORTS = 2.0
"""A report is a forward pass over all examples: as much work as two updates."""

Progress = Callable[[int, float, float, float], None]


def silent(step: int, train_loss: float, test_loss: float, steps_per_second: float) -> None:
    pass


@contextlib.contextmanager
def exactly(folder: Path, purpose: str, plan: Plan) -> Iterator[Callable[[], bool]]:
    """Hold the run in `folder` while the process is set to train it; tells whether Ctrl-C was pressed."""
    process.keep_freed_memory()
    parameters = sum(map(math.prod, plan.architecture.shapes.values()))
    multiplications = parameters * (plan.training.batch_size or len(plan.task))
    with (
        locked(folder, purpose),
        denormals.flushed(),
        process.deterministic(),
        process.useful_threads(multiplications),
        process.interruption() as interrupted,
    ):
        yield interrupted


@dataclass
class Training:
    """A training of the run in `folder` at one step: what an update needs, and what interventions see."""

    folder: Path
    state: Path
    """The file that it goes on from."""
    plan: Plan
    weights: dict[str, Tensor]
    loss: Loss
    optimiser: Optimiser
    interventions: list[Intervention]
    batches: Batches | FullBatch
    checkpoints: CheckpointBlocks
    step: int = 0

    @classmethod
    def fresh(cls, folder: Path, place: Path, plan: Plan) -> Training:
        """With fresh weights, to be kept in `place`; go on with `start` or `load_state`.

        Raises InterpError where it is not known what to train on, the loss is not for the task's targets, or an
        intervention hooks what the network does not have.
        """
        task, chosen = plan.task, plan.training
        if task.train is None:
            raise InterpError(f"{folder} has a task whose split is unknown; a training needs one")
        loss = chosen.loss()
        _check_targets(folder, task, loss)
        initial = plan.architecture.initial(chosen.seed)
        weights = {name: weight.requires_grad_() for name, weight in initial.items()}
        examples = task.inputs[task.train], task.targets[task.train]
        size = chosen.batch_size
        training = cls(
            folder,
            place / STATE,
            plan,
            weights,
            loss,
            chosen.optimiser(list(weights.values())),
            [intervention() for intervention in chosen.interventions],
            FullBatch(examples) if size is None else Batches(examples, size, chosen.seed),
            CheckpointBlocks(place / WEIGHTS),
        )
        training._check_hooks()
        return training

    @property
    def task(self) -> Task:
        return self.plan.task

    @property
    def architecture(self) -> Architecture:
        return self.plan.architecture

    @property
    def train(self) -> Bool[Tensor, " example"]:
        assert self.task.train is not None  # `fresh` has seen to it
        return self.task.train

    @property
    def arrays(self) -> Arrays:
        """The weights as they are now; the next update changes them in place."""
        return {name: weight.detach().numpy() for name, weight in self.weights.items()}

    def start(self) -> None:
        """Let the interventions change the fresh weights, then write the state of step 0."""
        with torch.no_grad():
            for intervention in self.interventions:
                intervention.at_start(self)
        self.save_state()

    def update(self) -> None:
        """One optimiser update, with what the interventions do before, in and after it.

        Raises InterpError, before it moves anything, where the loss is not finite.
        """
        acting = [intervention for intervention in self.interventions if intervention.acts(self.step)]
        inputs, targets = self._examples(acting)
        loss = self.loss.mean(self._outputs(inputs, acting), targets)
        if not math.isfinite(value := loss.item()):
            raise InterpError(
                f"{self.folder}: the loss is {value} at step {self.step}; the checkpoints before it are kept. "
                "Train afresh in another folder, with a smaller learning rate or another seed"
            )
        for weight in self.weights.values():
            weight.grad = None
        loss.backward()
        with torch.no_grad():
            for intervention in acting:
                intervention.before_update(self)
        self.optimiser.update()
        self.step += 1
        with torch.no_grad():
            for intervention in acting:
                intervention.after_update(self)

    def _examples(self, acting: Sequence[Intervention]) -> Examples:
        """Those of the next update, as the interventions let it see them."""
        examples = self.batches.next()
        for intervention in acting:
            if intervention.examples is not None:
                examples = intervention.examples(self, examples)
        return examples

    def _outputs(
        self, inputs: Shaped[Tensor, "example ..."], acting: Sequence[Intervention]
    ) -> Float[Tensor, "example output"]:
        """The network's outputs; by its hooked module where an intervention has a hook, else the quick way."""
        hooks = [hook for intervention in acting for hook in intervention.hooks.items()]
        if not hooks:
            return self.architecture.outputs(self.weights, inputs)
        model, tokens = self._hooked, self.architecture.tokens(inputs)
        with model.hooks([(name, _as_transformer_lens_calls_it(act)) for name, act in hooks]):
            outputs = torch.func.functional_call(model, self.weights, (tokens,))
        return self.architecture.answers(outputs)

    def _check_hooks(self) -> None:
        for name in (name for intervention in self.interventions for name in intervention.hooks):
            if name not in self._hooked.hook_dict:
                near = near_misses(name, self._hooked.hook_names)
                raise InterpError(
                    f"{self.folder}: an intervention hooks {name!r}, which the network does not have{near}"
                )

    @functools.cached_property
    def _hooked(self) -> HookedModel:
        return self.architecture.hooked(self.weights)

    def save_checkpoint(self) -> None:
        self.checkpoints.save(self.step, self.arrays)

    def save_state(self) -> None:
        parts = {
            "weights": self.weights,
            "optimiser": self.optimiser.state(),
            "batches": self.batches.state(),
            "interventions": {
                f"{place}.{name}": tensor
                for place, intervention in enumerate(self.interventions)
                for name, tensor in intervention.state.items()
            },
        }
        arrays = {
            f"{part}/{name}": tensor.detach().numpy()
            for part, tensors in parts.items()
            for name, tensor in tensors.items()
        }
        about = {"step": self.step, "threads": torch.get_num_threads(), "recipe": _digest(self.plan.recipe)}
        write_arrays(self.state, arrays, about)

    def load_state(self) -> None:
        """Raises InterpError where the state belongs to another recipe or does not fit this network."""
        arrays, _ = read_arrays(self.state)
        about = about_state(self.state, self.folder, self.plan.recipe)
        tensors = {name: torch.from_numpy(array).clone() for name, array in arrays.items()}
        use_threads(about["threads"])
        stored = _part(tensors, "weights")
        if {name: weight.shape for name, weight in stored.items()} != {n: w.shape for n, w in self.weights.items()}:
            raise InterpError(f"{self.state} holds weights of other names or shapes than this model's")
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(stored[name])
        self.optimiser.load(_part(tensors, "optimiser"))
        self.batches.load(_part(tensors, "batches"))
        for place, intervention in enumerate(self.interventions):
            intervention.state.clear()
            intervention.state.update(_part(tensors, f"interventions/{place}", "."))
        self.step = about["step"]


def advance(
    training: Training,
    steps: int,
    save: set[int],
    meter: Meter,
    interrupted: Callable[[], bool],
    keep: Callable[[], None] | None = None,
) -> None:
    """Update until `steps`, keeping what `save` names; the step it starts at is kept too, if it was not yet.

    `keep` is called at each of these steps before the state is saved; left out, it saves a checkpoint.
    """
    keep = keep or training.save_checkpoint
    if training.step in save:
        keep()
        meter.report()
    while training.step < steps:
        training.update()
        if training.step in save:
            keep()
            training.save_state()
            meter.report(last=training.step == steps)
        if interrupted() and training.step < steps:
            training.save_state()
            raise Stopped(f"stopped at step {training.step:,} of {steps:,}; the same command resumes {training.folder}")


class Meter:
    """Tells `progress` how the training goes."""

    def __init__(self, training: Training, progress: Progress) -> None:
        self.training, self.progress = training, progress
        self._step, self._time = training.step, time.monotonic()
        self._first = True

    def report(self, last: bool = False) -> None:
        elapsed = time.monotonic() - self._time
        if elapsed < SECONDS_BETWEEN_REPORTS and not (last or self._first):
            return
        training = self.training
        with torch.no_grad():
            outputs = training.architecture.outputs(training.weights, training.task.inputs)
            losses = training.loss.per_example(outputs, training.task.targets)
        train = training.train
        rate = (training.step - self._step) / elapsed if elapsed > 0 else 0.0
        self.progress(training.step, losses[train].mean().item(), losses[~train].mean().item(), rate)
        self._step, self._time, self._first = training.step, time.monotonic(), False


def _as_transformer_lens_calls_it(act: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda activation, hook: act(activation)  # noqa: ARG005 (the hook point passes itself, by name)


def _check_targets(folder: Path, task: Task, loss: Loss) -> None:
    """Raises InterpError, one line, where two examples show that the loss is not for targets of this kind."""
    targets = task.targets[:2]
    try:
        loss.per_example(torch.zeros(len(targets), task.n_outputs), targets)
    except (ValueError, IndexError, RuntimeError) as error:
        told = (str(error).splitlines() or [""])[0]
        raise InterpError(f"{folder}: the {loss.name} is not for this task, {task.description}: {told}") from None


def _part(tensors: Mapping[str, Tensor], part: str, end: str = "/") -> dict[str, Tensor]:
    """The tensors whose names begin with the part, by the rest of their names."""
    start = part + end
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def about_state(state: Path, folder: Path, recipe: str) -> dict[str, Any]:
    """Its step and number of threads. Raises InterpError where it belongs to another recipe than the run's."""
    about = read_about(state)
    if not isinstance(about, dict) or not {"recipe", "threads", "step"} <= about.keys():
        raise InterpError(f"{state} is not a training state; restore it")
    if about["recipe"] != _digest(recipe):
        raise InterpError(
            f"{folder} was begun with another recipe; restore that recipe, or train this one in another "
            f"folder, or delete {folder / WEIGHTS} and {STATE} to lose that run and start afresh"
        )
    return about


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def use_threads(stored: int) -> None:
    if stored != torch.get_num_threads():
        warnings.warn(
            f"training with {stored} threads, as this run was begun, not {torch.get_num_threads()}: "
            "another number gives other rounding",
            stacklevel=2,
        )
        torch.set_num_threads(stored)
