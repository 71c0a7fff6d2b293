"""The losses of a checkpoint's two sets of examples for any weights, and a plane among these."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.machine import devices
from interp.maths import landscape
from interp.maths.filter_directions import drawn_direction
from interp.measures.shared.train_loss import train_loss


@dataclass(frozen=True)
class Around:
    """A checkpoint's losses as functions of one flat vector of all weights."""

    checkpoint: Checkpoint
    train: landscape.Loss
    """The mean loss of the training examples."""
    weights: Float[Tensor, " weight"]
    """The checkpoint's own, float64."""
    test_inputs: Shaped[Tensor, "example ..."]
    test_targets: Shaped[Tensor, "example ..."]

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Around:
        """Raises NothingToSay where nobody knows which examples were trained on, and where none were."""
        train, weights = train_loss(checkpoint)
        task = checkpoint.task
        assert task.train is not None  # `train_loss` has seen to it
        if not landscape.has_length(weights):
            raise NothingToSay("the weights are too large for their length to be a number")
        test = ~task.train
        return cls(
            checkpoint, train, weights, task.inputs[test].to(weights.device), task.targets[test].to(weights.device)
        )

    @property
    def shapes(self) -> dict[str, torch.Size]:
        return {name: value.shape for name, value in self.checkpoint.weights.items()}

    def losses(self, weights: Float[Tensor, " weight"]) -> tuple[float, float]:
        """The train loss and the test loss; NaN without test examples."""
        with torch.no_grad():
            train = float(self.train(weights))
            if not len(self.test_inputs):
                return train, math.nan
            given = landscape.unflattened(weights, self.shapes)
            outputs = self.checkpoint.run.architecture.activations(given, self.test_inputs)["logits"]
            return train, float(self.checkpoint.loss.per_example(outputs, self.test_targets).mean())

    def of_other(self, other: Checkpoint) -> Float[Tensor, " weight"]:
        """The weights of another checkpoint of the run."""
        return landscape.flattened({name: devices.float64(value) for name, value in other.weights.items()}).to(
            self.weights
        )


@dataclass(frozen=True)
class Plane:
    """Two directions among the weights."""

    directions: Float[Tensor, "direction weight"]

    def losses(self, at: Around, along: Float[Tensor, " place"]) -> Float[Tensor, "second first"]:
        """The train loss in the plane through the checkpoint's weights."""
        found = torch.empty(len(along), len(along), dtype=torch.float64)
        one, other = self.directions
        with torch.no_grad():
            for row, y in enumerate(along):
                for column, x in enumerate(along):
                    found[row, column] = at.train(at.weights + x * one + y * other)
        return found

    def nearest(self, apart: Float[Tensor, "checkpoint weight"]) -> Float[Tensor, "checkpoint direction"]:
        """How far along each direction the point of the plane lies that is nearest to each."""
        gram = self.directions @ self.directions.T
        return (apart @ self.directions.T @ torch.linalg.pinv(gram)).cpu()

    def share(self, apart: Float[Tensor, "checkpoint weight"], nearest: Float[Tensor, "checkpoint direction"]) -> float:
        """The share of the squared distances that lies in the plane; NaN where all are 0."""
        whole = float(apart.square().sum())
        return float((nearest.to(apart) @ self.directions).square().sum()) / whole if whole else math.nan


def plane_of(at: Around, seed: int) -> Plane:
    """The plane of two directions, each filter by filter as long as the weights."""
    generator = torch.Generator().manual_seed(seed)
    weights = landscape.unflattened(at.weights, at.shapes)
    return Plane(torch.stack([landscape.flattened(drawn_direction(weights, generator)) for _ in range(2)]))
