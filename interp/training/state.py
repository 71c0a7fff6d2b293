"""A training at one step: what an update needs, and its state on disk, from which it goes on exactly."""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from interp.contracts.architecture import Architecture
from interp.contracts.optimiser import Optimiser
from interp.contracts.task import Task
from interp.errors import InterpError, Stopped
from interp.files.arrays import Arrays, read_about, read_arrays, write_arrays
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.files.lock import locked
from interp.machine import denormals, process
from interp.maths.cross_entropy import cross_entropy, mean_cross_entropy
from interp.training.batches import Batches, FullBatch

STATE = "training.safetensors"
WEIGHTS = "weights"
SPLIT = "split.safetensors"
SECONDS_BETWEEN_REPORTS = 2.0
"""A report is a forward pass over all pairs: as much work as two updates."""

Progress = Callable[[int, float, float, float], None]


def silent(step: int, train_loss: float, test_loss: float, steps_per_second: float) -> None:
    pass


@contextlib.contextmanager
def exactly(
    folder: Path, purpose: str, task: Task, architecture: Architecture, batch_size: int | None
) -> Iterator[Callable[[], bool]]:
    """Hold the run in `folder` while the process is set to train it; tells whether Ctrl-C was pressed."""
    process.keep_freed_memory()
    multiplications = sum(map(math.prod, architecture.shapes.values())) * (batch_size or len(task))
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
    """A training of the run in `folder` at one step; `state` is the file that it goes on from."""

    folder: Path
    state: Path
    task: Task
    train: Bool[Tensor, " pair"]
    architecture: Architecture
    weights: dict[str, Tensor]
    optimiser: Optimiser
    batches: Batches | FullBatch
    checkpoints: CheckpointBlocks
    recipe: str
    step: int = 0

    @classmethod
    def at_start(
        cls,
        folder: Path,
        place: Path,
        task: Task,
        architecture: Architecture,
        optimiser: Callable[[list[Tensor]], Optimiser],
        seed: int,
        batch_size: int | None,
        recipe: str,
    ) -> Training:
        """At step 0, to be kept in `place`. Raises InterpError where it is not known what to train on."""
        if task.train is None:
            raise InterpError(f"{folder} has a task whose split is unknown; a training needs one")
        weights = {name: weight.requires_grad_() for name, weight in architecture.initial(seed).items()}
        pairs, answers = task.inputs[task.train], task.targets[task.train]
        return cls(
            folder,
            place / STATE,
            task,
            task.train,
            architecture,
            weights,
            optimiser(list(weights.values())),
            FullBatch(pairs, answers) if batch_size is None else Batches(pairs, answers, batch_size, seed),
            CheckpointBlocks(place / WEIGHTS),
            recipe,
        )

    @property
    def arrays(self) -> Arrays:
        """The weights as they are now; the next update changes them in place."""
        return {name: weight.detach().numpy() for name, weight in self.weights.items()}

    def update(self) -> None:
        """One optimiser update. Raises InterpError, before it moves anything, where the loss is not finite."""
        pairs, answers = self.batches.next()
        loss = mean_cross_entropy(self.architecture.outputs(self.weights, pairs), answers)
        if not math.isfinite(value := loss.item()):
            raise InterpError(
                f"{self.folder}: the loss is {value} at step {self.step}; the checkpoints before it are kept. "
                "Train afresh in another folder, with a smaller learning rate or another seed"
            )
        for weight in self.weights.values():
            weight.grad = None
        loss.backward()
        self.optimiser.update()
        self.step += 1

    def save_checkpoint(self) -> None:
        self.checkpoints.save(self.step, self.arrays)

    def save_state(self) -> None:
        parts = {
            "weights": self.weights,
            "optimiser": self.optimiser.state(),
            "batches": self.batches.state(),
        }
        arrays = {
            f"{part}/{name}": tensor.detach().numpy()
            for part, tensors in parts.items()
            for name, tensor in tensors.items()
        }
        about = {"step": self.step, "threads": torch.get_num_threads(), "recipe": _digest(self.recipe)}
        write_arrays(self.state, arrays, about)

    def load_state(self) -> None:
        """Raises InterpError where the state belongs to another recipe or does not fit this network."""
        arrays, _ = read_arrays(self.state)
        about = about_state(self.state, self.folder, self.recipe)
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
            raise Stopped(f"stopped at step {training.step} of {steps}; the same command resumes {training.folder}")


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
            logits = training.architecture.outputs(training.weights, training.task.inputs)
            losses = cross_entropy(logits, training.task.targets)
        train = training.train
        rate = (training.step - self._step) / elapsed if elapsed > 0 else 0.0
        self.progress(training.step, losses[train].mean().item(), losses[~train].mean().item(), rate)
        self._step, self._time, self._first = training.step, time.monotonic(), False


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{part}/")}


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
