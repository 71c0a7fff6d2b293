"""What is to be trained, and how: a recipe, and what it names, made."""

from __future__ import annotations

from dataclasses import dataclass

from interp.contracts.architecture import Architecture
from interp.contracts.task import Task
from interp.errors import InterpError
from interp.recipes import run_recipe
from interp.recipes.save_schedule import schedule


@dataclass(frozen=True)
class Plan:
    """A training that can begin in any folder."""

    task: Task
    architecture: Architecture
    training: run_recipe.Training
    """Number of updates, optimiser, loss, interventions, seed, batches, and what is kept."""
    recipe: str = ""
    """The text by which a run is recognised when it is resumed."""

    @classmethod
    def of(cls, recipe: run_recipe.Recipe) -> Plan:
        """Raises InterpError where the recipe does not train."""
        if recipe.training is None or recipe.task is None or recipe.model is None:
            raise InterpError(f"{recipe.path} has no 'training': there is nothing to train")
        task = recipe.task()
        return cls(task, recipe.model(task), recipe.training, recipe.canonical)

    @property
    def steps(self) -> int:
        """The number of updates."""
        return self.training.steps

    @property
    def save(self) -> list[int]:
        """The steps whose weights are kept, ascending."""
        return schedule(self.steps, **self.training.save)
