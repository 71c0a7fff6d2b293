"""What a network is to learn: examples, their targets, and which of them it is trained on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from interp.contracts.group import Group
from interp.errors import NothingToSay

NOTHING_KNOWN = "nothing is known of the task"


@dataclass(frozen=True)
class Task:
    """A function to be learnt, given by examples: all there are (a table of pairs), or those at hand (a sample)."""

    description: str
    """In words, for the report: "x+y mod 113"."""
    inputs: Shaped[Tensor, "example ..."]
    targets: Shaped[Tensor, "example ..."]
    """The number of the right class, or, where it is no classification, the values to be met."""
    n_outputs: int
    """How many numbers a network answers with: one for each class, or a single one for two classes."""
    train: Bool[Tensor, " example"] | None
    """True where the example is trained on; None where nobody knows."""
    order: Int[Tensor, " example"] | None = field(default=None, kw_only=True)
    """The examples as the split's rule shuffled them, those trained on first; None where no rule is known."""

    noun: ClassVar[str] = "example"
    """What one example is called."""

    def __len__(self) -> int:
        return len(self.targets)

    def correct(
        self, outputs: Float[Tensor, "example output"], examples: Int[Tensor, " example"] | None = None
    ) -> Bool[Tensor, " example"]:
        """Whether each example is answered right: by its largest output, or by the sign of the only one.

        `examples` are the numbers of those whose outputs they are, where they are not all, in their order.
        Raises NothingToSay where the targets are not classes.
        """
        if self.targets.is_floating_point():
            raise NothingToSay("the task asks for values, not for classes, so no answer is right or wrong")
        targets = (self.targets if examples is None else self.targets[examples]).to(outputs.device)
        if self.n_outputs == 1:
            return (outputs[:, 0] > 0) == (targets > 0)
        right, largest = outputs.gather(-1, targets[:, None])[:, 0], outputs.amax(dim=-1)
        told = right == largest
        alone = (outputs == largest[:, None]).sum(-1) == 1
        if not alone.all():  # where several are largest the first of them answers
            told[~alone] = outputs[~alone].argmax(dim=-1) == targets[~alone]
        return told

    def silence(self, lack: str) -> NothingToSay:
        """Return what is said where the task lacks something: "the task is not one of two operands"."""
        return NothingToSay(f"the task {lack}")


@dataclass(frozen=True)
class TwoOperands(Task):
    """A function of two operands in 0…p-1, given by its whole table: an input is a pair (a, b), row-major.

    Of a symmetric function (b, a) may be left out where (a, b) is there: the pairs are then those with a <= b.
    """

    noun: ClassVar[str] = "pair"
    p: int
    """The number of residues, which are operands and answers alike."""
    structure: Group | None
    """The group in which the answer is a·b, a·b⁻¹, a·b·a⁻¹ or a·b·a; None where there is none."""
    elements: Int[Tensor, " element"] | None
    """The residue that stands for each element of the group, by the element's number; None without a group.

    For sums modulo p the residues as they are, for products the powers of a primitive root.
    """
    random_labels: bool = False
    """Whether the answers were drawn at random, so that nothing but memory can know them."""

    ordered: bool = True
    """Whether (a, b) and (b, a) are two examples; if not, only the one with a <= b is an example."""

    @property
    def pairs(self) -> Int[Tensor, "pair 2"]:
        """The valid operands (a, b), row-major."""
        return self.inputs

    def table(self, values: Shaped[Tensor, "pair ..."]) -> Shaped[Tensor, "a b ..."]:
        """`values`, one per pair, as a table over (a, b); NaN where a pair is not valid."""
        table = values.new_full((self.p, self.p, *values.shape[1:]), float("nan"))
        table[self.pairs[:, 0], self.pairs[:, 1]] = values
        return table

    def whole_table(self, values: Shaped[Tensor, "pair ..."]) -> Shaped[Tensor, "a b ..."]:
        """The same table, in which (b, a) has the value of (a, b) where the pairs are not ordered."""
        table = self.table(values)
        if not self.ordered:
            table[self.pairs[:, 1], self.pairs[:, 0]] = values
        return table


class UnknownTask(Task):
    """A task of which nothing is known: who asks for its examples, or for anything else of it, hears so."""

    def __init__(self) -> None:
        object.__setattr__(self, "description", NOTHING_KNOWN)
        object.__setattr__(self, "train", None)

    def __repr__(self) -> str:
        return "UnknownTask()"

    def __getattr__(self, name: str) -> Any:
        """Raise NothingToSay of a field that every other task has."""
        if name in Task.__dataclass_fields__:
            raise NothingToSay(NOTHING_KNOWN)
        raise AttributeError(name)

    def silence(self, lack: str) -> NothingToSay:  # noqa: ARG002 (what it lacks is not known either)
        return NothingToSay(NOTHING_KNOWN)


def two_operands(task: Task) -> TwoOperands:
    """`task`, which is one of two operands. Raises NothingToSay where it is not."""
    if isinstance(task, TwoOperands):
        return task
    raise task.silence("is not one of two operands")
