"""The refusal of a task whose inputs are no numbers."""

from __future__ import annotations

from interp.contracts.task import Task


def task_of_vectors(task: Task, model: str) -> None:
    """Raises ValueError, for the model of this name, where the inputs are to be looked up in tables."""
    if not task.inputs.is_floating_point():
        raise ValueError(
            f"{model} reads vectors of numbers, and the inputs of {task.description} are to be looked up in tables; "
            "try the model mlp"
        )
