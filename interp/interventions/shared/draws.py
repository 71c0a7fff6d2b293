"""Random numbers that a resumed training draws as it would have, had it not been interrupted."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

GENERATOR = "generator"


class Draws:
    """A generator of which the state lies in an intervention's `state`, and so in the training's."""

    def __init__(self, seed: int) -> None:
        self.state: dict[str, Tensor] = {GENERATOR: torch.Generator().manual_seed(seed).get_state()}
        """What the intervention keeps: to be given to it as it is."""
        self._generator = torch.Generator()

    def normal_like(self, tensor: Tensor) -> Tensor:
        """N(0, 1), of the shape and type of `tensor`."""
        return self._drawn(lambda g: torch.randn(tensor.shape, generator=g, dtype=tensor.dtype))

    def uniform_like(self, tensor: Tensor) -> Tensor:
        """U[0, 1), of the shape and type of `tensor`."""
        return self._drawn(lambda g: torch.rand(tensor.shape, generator=g, dtype=tensor.dtype))

    def _drawn(self, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
        self._generator.set_state(self.state[GENERATOR])
        numbers = draw(self._generator)
        self.state[GENERATOR] = self._generator.get_state()
        return numbers
