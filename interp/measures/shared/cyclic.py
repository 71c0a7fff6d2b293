"""A checkpoint in the order in which its task is cyclic: sums as they are, products by discrete logarithm.

In that order operands, answers and logits are numbered 0…n-1, and the answer of (i, j) is i + j or i - j modulo n.
What has no such order has no frequencies; the measures that need them say nothing there.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.task import Task


@dataclass(frozen=True)
class Cyclic:
    """`axis` lists the residues in cyclic order; `sign` is +1 where answers are i + j, -1 where they are i - j."""

    task: Task
    axis: Int[Tensor, " n"]
    sign: int

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
        """`values`, one a pair of the task, over both operands in cyclic order."""
        return self.task.table(values.cpu())[self.axis][:, self.axis]

    def logits(self, checkpoint: Checkpoint) -> Float[Tensor, "a b c"]:
        """The logits of the n answers, on the pairs of these residues, float64."""
        return self.table(checkpoint.logits[:, self.axis.to(checkpoint.logits.device)])

    def by_answer(self, table: Shaped[Tensor, "a b ..."]) -> Shaped[Tensor, "answer a ..."]:
        """The n pairs of each answer beside one another: [s, i] is the pair (i, j) whose answer is s."""
        place = torch.arange(self.n)
        return table[place, (self.sign * (place[:, None] - place)) % self.n]

    def waves(self, freqs: Int[Tensor, " freq"]) -> tuple[Float[Tensor, "freq n"], Float[Tensor, "freq n"]]:
        """cos w_k x and sin w_k x for x = 0…n-1, with w_k = 2πk/n."""
        angle = 2 * math.pi * ((freqs[:, None] * torch.arange(self.n)) % self.n).double() / self.n
        return angle.cos(), angle.sin()


def cyclic(task: Task) -> Cyclic | None:
    """None where the task is not cyclic in both operands and its answer: x²+y², random labels, …."""
    axis = task.elements
    if axis is None:
        return None
    place = torch.full((task.p,), -1)
    place[axis] = torch.arange(len(axis))
    answers = place[task.table(task.targets.double())[axis][:, axis].long()]
    for sign in (1, -1):
        found = Cyclic(task, axis, sign)
        if torch.equal(found.answer, answers):
            return found
    return None
