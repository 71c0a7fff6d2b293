"""The examples that a lookup table of the training examples cannot answer."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from interp.contracts.task import Task, TwoOperands


def novel_examples(task: Task) -> Bool[Tensor, " example"]:
    """True where an example is new to whoever knows the training examples by heart; nowhere where nobody knows them.

    These are the test examples; of a task of two operands they are the test pairs (a, b) whose mirror (b, a) was not
    trained on with the same answer.
    """
    if task.train is None:
        return torch.zeros(len(task), dtype=torch.bool)
    return ~task.train & ~_mirrored(task) if isinstance(task, TwoOperands) else ~task.train


def _mirrored(task: TwoOperands) -> Bool[Tensor, " pair"]:
    """True where (b, a) is a training pair with the same answer as (a, b)."""
    trained_answer = torch.full((task.p, task.p), -1)  # [a, b]
    trained = task.pairs[task.train]
    trained_answer[trained[:, 0], trained[:, 1]] = task.targets[task.train]
    return trained_answer[task.pairs[:, 1], task.pairs[:, 0]] == task.targets
