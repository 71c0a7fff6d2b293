"""Other training examples from some step on: a network that generalised may forget how, on too few of them."""

from __future__ import annotations

import torch
from pydantic import NonNegativeInt, PositiveInt

from interp.contracts.intervention import Examples, Intervention, Training
from interp.contracts.task import Task
from interp.errors import InterpError


def data_switch(
    n_train: PositiveInt, seed: NonNegativeInt = 0, start: NonNegativeInt = 0, stop: NonNegativeInt | None = None
) -> Intervention:
    r"""Train on `n_train` of the training examples alone, drawn once by `seed`, in updates from `start` up to `stop`.

    Varma et al. take a network that has grokked on to a smaller set D': below a critical size its test accuracy falls
    again, to what memory alone gives. Measures go on to count all of the training set as such. Training in batches is
    not for it: the set that is left is seen whole in each update.

    Paper: Varma et al. 2023, arXiv 2309.02390
    """

    last: list[tuple[Examples, Examples]] = []

    def examples(training: Training, seen: Examples) -> Examples:
        if not last or last[0][0] is not seen:  # the same arrays for the same examples, so that nothing is redone
            last[:] = [(seen, chosen(training, seen))]
        return last[0][1]

    def chosen(training: Training, seen: Examples) -> Examples:
        whole = _size(training.task)
        if len(seen.inputs) != whole:
            raise InterpError("data_switch chooses among all training examples, and a batch has fewer; drop batch_size")
        places = torch.randperm(whole, generator=torch.Generator().manual_seed(seed))[:n_train].sort().values
        return Examples(*(of_all[places] for of_all in seen))

    def check(task: Task) -> None:
        if n_train > _size(task):
            raise InterpError(f"data_switch: n_train is {n_train:,}, and the training set has {_size(task):,} examples")

    return Intervention(examples=examples, check=check, start=start, stop=stop)


def _size(task: Task) -> int:
    """The number of examples trained on."""
    return 0 if task.train is None else int(task.train.sum())
