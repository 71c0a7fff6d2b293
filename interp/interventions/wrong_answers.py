"""Training examples with wrong answers, which nothing but memory can know: outliers, or random labels."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from interp.contracts.intervention import Examples, Intervention, Training
from interp.contracts.task import Task
from interp.errors import InterpError


def wrong_answers(
    examples: PositiveInt | Literal["all"],
    seed: NonNegativeInt = 0,
    start: NonNegativeInt = 0,
    stop: NonNegativeInt | None = None,
) -> Intervention:
    r"""Train on answers that were drawn anew for so many of the training examples, in updates from `start` to `stop`.

    As in the code of Power et al.: the examples are the first in the order in which the split was shuffled, and each is
    given the answer of an example that `seed` draws from all, so that one in as many as there are classes stays right
    by chance. With `split: power` and the same seed as the task's, they are theirs to the last one. "all" is training
    on random labels. Measures go on to count by the task's own answers: a network that learns its outliers too has a
    train accuracy below 1.

    Paper: Power et al. 2022, arXiv 2201.02177
    """
    of_all: list[Tensor] = []
    last: list[tuple[Tensor, Examples]] = []

    def with_outliers(training: Training, seen: Examples) -> Examples:
        if not of_all:
            of_all.append(answers_with_outliers(training.task, examples, seed))
        if not last or last[0][0] is not seen.targets:  # the same array for the same batch, so that nothing is redone
            last[:] = [(seen.targets, seen._replace(targets=of_all[0][seen.rows]))]
        return last[0][1]

    def check(task: Task) -> None:
        answers_with_outliers(task, examples, seed)

    return Intervention(examples=with_outliers, check=check, start=start, stop=stop)


def answers_with_outliers(task: Task, examples: int | Literal["all"], seed: int) -> Int[Tensor, " row"]:
    """The answers of all examples trained on, so many of them drawn anew.

    Raises InterpError where there are fewer, or the targets are not classes.
    """
    if task.train is None or task.targets.is_floating_point():
        raise InterpError(f"wrong_answers is for tasks of classes whose split is known, and {task.description} is none")
    trained, n = task.train.nonzero()[:, 0], len(task)
    count = len(trained) if examples == "all" else examples
    if count > len(trained):
        raise InterpError(f"wrong_answers: examples is {count:,}, and the training set has {len(trained):,}")
    random = np.random.RandomState(seed)
    shuffled = torch.from_numpy(random.permutation(n))
    order = shuffled if task.order is None else task.order
    first = order[task.train[order]][:count]
    answers = task.targets.clone()
    answers[first] = task.targets[order[torch.from_numpy(random.choice(n, count))]]
    return answers[trained]
