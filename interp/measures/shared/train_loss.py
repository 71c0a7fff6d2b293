"""The network on its training pairs as a function of all weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.machine import devices
from interp.maths.cross_entropy import cross_entropy
from interp.maths.landscape import Loss, flattened, unflattened


@dataclass(frozen=True)
class Trained:
    """The logits of the training pairs as a function of a flat vector of the weights, in its precision."""

    logits: Callable[[Float[Tensor, " weight"]], Float[Tensor, "pair d_vocab"]]
    answers: Int[Tensor, " pair"]
    weights: Float[Tensor, " weight"]
    """The checkpoint's own, float64"""

    @property
    def loss(self) -> Loss:
        """Their mean cross-entropy."""
        return lambda vector: cross_entropy(self.logits(vector), self.answers).mean()


def trained(checkpoint: Checkpoint) -> Trained | None:
    """None where it is unknown which pairs were trained on, or none were."""
    task, architecture = checkpoint.task, checkpoint.run.architecture
    if task.train is None or not task.train.any():
        return None
    weights = {name: devices.float64(value) for name, value in checkpoint.weights.items()}
    shapes = {name: value.shape for name, value in weights.items()}
    x = flattened(weights)
    pairs, answers = task.pairs[task.train].to(x.device), task.targets[task.train].to(x.device)
    return Trained(lambda vector: architecture.activations(unflattened(vector, shapes), pairs)["logits"], answers, x)


def train_loss(checkpoint: Checkpoint) -> tuple[Loss, Float[Tensor, " weight"]] | None:
    """The loss of the training pairs, and the weights; None where `trained` is."""
    found = trained(checkpoint)
    return None if found is None else (found.loss, found.weights)
