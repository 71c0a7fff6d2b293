"""Targets as a loss needs them; what does not suit it is refused in one line."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.contracts.loss import Outputs, Targets


def classes(targets: Targets, loss: str) -> Int[Tensor, " example"]:
    """The targets of a classification as they are. Raises ValueError where they are values, or several an example."""
    if targets.is_floating_point() or targets.ndim != 1:
        kind = "values" if targets.is_floating_point() else f"of shape {list(targets.shape[1:])} an example"
        raise ValueError(f"{loss} is for targets that are one class an example; these are {kind}: take the loss mse")
    return targets


def signs(targets: Targets, loss: str, outputs: Outputs) -> Float[Tensor, " example"]:
    """-1 for class 0 and +1 for class 1, in the precision of `outputs`, of which there is one an example."""
    return 2 * classes(targets, loss).to(outputs.dtype) - 1


def values(targets: Targets, loss: str, outputs: Outputs) -> Outputs:
    """What the outputs are to be: one-hot for a class, -1 or +1 where there is one output, values as they are.

    Raises ValueError where there are more or fewer values than outputs.
    """
    if not targets.is_floating_point():
        if outputs.shape[1] == 1:
            return signs(targets, loss, outputs)[:, None]
        return torch.nn.functional.one_hot(classes(targets, loss), outputs.shape[1]).to(outputs.dtype)
    wanted = targets[:, None] if targets.ndim == 1 else targets
    if wanted.shape != outputs.shape:
        raise ValueError(
            f"{loss} compares every output with a value; the task has {list(wanted.shape[1:])} values an example, "
            f"the network {outputs.shape[1]} outputs: give the task as many outputs as values"
        )
    return wanted.to(outputs.dtype)
