"""What measures about single inputs share: inputs that are numbers, and some examples of each set."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.task import Task
from interp.machine import devices


def continuous_inputs(task: Task) -> Float[Tensor, "example ..."]:
    """The inputs of all examples, float64. Raises NothingToSay where they are looked up in tables."""
    if not task.inputs.is_floating_point():
        raise task.silence("gives tokens to be looked up, which cannot be moved a little")
    return devices.float64(task.inputs)


def weights_of(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """All weights in float64, by name."""
    return {name: devices.float64(value) for name, value in checkpoint.weights.items()}


@dataclass(frozen=True)
class Drawn:
    """Some examples of a set, drawn without replacement."""

    places: Int[Tensor, " example"]
    """Their numbers among all examples, ascending."""
    counted: float
    """Which share of the set they are."""


def drawn_sets(task: Task, count: int, seed: int) -> dict[str, Drawn]:
    """Set -> so many of its examples, or all where there are fewer: "train" and "test", else "all" where nobody knows.

    Sets without examples are left out. The same seed draws the same ones at every step.
    """
    whole = torch.ones(len(task), dtype=torch.bool)
    sets = {"all": whole} if task.train is None else {"train": task.train, "test": ~task.train}
    found = {}
    for name, mask in sets.items():
        members = mask.nonzero()[:, 0]
        order = torch.randperm(len(members), generator=torch.Generator().manual_seed(seed))
        if len(members):
            some = members[order[:count]].sort().values
            found[name] = Drawn(some, len(some) / len(members))
    return found
