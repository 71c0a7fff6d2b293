"""A checkpoint in the order in which its task is cyclic: sums as they are, products by discrete logarithm.

In that order operands, answers and logits are numbered 0…n-1, and the answer of (i, j) is i + j or i - j modulo n.
Logits are known up to what is added to all of one pair alike, which changes no answer and no loss. `centred` takes
that away, over every logit that the network was trained with, before the n answers are picked out: so what is said of
their power does not depend on it.

A task without such an order has no frequencies; `cyclic` then raises NothingToSay, and so does every measure that
asks it. So it does where pairs are not ordered and the network answers (b, a) otherwise than (a, b): waves are over the
whole table, and half of it is no example.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.architecture import has_neurons
from interp.contracts.group import Group
from interp.contracts.task import Task, TwoOperands, two_operands
from interp.errors import NothingToSay
from interp.machine import devices
from interp.measures.shared.when_asked import WhenAsked

NO_ORDER = "the task has no cyclic order of its operands"
ONE_WAY = (
    "the task's pairs are not ordered, and the network answers (b, a) otherwise than (a, b), so that half of the table "
    "was never asked for"
)
ROUNDING = 1e-9
"""Logits are alike that differ by no more than this share of the largest."""


@dataclass(frozen=True)
class Cyclic:
    """A task of two operands as i + j or i - j modulo n."""

    task: TwoOperands
    axis: Int[Tensor, " n"]
    """The residues in cyclic order: the one at place i stands for the element i."""
    sign: int
    """+1 where the answer is i + j, -1 where it is i - j."""

    @property
    def n(self) -> int:
        return len(self.axis)

    @property
    def n_freqs(self) -> int:
        """Frequencies 0…n//2; for even n the last has one direction, (-1)^x."""
        return self.n // 2 + 1

    @functools.cached_property
    def answer(self) -> Int[Tensor, "a b"]:
        """The number of the answer of each pair."""
        place = torch.arange(self.n)
        return (place[:, None] + self.sign * place) % self.n

    @functools.cached_property
    def difference(self) -> Int[Tensor, "a b"]:
        """i - j where the answer is i + j, and i + j where it is i - j: n pairs have each."""
        place = torch.arange(self.n)
        return (place[:, None] - self.sign * place) % self.n

    @functools.cached_property
    def train(self) -> Bool[Tensor, "a b"] | None:
        """Which pairs were trained on; None where nobody knows."""
        return None if self.task.train is None else self.table(self.task.train.double()) == 1

    def table(self, values: Shaped[Tensor, "pair ..."]) -> Shaped[Tensor, "a b ..."]:
        """`values`, one for each pair of the task, over both operands in cyclic order."""
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

    def by_answer(self, table: Shaped[Tensor, "a b ..."]) -> Shaped[Tensor, "answer a ..."]:
        """The n pairs of each answer beside one another: [s, i] is the pair (i, j) whose answer is s."""
        place = torch.arange(self.n)
        return table[place, (self.sign * (place[:, None] - place)) % self.n]

    def waves(self, freqs: Int[Tensor, " freq"]) -> tuple[Float[Tensor, "freq n"], Float[Tensor, "freq n"]]:
        """cos w_k x and sin w_k x for x = 0…n-1, with w_k = 2πk/n."""
        angle = 2 * math.pi * ((freqs[:, None] * torch.arange(self.n)) % self.n).double() / self.n
        return angle.cos(), angle.sin()


def centred(rows: Float[Tensor, "row logit"]) -> Float[Tensor, "row logit"]:
    """`rows` less the mean of each over all logits: 0 where a row differs from its mean by no more than rounding."""
    left = rows - rows.mean(dim=1, keepdim=True)
    varies = left.square().sum(dim=1, keepdim=True) > 1e-20 * rows.square().sum(dim=1, keepdim=True)
    return left.where(varies, 0.0)


def cyclic(checkpoint: Checkpoint) -> Cyclic:
    """The checkpoint's task in its cyclic order.

    Raises NothingToSay where the task is not one of two operands, or not cyclic in them and its answer: x²+y², random
    labels, …; and where only one of (a, b) and (b, a) is an example, and the network does not answer them alike.
    """
    task = two_operands(checkpoint.task)
    axis = residues(task)
    place = torch.full((task.p,), -1)
    place[axis] = torch.arange(len(axis))
    answers = place[task.whole_table(task.targets.double())[axis][:, axis].long()]  # [a, b]
    for sign in (1, -1):
        found = Cyclic(task, axis, sign)
        if torch.equal(found.answer, answers):
            if not (task.ordered or _answers_both_ways_alike(checkpoint)):
                raise NothingToSay(ONE_WAY)
            return found
    raise NothingToSay(NO_ORDER)


def _answers_both_ways_alike(checkpoint: Checkpoint) -> bool:
    """Whether the network's logits on (b, a) are those on (a, b), up to rounding."""
    weights = {name: devices.float64(weight) for name, weight in checkpoint.weights.items()}
    logits = checkpoint.logits
    with torch.no_grad():
        turned = checkpoint.run.architecture.outputs(weights, checkpoint.task.inputs.flip(1).to(logits.device))
    return bool((turned - logits).abs().max() <= ROUNDING * logits.abs().max())


def residues(task: Task) -> Int[Tensor, " n"]:
    """The residues of a task of two operands in cyclic order, by discrete logarithm for products (then without 0).

    Raises NothingToSay where the task is not one of two operands, or its group is not cyclic.
    """
    task = two_operands(task)
    if task.structure is None or task.elements is None or not _is_cyclic(task.structure):
        raise NothingToSay(NO_ORDER)
    return task.elements


def _is_cyclic(group: Group) -> bool:
    """Whether its elements are numbered as the powers of one of them."""
    number = torch.arange(group.order)
    return torch.equal(group.product, (number[:, None] + number) % group.order)
