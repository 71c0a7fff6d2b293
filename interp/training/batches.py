"""Which training pairs each update sees."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Int
from torch import Tensor


class Batches:
    """Passes over the training pairs in a fresh random order each, cut into batches; the last may be smaller."""

    def __init__(self, pairs: Int[Tensor, "pair 2"], answers: Int[Tensor, " pair"], size: int, seed: int) -> None:
        self.pairs, self.answers, self.size = pairs, answers, size
        self._generator = torch.Generator().manual_seed(seed)
        self._order = torch.empty(0, dtype=torch.long)

    def next(self) -> tuple[Int[Tensor, "batch 2"], Int[Tensor, " batch"]]:
        if not len(self._order):
            self._order = torch.randperm(len(self.pairs), generator=self._generator)
        rows, self._order = self._order[: self.size], self._order[self.size :]
        return self.pairs[rows], self.answers[rows]

    def state(self) -> dict[str, Tensor]:
        return {"order": self._order, "generator": self._generator.get_state()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self._order = state["order"]
        self._generator.set_state(state["generator"])


class FullBatch:
    """All training pairs at every update: the same two tensors each time."""

    def __init__(self, pairs: Int[Tensor, "pair 2"], answers: Int[Tensor, " pair"]) -> None:
        self.pairs, self.answers = pairs, answers

    def next(self) -> tuple[Int[Tensor, "pair 2"], Int[Tensor, " pair"]]:
        return self.pairs, self.answers

    def state(self) -> dict[str, Tensor]:
        return {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        pass
