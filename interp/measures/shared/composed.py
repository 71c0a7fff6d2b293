"""A checkpoint on the group that its task computes in: a·b, a·b⁻¹, a·b·a⁻¹ or a·b·a.

Modular sums and products are the cyclic case. What is asked of logits and neurons comes in blocks of answers, so that
no array of all logits need be kept: each block has all pairs of some answers, one answer after another.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.checkpoints.checkpoint import OVERFLOW, finite
from interp.contracts.architecture import Architecture, has_neurons
from interp.contracts.group import Group
from interp.contracts.task import two_operands
from interp.errors import NothingToSay
from interp.measures.shared.in_order import InOrder, answers_of, centred, refuse_one_way

NO_GROUP = "the task's answers are no products in a group"


@dataclass(frozen=True)
class Composed(InOrder):
    """A task of two operands as composition in a group; elements are numbered as there."""

    group: Group
    answers: Int[Tensor, "a b"]
    architecture: Architecture

    @property
    def answer(self) -> Int[Tensor, "a b"]:
        return self.answers

    @functools.cached_property
    def both_ways(self) -> bool:
        """Whether the answer and b give a, as the answer and a give b: so it is of a·b, but not of a·b·a⁻¹."""
        return torch.equal(self.answer.sort(0).values, torch.arange(self.n)[:, None].expand(self.n, self.n))

    @functools.cached_property
    def examples(self) -> Int[Tensor, "answer a"]:
        """The number of the example that is the pair of each answer and a, or its mirror where pairs have no order."""
        numbers = torch.arange(len(self.task), dtype=torch.float64)
        return self.by_answer(self.task.whole_table(numbers)[self.axis][:, self.axis]).long()

    def blocks(self, checkpoint: Checkpoint) -> Iterator[Block]:
        """All pairs, in as few blocks of answers as keep each to 2 million logits.

        Raises NothingToSay where the outputs overflow.
        """
        for answers in torch.arange(self.n).split(max(checkpoint.rows_at_once // self.n, 1)):
            activations = checkpoint.activations_of(self.examples[answers].flatten())
            yield Block(self, answers, activations)


@dataclass(frozen=True)
class Block:
    """All pairs of some answers: n for each, one for each a."""

    order: Composed
    answers: Int[Tensor, " answer"]
    """By number."""
    activations: Mapping[str, Float[Tensor, "pair ..."]]

    @functools.cached_property
    def logits(self) -> Float[Tensor, "answer a c"]:
        """The logits of the n answers, less each pair's mean over all that the network was trained with."""
        rows = finite(self.activations["logits"], OVERFLOW).cpu()
        return self.by_answer(centred(rows)[:, self.order.axis])

    def by_answer(self, rows: Shaped[Tensor, "pair ..."]) -> Shaped[Tensor, "answer a ..."]:
        """One row for each pair of the block, as it is asked of `activations`, by answer and by a."""
        return rows.unflatten(0, (len(self.answers), self.order.n))

    @property
    def neurons(self) -> Float[Tensor, "answer a neuron"]:
        """The last hidden layer's activations. Raises NothingToSay where the network has no such layer."""
        name = has_neurons(self.order.architecture).neurons
        return self.by_answer(finite(self.activations[name], "the activations of the neurons overflow").cpu())

    @property
    def partner(self) -> Int[Tensor, "answer a"]:
        """The b of each pair."""
        return self.order.partner[self.answers]

    @property
    def once(self) -> Bool[Tensor, "answer a"]:
        """Whether a pair is counted: each, or of unordered pairs one of (a, b) and (b, a)."""
        return self.order.once[torch.arange(self.order.n), self.partner]

    @property
    def weight(self) -> Float[Tensor, "answer a"]:
        """1 of training pairs, of all where nobody knows them; 0 of the others and of what is counted already."""
        train = self.order.task.train
        counted = self.once if train is None else self.once & train[self.order.examples[self.answers]]
        return counted.double()


def composed(checkpoint: Checkpoint) -> Composed:
    """The checkpoint's task in its group.

    Raises NothingToSay where the task is not one of two operands, or its answers are in no group: x²+y², random labels,
    …; and where only one of (a, b) and (b, a) is an example, and the network does not answer them alike.
    """
    task = two_operands(checkpoint.task)
    if task.structure is None or task.elements is None:
        raise NothingToSay(NO_GROUP)
    order = Composed(task, task.elements, task.structure, answers_of(task, task.elements), checkpoint.run.architecture)
    if not torch.equal(order.answer.sort(1).values, torch.arange(order.n).expand(order.n, order.n)):
        raise NothingToSay(NO_GROUP)
    refuse_one_way(checkpoint, task)
    return order
