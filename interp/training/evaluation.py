"""How good a network is in the middle of its training, and whether that is what its training waits for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from interp.contracts.task import Task
from interp.errors import InterpError, NothingToSay
from interp.recipes.run_recipe import Stop


@dataclass(frozen=True)
class Evaluation:
    """A network's outputs and losses of all examples, trained on or not."""

    task: Task
    outputs: Float[Tensor, "example output"]
    losses: Float[Tensor, " example"]
    """In float64."""

    def value(self, quantity: str) -> float:
        """The mean of `train_loss`, `test_loss`, `train_accuracy` or `test_accuracy`; NaN where no example is of it."""
        side, what = quantity.split("_")
        each = self.losses if what == "loss" else self.task.correct(self.outputs).double()
        train = self.task.train
        assert train is not None  # what is trained has a split
        return each[train if side == "train" else ~train].mean().item()

    def reaches(self, stop: Stop) -> bool:
        """Whether everything that is waited for is there."""
        wanted: dict[str, float] = dict(stop["when"])  # pyright: ignore[reportArgumentType, reportAssignmentType]
        return all(
            self.value(name) <= bound if name.endswith("loss") else self.value(name) >= bound
            for name, bound in wanted.items()
        )


def check_stop(folder: str, task: Task, stop: Stop) -> None:
    """Raises InterpError, one line, where something is waited for that this task does not have."""
    assert task.train is not None
    for name in stop["when"]:
        if name.startswith("test") and bool(task.train.all()):
            raise InterpError(
                f"{folder}: its training waits for {name}, and the task has no test examples; leave it out"
            )
        if name.endswith("accuracy") and not _has_right_answers(task):
            raise InterpError(
                f"{folder}: its training waits for {name}, and the task asks for values, of which none is right or "
                f"wrong; wait for {name.replace('accuracy', 'loss')}"
            )
    if not stop["when"]:
        raise InterpError(f"{folder}: its training waits for nothing; give stop a loss or an accuracy, or leave it out")


def _has_right_answers(task: Task) -> bool:
    """Whether the task tells right answers from wrong ones."""
    try:
        task.correct(torch.zeros(len(task), task.n_outputs))
    except NothingToSay:
        return False
    return True
