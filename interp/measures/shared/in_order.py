"""A checkpoint in the numbering of the group that its task computes in.

In that numbering operands, answers and logits are elements 0…n-1. Logits are known up to what is added to all of one
pair alike, which changes no answer and no loss. `centred` takes that away, over every logit that the network was
trained with, before the n answers are picked out: so what is said of their power does not depend on it.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.architecture import has_neurons
from interp.contracts.task import TwoOperands
from interp.errors import NothingToSay
from interp.machine import devices
from interp.measures.shared.when_asked import WhenAsked

ONE_WAY = (
    "the task's pairs are not ordered, and the network answers (b, a) otherwise than (a, b), so that half of the table "
    "was never asked for"
)
ROUNDING = 1e-9
"""Logits are alike that differ by no more than this share of the largest."""


@dataclass(frozen=True)
class InOrder(ABC):
    """A task of two operands, each row of whose table of answers holds every element once."""

    task: TwoOperands
    axis: Int[Tensor, " n"]
    """The residues in the order of the group: the one at place i stands for the element i."""

    @property
    @abstractmethod
    def answer(self) -> Int[Tensor, "a b"]:
        """The number of the answer of each pair."""

    @property
    def n(self) -> int:
        return len(self.axis)

    @functools.cached_property
    def train(self) -> Bool[Tensor, "a b"] | None:
        """Which pairs were trained on; None where nobody knows."""
        return None if self.task.train is None else self.table(self.task.train.double()) == 1

    def table(self, values: Shaped[Tensor, "pair ..."]) -> Shaped[Tensor, "a b ..."]:
        """`values`, one for each pair of the task, over both operands in the group's order."""
        return self.task.whole_table(values.cpu())[self.axis][:, self.axis]

    @functools.cached_property
    def once(self) -> Bool[Tensor, "a b"]:
        """Where a pair of the task stands: everywhere, or of unordered pairs at one of (a, b) and (b, a)."""
        everywhere = torch.ones(len(self.task), dtype=torch.float64)
        return self.task.table(everywhere)[self.axis][:, self.axis] == 1

    def logits(self, checkpoint: Checkpoint) -> Float[Tensor, "a b c"]:
        """The logits of the n answers, on the pairs of these residues, as the network gives them, float64.

        For what does not see what a pair gives all of them alike: a softmax over them, or their waves over c.
        """
        return self.table(checkpoint.logits[:, self.axis.to(checkpoint.logits.device)])

    def centred_logits(self, checkpoint: Checkpoint) -> Float[Tensor, "a b c"]:
        """The same, less each pair's mean over all logits that the network was trained with.

        Where it has others than those of the answers, that of "=" or, on products, of 0, their own mean need not be 0.
        """
        return self.table(centred(checkpoint.logits.cpu())[:, self.axis])

    def readout(self, checkpoint: Checkpoint) -> Float[Tensor, "neuron c"]:
        """What the last hidden layer's neurons give the logits of the n answers, less each neuron's mean over all.

        A norm in between is folded, 1/σ at its mean over the pairs.
        Raises NothingToSay where the network has no such layer.
        """
        weights = {name: devices.float64(weight) for name, weight in checkpoint.weights.items()}
        readout = has_neurons(checkpoint.run.architecture).readout(weights, WhenAsked(checkpoint))
        return centred(readout.cpu())[:, self.axis]

    @functools.cached_property
    def partner(self) -> Int[Tensor, "answer a"]:
        """The b that each a has each answer with."""
        return self.answer.argsort(1).T

    def by_answer(self, table: Shaped[Tensor, "a b ..."]) -> Shaped[Tensor, "answer a ..."]:
        """The n pairs of each answer beside one another: [s, a] is the pair (a, b) whose answer is s."""
        return table[torch.arange(self.n), self.partner]


def centred(rows: Float[Tensor, "row logit"]) -> Float[Tensor, "row logit"]:
    """`rows` less the mean of each over all logits: 0 where a row differs from its mean by no more than rounding."""
    left = rows - rows.mean(dim=1, keepdim=True)
    length = torch.linalg.vector_norm
    left[length(left, dim=1) <= 1e-10 * length(rows, dim=1)] = 0.0
    return left


def answers_of(task: TwoOperands, axis: Int[Tensor, " n"]) -> Int[Tensor, "a b"]:
    """The element that is the answer of each pair of these residues, by number; -1 where it stands for none."""
    place = torch.full((task.p,), -1)
    place[axis] = torch.arange(len(axis))
    return place[task.whole_table(task.targets.double())[axis][:, axis].long()]


def refuse_one_way(checkpoint: Checkpoint, task: TwoOperands) -> None:
    """Raise NothingToSay where one of (a, b) and (b, a) is an example and the network does not answer both alike."""
    if task.ordered:
        return
    weights = {name: devices.float64(weight) for name, weight in checkpoint.weights.items()}
    logits = checkpoint.logits
    with torch.no_grad():
        turned = checkpoint.run.architecture.outputs(weights, checkpoint.task.inputs.flip(1).to(logits.device))
    if not bool((turned - logits).abs().max() <= ROUNDING * logits.abs().max()):
        raise NothingToSay(ONE_WAY)
