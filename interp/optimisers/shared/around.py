"""A rule around another: it changes the gradients, and lets the other move the weights by them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from interp.contracts.optimiser import Column, Rows, UpdateRule


@dataclass(frozen=True)
class Around(UpdateRule):
    """What a rule says that only changes gradients; the rest is said by the rule `of`, which it wraps."""

    of: UpdateRule

    def __post_init__(self) -> None:
        """Raises ValueError where both would write to one array."""
        if both := sorted({*self.own_kept} & {*self.of.kept}):
            raise ValueError(f"it stands around itself, and both keep {both[0]!r}; take another optimiser as `of`")

    @property
    def own_kept(self) -> tuple[str, ...]:
        """The names of the arrays that it keeps beside those of the rule it wraps."""
        return ()

    @property
    def own_operations(self) -> Hashable:
        """What its own options say about the operations themselves."""
        return ()

    def own_numbers(self, update: int) -> tuple[float, ...]:  # noqa: ARG002 (a rule may have none)
        """Its own numbers of an update."""
        return ()

    @abstractmethod
    def change(self, rows: Rows, *numbers: Column) -> None:
        """Change `rows.gradients` and what it keeps in place; `numbers` are columns of its own."""

    @property
    def kept(self) -> tuple[str, ...]:
        return (*self.own_kept, *self.of.kept)

    @property
    def draws(self) -> int | None:
        return self.of.draws

    @property
    def operations(self) -> Hashable:
        return type(self.of), self.of.operations, self.own_operations

    def check(self, weights: Iterable[str]) -> None:
        self.of.check(weights)

    def numbers(self, update: int, rate: float) -> tuple[float, ...]:
        return (*self.own_numbers(update), *self.of.numbers(update, rate))

    def move(self, rows: Rows, *numbers: Column) -> None:
        own = len(self.own_numbers(0))
        self.change(rows, *numbers[:own])
        self.of.move(rows, *numbers[own:])
