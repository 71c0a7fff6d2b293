"""A checkpoint on the group that its task computes in: a·b, a·b⁻¹, a·b·a⁻¹ or a·b·a.

Modular sums and products are the cyclic case. What is asked of logits and neurons comes in blocks of answers, so that
no array of all logits need be kept: each block has all pairs of some answers, one answer after another.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
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
        """All pairs: together where their activations are at hand, else as many answers' as have 2 million logits.

        Raises NothingToSay where the outputs overflow.
        """
        if checkpoint.few:
            yield Block(self, torch.arange(self.n), self.examples, checkpoint.activations)
            return
        for answers in torch.arange(self.n).split(max(checkpoint.rows_at_once // self.n, 1)):
            examples = self.examples[answers]
            activations = checkpoint.activations_of(examples.flatten())
            yield Block(self, answers, torch.arange(examples.numel()).view_as(examples), activations)


@dataclass(frozen=True)
class Block:
    """All pairs of some answers: n for each, one for each a."""

    order: Composed
    answers: Int[Tensor, " answer"]
    """By number."""
    place: Int[Tensor, "answer a"]
    """The row of each pair in the activations."""
    activations: Mapping[str, Float[Tensor, "row ..."]]

    @functools.cached_property
    def logits(self) -> Float[Tensor, "row c"]:
        """The logits of the n answers, as the network gives them. Raises NothingToSay where they overflow."""
        return self._of_answers(self._outputs)

    @functools.cached_property
    def centred_logits(self) -> Float[Tensor, "row c"]:
        """The same, less each pair's mean over all that the network was trained with."""
        return self._of_answers(centred(self._outputs))

    @property
    def _outputs(self) -> Float[Tensor, "row output"]:
        return finite(self.activations["logits"], OVERFLOW).cpu()

    def _of_answers(self, outputs: Float[Tensor, "row output"]) -> Float[Tensor, "row c"]:
        as_they_are = torch.equal(self.order.axis, torch.arange(outputs.shape[1]))
        return outputs if as_they_are else outputs[:, self.order.axis]

    @functools.cached_property
    def neurons(self) -> Float[Tensor, "row neuron"]:
        """The last hidden layer's activations.

        Raises NothingToSay where the network has no such layer, or they overflow.
        """
        name = has_neurons(self.order.architecture).neurons
        return finite(self.activations[name], "the activations of the neurons overflow").cpu()

    @functools.cached_property
    def pairs(self) -> Int[Tensor, "pair 4"]:
        """The row, the answer, a and b of each pair, in the order of the rows."""
        n = self.order.n
        a = torch.arange(n).expand_as(self.place)
        columns = self.place, self.answers[:, None].expand_as(self.place), a, self.order.partner[self.answers]
        pairs = torch.stack([column.flatten() for column in columns], dim=1)
        return pairs[pairs[:, 0].argsort()]

    def of_pairs(self, values: Float[Tensor, "row ..."]) -> Float[Tensor, "pair ..."]:
        """The row of each of `pairs`."""
        rows = self.pairs[:, 0]
        return values if torch.equal(rows, torch.arange(len(values))) else values[rows]

    @property
    def once(self) -> Bool[Tensor, "answer a"]:
        """Whether a pair is counted: each, or of unordered pairs one of (a, b) and (b, a)."""
        return self.order.once[torch.arange(self.order.n), self.order.partner[self.answers]]

    @functools.cached_property
    def trained_on(self) -> tuple[Int[Tensor, "answer m"], Float[Tensor, "answer m"]]:
        """The rows of the training pairs of each answer, of all where nobody knows them, and how often each counts.

        An answer has as many as the one that has most; those that are none of its own count 0.
        """
        train = self.order.task.train
        counted = self.once if train is None else self.once & train[self.order.examples[self.answers]]
        most = int(counted.sum(1).max())
        first = counted.int().argsort(dim=1, descending=True, stable=True)[:, :most]
        return self.place.gather(1, first), counted.gather(1, first).double()


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
