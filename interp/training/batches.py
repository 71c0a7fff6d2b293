"""Which training examples each update sees."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from interp.contracts.intervention import Examples


class Batches:
    """Passes over the training examples in a fresh random order each, cut into batches; the last may be smaller."""

    def __init__(self, examples: Examples, size: int, seed: int) -> None:
        self.examples = examples
        self.size = size
        self._generator = torch.Generator().manual_seed(seed)
        self._order = torch.empty(0, dtype=torch.long)

    def next(self) -> Examples:
        if not len(self._order):
            self._order = torch.randperm(len(self.examples.inputs), generator=self._generator)
        rows, self._order = self._order[: self.size], self._order[self.size :]
        return Examples(*(of_all[rows] for of_all in self.examples))

    def state(self) -> dict[str, Tensor]:
        return {"order": self._order, "generator": self._generator.get_state()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self._order = state["order"]
        self._generator.set_state(state["generator"])


class FullBatch:
    """All training examples at every update: the same tensors each time."""

    def __init__(self, examples: Examples) -> None:
        self.examples = examples

    def next(self) -> Examples:
        return self.examples

    def state(self) -> dict[str, Tensor]:
        return {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        pass
