"""The refusal of a task that a network on two operands cannot read."""

from __future__ import annotations

from interp.contracts.task import Task, TwoOperands


def task_of_two_operands(task: Task, model: str) -> TwoOperands:
    """Return `task`, typed as what it is. Raises ValueError, naming another model, where it has no two operands."""
    if isinstance(task, TwoOperands):
        return task
    raise ValueError(
        f"{model} looks up the embeddings of two operands, and {task.description} has none; try the model perceptron"
    )
