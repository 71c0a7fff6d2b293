"""A checkpoint in the order in which its task is cyclic: sums as they are, products by discrete logarithm.

In that order operands, answers and logits are numbered 0…n-1, and the answer of (i, j) is i + j or i - j modulo n.

A task without such an order has no frequencies; `cyclic` then raises NothingToSay, and so does every measure that
asks it. So it does where pairs are not ordered and the network answers (b, a) otherwise than (a, b): waves are over the
whole table, and half of it is no example.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.group import Group
from interp.contracts.task import Task, two_operands
from interp.errors import NothingToSay
from interp.measures.shared.in_order import InOrder, answers_of, refuse_one_way

NO_ORDER = "the task has no cyclic order of its operands"


@dataclass(frozen=True)
class Cyclic(InOrder):
    """A task of two operands as i + j or i - j modulo n."""

    sign: int
    """+1 where the answer is i + j, -1 where it is i - j."""

    @property
    def n_freqs(self) -> int:
        """Frequencies 0…n//2; for even n the last has one direction, (-1)^x."""
        return self.n // 2 + 1

    @functools.cached_property
    def answer(self) -> Int[Tensor, "a b"]:
        place = torch.arange(self.n)
        return (place[:, None] + self.sign * place) % self.n

    @functools.cached_property
    def difference(self) -> Int[Tensor, "a b"]:
        """i - j where the answer is i + j, and i + j where it is i - j: n pairs have each."""
        place = torch.arange(self.n)
        return (place[:, None] - self.sign * place) % self.n

    def waves(self, freqs: Int[Tensor, " freq"]) -> tuple[Float[Tensor, "freq n"], Float[Tensor, "freq n"]]:
        """cos w_k x and sin w_k x for x = 0…n-1, with w_k = 2πk/n."""
        angle = 2 * math.pi * ((freqs[:, None] * torch.arange(self.n)) % self.n).double() / self.n
        return angle.cos(), angle.sin()


def cyclic(checkpoint: Checkpoint) -> Cyclic:
    """The checkpoint's task in its cyclic order.

    Raises NothingToSay where the task is not one of two operands, or not cyclic in them and its answer: x²+y², random
    labels, …; and where only one of (a, b) and (b, a) is an example, and the network does not answer them alike.
    """
    task = two_operands(checkpoint.task)
    axis = residues(task)
    answers = answers_of(task, axis)
    for sign in (1, -1):
        found = Cyclic(task, axis, sign)
        if torch.equal(found.answer, answers):
            refuse_one_way(checkpoint, task)
            return found
    raise NothingToSay(NO_ORDER)


def residues(task: Task) -> Int[Tensor, " n"]:
    """The residues of a task of two operands in cyclic order, by discrete logarithm for products (then without 0).

    Of a group whose elements are numbered otherwise they are the powers of the first that has all as its powers.
    Raises NothingToSay where the task is not one of two operands, or its group is not cyclic.
    """
    task = two_operands(task)
    if task.structure is None or task.elements is None:
        raise NothingToSay(NO_ORDER)
    return task.elements[_powers(task.structure)]


def _powers(group: Group) -> Int[Tensor, " n"]:
    """The elements as the powers of one of them, from 0 on. Raises NothingToSay where the group is not cyclic."""
    number = torch.arange(group.order)
    product = group.product
    if torch.equal(product, (number[:, None] + number) % group.order):
        return number
    if not group.abelian:
        raise NothingToSay(f"{group.description} is not abelian, so that it has no frequencies; see irrep_logits")
    powers = torch.empty(group.order, group.order, dtype=torch.long)  # [exponent, element]
    powers[0] = group.identity
    for exponent in range(1, group.order):
        powers[exponent] = product[powers[exponent - 1], number]
    generates = ((powers == group.identity).sum(0) == 1).nonzero()
    if not len(generates):
        raise NothingToSay(
            f"{group.description} is abelian but not cyclic: no element has all as its powers, so that no single "
            "frequency tells them apart; see irrep_logits"
        )
    return powers[:, int(generates[0, 0])]
