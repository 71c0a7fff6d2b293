"""The task of adding two whole numbers that are looked up, and a network with a vector for each of them.

It is Liu et al.'s toy (2205.10343). Its sums are not taken modulo anything, so it is no `TwoOperands`, whose answers
are residues as its operands are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from interp.contracts.architecture import Architecture, Weights
from interp.contracts.task import Task
from interp.contracts.vector_answers import NearestCode


@dataclass(frozen=True)
class Sums(NearestCode):
    """Sums of the numbers 0…p-1: an input is an unordered pair (a, b), a <= b, row-major; its class is a + b."""

    noun: ClassVar[str] = "pair"
    p: int
    """How many numbers there are; sums are 0…2p-2."""

    @property
    def pairs(self) -> Int[Tensor, "pair 2"]:
        """The pairs (a, b)."""
        return self.inputs


def sums(task: Task) -> Sums:
    """`task`, which adds two numbers. Raises NothingToSay where it does not."""
    if isinstance(task, Sums):
        return task
    raise task.silence("is not the sum of two numbers that are looked up")


@runtime_checkable
class HasEmbedding(Protocol):
    """A network that looks its inputs up in a table."""

    def embedding(self, weights: Weights) -> Float[Tensor, "p d_model"]:
        """Return the rows of the numbers, or residues, 0…p-1; where a and b have a table each, the two side by side."""
        ...


def has_embedding(architecture: Architecture) -> HasEmbedding:
    """`architecture`, which has an embedding. Raises NothingToSay where it has none."""
    architecture.require("embedding")
    if isinstance(architecture, HasEmbedding):
        return architecture
    raise architecture.silence("looks nothing up in an embedding")
