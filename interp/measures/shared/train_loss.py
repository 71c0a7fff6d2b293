"""The network on its training examples as a function of all weights: for what looks at the train loss about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float, Shaped
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.loss import Loss
from interp.errors import NothingToSay
from interp.machine import devices
from interp.maths import landscape


@dataclass(frozen=True)
class Trained:
    """The training examples of a checkpoint, and its network on them."""

    outputs: Callable[[Float[Tensor, " weight"]], Float[Tensor, "example output"]]
    """The outputs for a flat vector of all weights, in its precision; differentiable any number of times."""
    targets: Shaped[Tensor, "example ..."]
    weights: Float[Tensor, " weight"]
    """The checkpoint's own, float64."""
    loss: Loss
    """The one that the run was trained with."""

    def mean_loss(self, weights: Float[Tensor, " weight"]) -> Float[Tensor, ""]:
        """The mean loss of the training examples, of a flat vector of all weights, in its precision."""
        return self.loss.per_example(self.outputs(weights), self.targets).mean()


def trained(checkpoint: Checkpoint) -> Trained:
    """Raises NothingToSay where nobody knows the task or which examples were trained on, and where none were."""
    task, architecture = checkpoint.task, checkpoint.run.architecture
    inputs, targets = task.inputs, task.targets  # of a task of which nothing is known there are none
    if task.train is None:
        raise NothingToSay("nobody knows which examples were trained on")
    if not task.train.any():
        raise NothingToSay("nothing was trained on")
    weights = {name: devices.float64(value) for name, value in checkpoint.weights.items()}
    shapes = {name: value.shape for name, value in weights.items()}
    flat = landscape.flattened(weights)
    inputs, targets = (of_all[task.train].to(flat.device) for of_all in (inputs, targets))

    def outputs(vector: Float[Tensor, " weight"]) -> Float[Tensor, "example output"]:
        return architecture.activations(landscape.unflattened(vector, shapes), inputs)["logits"]

    return Trained(outputs, targets, flat, checkpoint.loss)


def train_loss(checkpoint: Checkpoint) -> tuple[landscape.Loss, Float[Tensor, " weight"]]:
    """The mean loss of the training examples as a function of a flat vector of all weights, and the checkpoint's own.

    Raises NothingToSay where `trained` does.
    """
    found = trained(checkpoint)
    return found.mean_loss, found.weights
