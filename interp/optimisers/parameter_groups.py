"""Two optimisers for two parts of a network, such as its embedding and the rest."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from interp.contracts.nested_name import AnOptimiser
from interp.contracts.optimiser import Column, Rows, UpdateRule
from interp.errors import InterpError, near_misses


def parameter_groups(part: str, of: AnOptimiser = "adamw", others: AnOptimiser = "adamw") -> ParameterGroups:
    """The optimiser `of` moves the weights whose names match the pattern `part`; `others` moves the other ones.

    Each has its own learning rate, decay and warm-up. Liu et al. train the embedding of their toy so at 1e-3 and its
    decoder at other rates: `{part: "embed.*", of: {adamw: {lr: 1e-3, weight_decay: 0}}, others: {adamw: {lr: 1e-4}}}`.

    Paper: Liu et al. 2022, arXiv 2205.10343

    Raises ValueError where one of the two draws at random.
    """
    assert isinstance(of, UpdateRule)  # the reader of the recipe makes them from their names
    assert isinstance(others, UpdateRule)
    if of.draws is not None or others.draws is not None:
        raise ValueError("an optimiser that draws at random moves all weights together; take others, such as adamw")
    return ParameterGroups(part, of, others)


@dataclass(frozen=True)
class ParameterGroups(UpdateRule):
    part: str
    """The pattern of the names of those that `of` moves."""
    of: UpdateRule
    others: UpdateRule

    @property
    def kept(self) -> tuple[str, ...]:
        return (*(f"of/{name}" for name in self.of.kept), *(f"others/{name}" for name in self.others.kept))

    @property
    def operations(self) -> Hashable:
        return self.part, *((type(rule), rule.operations) for rule in (self.of, self.others))

    def check(self, weights: Iterable[str]) -> None:
        known = list(weights)
        if not any(fnmatch.fnmatchcase(name, self.part) for name in known):
            told = f"part is {self.part!r}, and no weight is named so{near_misses(self.part, known)}"
            raise InterpError(f"parameter_groups: {told}")
        self.of.check(known)
        self.others.check(known)

    def numbers(self, update: int, rate: float) -> tuple[float, ...]:
        return (*self.of.numbers(update, rate), *self.others.numbers(update, rate))

    def move(self, rows: Rows, *numbers: Column) -> None:
        first = len(self.of.numbers(0, 1.0))
        for own, names in itertools.groupby(rows.parts, lambda name: fnmatch.fnmatchcase(name, self.part)):
            rule, key = (self.of, "of/") if own else (self.others, "others/")
            rule.move(_only(rows, list(names), key), *(numbers[:first] if own else numbers[first:]))


def _only(rows: Rows, names: Sequence[str], key: str) -> Rows:
    """The rows of parameters side by side, and of what the rule that moves them keeps, whose names begin with `key`."""
    start = rows.parts[names[0]].start
    part = slice(start, rows.parts[names[-1]].stop)

    def cut(arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {kept.removeprefix(key): array[:, part] for kept, array in arrays.items() if kept.startswith(key)}

    return replace(
        rows,
        weights=rows.weights[:, part],
        gradients=rows.gradients[:, part],
        kept=cut(rows.kept),
        scratch=[array[:, part] for array in rows.scratch],
        parts={name: slice(rows.parts[name].start - start, rows.parts[name].stop - start) for name in names},
    )
