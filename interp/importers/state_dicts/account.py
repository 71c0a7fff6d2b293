"""What a network does under a task and a model, held against what its authors left beside the weights.

The split is the one that the user or a file tells, else that of the task's own rule, else the one under which the
recorded train and test loss are the weights' own. Of activations that answer alike, the one is taken under which
nothing that was recorded is contradicted.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from interp.catalogue.names import find
from interp.contracts.imported import Arrays
from interp.contracts.task import TwoOperands, two_operands
from interp.importers.shared import splits
from interp.importers.shared.agreement import Disagreement, disagreements
from interp.importers.shared.guess import Guess
from interp.importers.shared.recorded import Recorded
from interp.importers.state_dicts import training_pairs
from interp.maths.cross_entropy import cross_entropy

WORSE = 2
"""Training pairs whose loss is this many times that of the others, and that are answered worse, look swapped."""


@dataclass(frozen=True)
class Beside:
    """What is known but for the weights."""

    train: np.ndarray | None
    """The training pairs that the user tells, over the whole table, [pair]."""
    content: Any
    """The content of the file that stands for the run."""
    recorded: Recorded


@dataclass(frozen=True)
class Opened:
    """A network with its task and model, to be asked what it does."""

    found: Guess
    load: Callable[[int], Arrays]
    steps: list[int]
    """Those at which it can be asked; the last stands for the run."""

    @functools.cached_property
    def task(self) -> TwoOperands:
        return two_operands(find("tasks", self.found.task[0])(**self.found.task[1]))

    def answers(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Each pair's cross-entropy in nats, float64, and whether it is answered right, both [pair]."""
        architecture = find("models", self.found.model[0])(self.task, **self.found.model[1])
        weights = {name: torch.from_numpy(array).double() for name, array in self.load(step).items()}
        with torch.no_grad():
            logits = architecture.outputs(weights, self.task.inputs)
        right = logits.argmax(dim=1) == self.task.targets
        return cross_entropy(logits, self.task.targets).numpy(), right.numpy()


@dataclass(frozen=True)
class Account:
    """A task and a model, the training pairs, what is to be said of them, and what contradicts them."""

    found: Guess
    train: np.ndarray | None
    """The training pairs, [example]; None where the task's own rule or nobody tells."""
    notes: list[str]
    wrong: list[Disagreement]


def most_consistent(opened: Opened, beside: Beside) -> Account:
    """The account of the guess, or of one with another activation where that contradicts less of what was recorded."""
    first = _account(opened, beside)
    if not beside.recorded.curves or (not first.wrong and (first.train is not None or opened.task.train is not None)):
        return first
    others = [_account(dataclasses.replace(opened, found=other), beside) for other in opened.found.others]
    best = min([first, *others], key=lambda one: (bool(one.wrong), one.train is None))
    if best is first:
        return first
    return dataclasses.replace(
        best, found=dataclasses.replace(best.found, act_fn_by="it agrees with the recorded losses")
    )


def _account(opened: Opened, beside: Beside) -> Account:
    train, notes = _split(opened, beside)
    own = opened.task.train
    mask = train if train is not None else None if own is None else own.numpy()

    def computed(step: int) -> dict[str, float]:
        losses, right = opened.answers(step)
        if mask is None or mask.all():
            return {"loss": float(losses.mean()), "accuracy": float(right.mean())}
        return {
            f"{name}_{quantity}": float(values[chosen].mean())
            for name, chosen in {"train": mask, "test": ~mask}.items()
            for quantity, values in (("loss", losses), ("accuracy", right))
        }

    return Account(opened.found, train, notes, disagreements(beside.recorded.curves, opened.steps, computed))


def _split(opened: Opened, beside: Beside) -> tuple[np.ndarray | None, list[str]]:
    """The training pairs, [example], and what is to be said of them; None where the task's rule or nobody tells."""
    task, p, given = opened.task, opened.found.p, beside.train
    inside = training_pairs.recorded(beside.content, p) if given is None else None
    if inside is not None:
        given = inside[0]
    if given is not None:
        mask = given.reshape(p, p)[task.pairs[:, 0].numpy(), task.pairs[:, 1].numpy()]
        notes = [f"The training pairs are those the file lists as {inside[1]}."] if inside else []
        return mask, _swapped(opened, mask) + notes
    if task.train is not None:
        return None, _swapped(opened, task.train.numpy())
    train_loss, test_loss = (_last(beside.recorded.curves.get(f"{name}_loss", {})) for name in ("train", "test"))
    if train_loss is None or test_loss is None or not min(train_loss, test_loss) > 0:
        return None, []
    losses, _ = opened.answers(opened.steps[-1])
    split = splits.split_by_losses(losses, train_loss, test_loss, p)
    if split is None:
        return None, []
    return split.mask(len(losses), p), [split.sentence]


def _last(curve: Mapping[int, float]) -> float | None:
    return curve[max(curve)] if curve else None


def _swapped(opened: Opened, mask: np.ndarray) -> list[str]:
    """Say so where the training pairs are answered far worse than the others."""
    if mask.all() or not mask.any():
        return []
    losses, right = opened.answers(opened.steps[-1])
    train, rest = float(losses[mask].mean()), float(losses[~mask].mean())
    shares = [f"{right[chosen].mean():.1%} right" for chosen in (mask, ~mask)]
    if train > WORSE * rest and right[mask].mean() < right[~mask].mean():
        return [
            f"The training pairs look swapped with the others: their loss is {train:.3g}, {shares[0]}; that of the "
            f"others {rest:.3g}, {shares[1]}. Where a file lists the test pairs, say "
            "test: instead of train:."
        ]
    return []
