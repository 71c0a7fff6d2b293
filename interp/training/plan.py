"""What is trained, apart from where: a task, a network for it, and a recipe's `training`."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import torch

from interp.contracts.architecture import Architecture
from interp.contracts.optimiser import UpdateRule
from interp.contracts.task import Task
from interp.errors import InterpError
from interp.machine import process
from interp.recipes import run_recipe
from interp.recipes.parent import Parent
from interp.recipes.save_schedule import schedule


@dataclass(frozen=True)
class Plan:
    """A training that can begin in any folder."""

    task: Task
    architecture: Architecture
    training: run_recipe.Training
    """Number of updates, optimiser, loss, interventions, seed, batches, type of numbers, and what is kept."""
    recipe: str = ""
    """The text by which a run is recognised when it is resumed."""
    parent: Parent | None = None
    """Where it starts, unless it is from fresh weights."""

    @classmethod
    def of(cls, recipe: run_recipe.Recipe) -> Plan:
        """Raises InterpError where the recipe does not train."""
        if recipe.training is None or recipe.task is None or recipe.model is None:
            raise InterpError(f"{recipe.path} has no 'training': there is nothing to train")
        task = recipe.task()
        return cls(task, recipe.model(task), recipe.training, recipe.canonical, recipe.parent)

    @property
    def start(self) -> int:
        """The step of its first weights: 0, or the step of its parent's checkpoint."""
        return self.parent.step if self.parent else 0

    @property
    def steps(self) -> int:
        """The last step, unless it ends early."""
        return self.training.steps

    @property
    def save(self) -> list[int]:
        """The steps whose weights are kept, ascending; the first is where it starts."""
        asked = schedule(self.steps, **self.training.save)
        return [self.start, *(step for step in asked if step > self.start)]

    @property
    def dtype(self) -> torch.dtype:
        """The type of weights, gradients and optimiser state."""
        return {"float32": torch.float32, "float64": torch.float64}[self.training.dtype]

    @property
    def n_parameters(self) -> int:
        return sum(map(math.prod, self.architecture.shapes.values()))

    @property
    def threads(self) -> int:
        """With how many threads it is trained: its size and the machine decide."""
        return process.useful_threads(self.n_parameters * (self.training.batch_size or self._trained_on))

    @property
    def _trained_on(self) -> int:
        """How many examples the task trains on."""
        return len(self.task) if self.task.train is None else int(self.task.train.sum())

    @property
    def rule(self) -> UpdateRule | None:
        """What moves it in a stack; None where its optimiser moves one network alone."""
        made = self.training.optimiser_of({name: torch.zeros(1) for name in self.architecture.shapes})
        return made if isinstance(made, UpdateRule) else None

    @property
    def stacks_with(self) -> Hashable:
        """The same for two plans whose members may share a stack: shapes, type, threads and kind of update agree."""
        rule = self.rule
        update = (type(rule), rule.operations) if rule else None
        return tuple(self.architecture.shapes.items()), self.training.dtype, self.threads, update


@dataclass(frozen=True)
class PlannedRun:
    """A run to train: the folder that it lies in, and its plan."""

    folder: Path
    plan: Plan
