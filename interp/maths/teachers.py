"""The functions that networks are asked to learn from: Rubin et al.'s of one direction, and a random network."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from interp.contracts.task import Task
from interp.contracts.taught import Teacher, taught


@dataclass(frozen=True)
class HermiteTeacher(Teacher):
    """y = H1(w·x) + ε H3(w·x), with H1(z) = z and H3(z) = z³ - 3z, orthogonal where z is N(0, 1) (2310.03789)."""

    direction: Float[Tensor, " d"]
    """w, of length 1, float64."""
    epsilon: float

    def linear(self, inputs: Float[Tensor, "example d"]) -> Float[Tensor, " example"]:
        """Return H1(w·x), of variance 1."""
        return inputs @ self.direction.to(inputs)

    def cubic(self, inputs: Float[Tensor, "example d"]) -> Float[Tensor, " example"]:
        """Return H3(w·x), of variance 6."""
        z = self.linear(inputs)
        return z**3 - 3 * z

    def answers(self, inputs: Float[Tensor, "example d"]) -> Float[Tensor, "example output"]:
        return (self.linear(inputs) + self.epsilon * self.cubic(inputs))[:, None]


@dataclass(frozen=True)
class NetworkTeacher(Teacher):
    """A perceptron with tanh between its layers, and biases."""

    layers: tuple[tuple[Float[Tensor, "_ _"], Float[Tensor, " _"]], ...]
    """Matrix [d_in, d_out] and bias [d_out] of each layer from the input on, float64."""

    @classmethod
    def drawn(cls, sizes: Sequence[int], generator: torch.Generator) -> NetworkTeacher:
        """Return one of layers of these sizes, the input's first, with PyTorch's own fresh weights.

        Weights and biases are uniform between ±1/√d_in.
        """

        def uniform(d_in: int, *shape: int) -> Float[Tensor, "..."]:
            return (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1) / d_in**0.5

        layers = [(uniform(d_in, d_in, d_out), uniform(d_in, d_out)) for d_in, d_out in itertools.pairwise(sizes)]
        return cls(tuple(layers))

    def answers(self, inputs: Float[Tensor, "example d"]) -> Float[Tensor, "example output"]:
        *hidden, (W_U, b_U) = self.layers
        x = inputs
        for W, b in hidden:
            x = torch.tanh(x @ W.to(x) + b.to(x))
        return x @ W_U.to(x) + b_U.to(x)


def hermite_teacher(task: Task) -> HermiteTeacher:
    """The teacher of one direction that `task` has. Raises NothingToSay where it has none, or another."""
    teacher = taught(task).teacher
    if isinstance(teacher, HermiteTeacher):
        return teacher
    raise task.silence("has a teacher that is no function of one direction")
