"""What a network is to learn: every valid input, its answer, and which inputs it was trained on."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Int, Shaped
from torch import Tensor


@dataclass(frozen=True)
class Task:
    """A function of two operands in 0…p-1, given by its whole table."""

    p: int
    description: str
    """In words, for the report: "x+y mod 113"."""
    pairs: Int[Tensor, "pair 2"]
    """The valid operands (a, b), row-major."""
    answers: Int[Tensor, " pair"]
    train: Bool[Tensor, " pair"] | None
    """True where the pair is trained on; None where the split is unknown."""
    fourier_axis: Int[Tensor, " cyclic"] | None
    """The operands in the order in which the task is cyclic (LITERATURE: identity for sums, discrete
    logarithm of the non-zero residues for products); None where there is no such order."""

    def table(self, values: Shaped[Tensor, "pair ..."]) -> Shaped[Tensor, "a b ..."]:
        """`values`, one per pair, as a table over (a, b); NaN where a pair is not valid."""
        table = values.new_full((self.p, self.p, *values.shape[1:]), float("nan"))
        table[self.pairs[:, 0], self.pairs[:, 1]] = values
        return table
