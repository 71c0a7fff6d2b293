"""Train a network, keeping its weights at chosen steps; killed at any moment, it resumes exactly.

At a step that is kept, the checkpoint is written first and the training state after it, each by renaming a
whole file into its place. A process killed between the two resumes from the state before and replays the same
updates; the checkpoint it meets again is the same, and is left as it is.
"""

from __future__ import annotations

import hashlib
import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool
from torch import Tensor

from interp import denormals, storage
from interp.errors import AlreadyDoneError, InterpError
from interp.maths.cross_entropy import cross_entropy, mean_cross_entropy
from interp.models._architecture import Architecture
from interp.optimisers._optimiser import Optimiser
from interp.tasks._task import Task
from interp.training import _process
from interp.training._batches import Batches, FullBatch

STATE = "training.safetensors"
SECONDS_BETWEEN_REPORTS = 0.5

Progress = Callable[[int, float, float, float], None]


def _silent(step: int, train_loss: float, test_loss: float, steps_per_second: float) -> None:
    pass


def train(
    folder: Path,
    task: Task,
    architecture: Architecture,
    optimiser: Callable[[list[Tensor]], Optimiser],
    steps: int,
    save: list[int],
    seed: int,
    batch_size: int | None = None,
    recipe: str = "",
    progress: Progress = _silent,
) -> None:
    """Train from `seed`, or from where the run in `folder` stopped, to `steps` updates.

    Keeps the weights of the steps in `save` and the split in `folder/weights`, and in
    `folder/training.safetensors` all that resuming needs. A resumed training is bit-identical to an
    uninterrupted one on the same machine with the same number of threads; the stored number is used again.
    `batch_size` None: every update sees all training pairs. `recipe` is the text by which a run is recognised.
    `progress(step, train_loss, test_loss, steps_per_second)` is called at kept steps, twice a second at most.

    Call `torch.set_flush_denormal(True)` first thing in the process: this function does too, but threads that
    torch has started before keep their setting, and a step after grokking then takes four times as long.

    Raises InterpError where the run is finished, was begun with another recipe, is in use, has no known
    split, meets a loss that is not finite, or is interrupted by Ctrl-C (its state is saved).
    """
    _process.keep_freed_memory()
    multiplications = sum(map(math.prod, architecture.shapes.values())) * (batch_size or len(task.pairs))
    with (
        storage.locked(folder, "training"),
        denormals.flushed(),
        _process.deterministic(),
        _process.useful_threads(multiplications),
        _process.interruption() as interrupted,
    ):
        training = _begin(folder, task, architecture, optimiser, seed, batch_size, recipe, save)
        if training.step >= steps:
            training.checkpoints.stack()
            raise AlreadyDoneError(f"{folder} is finished: it has all its {training.step} steps")
        _advance(training, steps, set(save), _Meter(training, progress), interrupted)
        training.checkpoints.stack()


@dataclass
class _Training:
    """A training at one step."""

    folder: Path
    task: Task
    train: Bool[Tensor, " pair"]
    architecture: Architecture
    weights: dict[str, Tensor]
    optimiser: Optimiser
    batches: Batches | FullBatch
    checkpoints: storage.Checkpoints
    recipe: str
    step: int = 0

    def update(self) -> None:
        """One optimiser update. Raises InterpError, before it moves anything, where the loss is not finite."""
        pairs, answers = self.batches.next()
        loss = mean_cross_entropy(self.architecture.logits(self.weights, pairs), answers)
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
        self.checkpoints.save(self.step, {name: weight.detach().numpy() for name, weight in self.weights.items()})

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
        storage.write_arrays(self.folder / STATE, arrays, about)

    def load_state(self) -> None:
        """Raises InterpError where the state belongs to another recipe or does not fit this network."""
        arrays, about = storage.read_arrays(self.folder / STATE)
        if not isinstance(about, dict) or not {"recipe", "threads", "step"} <= about.keys():
            raise InterpError(f"{self.folder / STATE} is not a training state; restore it")
        if about["recipe"] != _digest(self.recipe):
            raise InterpError(
                f"{self.folder} was begun with another recipe; restore that recipe, or train this one in another "
                f"folder, or delete {self.folder / 'weights'} and {STATE} to lose that run and start afresh"
            )
        tensors = {name: torch.from_numpy(array).clone() for name, array in arrays.items()}
        _use_threads(about["threads"])
        stored = _part(tensors, "weights")
        if {name: weight.shape for name, weight in stored.items()} != {n: w.shape for n, w in self.weights.items()}:
            raise InterpError(f"{self.folder / STATE} holds weights of other names or shapes than this model's")
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(stored[name])
        self.optimiser.load(_part(tensors, "optimiser"))
        self.batches.load(_part(tensors, "batches"))
        self.step = about["step"]


def _begin(
    folder: Path,
    task: Task,
    architecture: Architecture,
    optimiser: Callable[[list[Tensor]], Optimiser],
    seed: int,
    batch_size: int | None,
    recipe: str,
    save: list[int],
) -> _Training:
    """The training in `folder`, at the step where it stopped, or at step 0 with its state written."""
    if task.train is None:
        raise InterpError(f"{folder} has a task whose split is unknown; a training needs one")
    checkpoints = storage.Checkpoints(folder / "weights")
    weights = {name: weight.requires_grad_() for name, weight in architecture.initial(seed).items()}
    pairs, answers = task.pairs[task.train], task.answers[task.train]
    batches = FullBatch(pairs, answers) if batch_size is None else Batches(pairs, answers, batch_size, seed)
    training = _Training(
        folder, task, task.train, architecture, weights, optimiser(list(weights.values())), batches, checkpoints, recipe
    )
    if (folder / STATE).exists():
        training.load_state()
    elif checkpoints.steps:
        if set(save) <= set(checkpoints.steps):
            raise AlreadyDoneError(f"{folder} is finished: it has every checkpoint of its recipe")
        raise InterpError(
            f"{folder} has weights but no {STATE} to resume from; restore it, or train in another folder, "
            f"or delete {checkpoints.folder} to start afresh"
        )
    else:
        storage.write_arrays(checkpoints.folder / "split.safetensors", {"train": task.train.numpy()})
        training.save_state()
    return training


def _advance(training: _Training, steps: int, save: set[int], meter: _Meter, interrupted: Callable[[], bool]) -> None:
    """Update until `steps`, keeping what `save` names; the step it starts at is kept too, if it was not yet."""
    if training.step in save:
        training.save_checkpoint()
        meter.report()
    while training.step < steps:
        training.update()
        if training.step in save:
            training.save_checkpoint()
            training.save_state()
            meter.report(last=training.step == steps)
        if interrupted() and training.step < steps:
            training.save_state()
            raise InterpError(f"stopped at step {training.step} of {steps}; the same command resumes {training.folder}")


class _Meter:
    """Tells `progress` how the training goes."""

    def __init__(self, training: _Training, progress: Progress) -> None:
        self.training, self.progress = training, progress
        self._step, self._time = training.step, time.monotonic()
        self._first = True

    def report(self, last: bool = False) -> None:
        elapsed = time.monotonic() - self._time
        if elapsed < SECONDS_BETWEEN_REPORTS and not (last or self._first):
            return
        training = self.training
        with torch.no_grad():
            logits = training.architecture.logits(training.weights, training.task.pairs)
            losses = cross_entropy(logits, training.task.answers)
        train = training.train
        rate = (training.step - self._step) / elapsed if elapsed else 0.0
        self.progress(training.step, losses[train].mean().item(), losses[~train].mean().item(), rate)
        self._step, self._time, self._first = training.step, time.monotonic(), False


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{part}/")}


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _use_threads(stored: int) -> None:
    if stored != torch.get_num_threads():
        warnings.warn(
            f"resuming with {stored} threads, as this run was begun, not {torch.get_num_threads()}: "
            "another number gives other rounding",
            stacklevel=2,
        )
        torch.set_num_threads(stored)
