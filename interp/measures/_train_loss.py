"""The loss on the training pairs as a function of all weights."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from interp import devices
from interp.checkpoints import Checkpoint
from interp.maths.cross_entropy import cross_entropy
from interp.maths.landscape import Loss, flattened, unflattened


def train_loss(checkpoint: Checkpoint) -> tuple[Loss, Float[Tensor, " weight"]] | None:
    """Mean cross-entropy as a function of a flat vector of the weights, and the checkpoint's own, float64.

    None where it is unknown which pairs were trained on, or none were.
    """
    task, architecture = checkpoint.task, checkpoint.run.architecture
    if task.train is None or not task.train.any():
        return None
    weights = {name: devices.float64(value) for name, value in checkpoint.weights.items()}
    shapes = {name: value.shape for name, value in weights.items()}
    x = flattened(weights)
    pairs, answers = task.pairs[task.train].to(x.device), task.answers[task.train].to(x.device)

    def loss(vector: Float[Tensor, " weight"]) -> Float[Tensor, ""]:
        return cross_entropy(architecture.last_position(unflattened(vector, shapes), pairs)["logits"], answers).mean()

    return loss, x
