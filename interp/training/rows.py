"""Memory for stacked networks: a matrix [member, parameter], and a network's weights as views of its row.

Every parameter and every row begins at a multiple of 64 bytes, a whole vector of any processor, wherever its network
stands: so a product meets its numbers at the same alignment, and the same bits come out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

ALIGNMENT = 64
"""Bytes: torch's own memory begins at multiples of it."""


class Layout:
    """Where in a row each parameter lies."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> None:
        self.dtype = dtype
        vector = ALIGNMENT // dtype.itemsize
        self._places: dict[str, tuple[int, tuple[int, ...]]] = {}
        self.width = 0
        for name, shape in shapes.items():
            self._places[name] = self.width, shape
            self.width += -(-math.prod(shape) // vector) * vector

    def matrix(self, members: int) -> Float[Tensor, "member parameter"]:
        """Return zeros for so many networks."""
        made = torch.zeros(members, self.width, dtype=self.dtype)
        assert made.data_ptr() % ALIGNMENT == 0
        return made

    @property
    def parts(self) -> dict[str, slice]:
        """Return where in a row each parameter lies."""
        return {name: slice(at, at + math.prod(shape)) for name, (at, shape) in self._places.items()}

    def views(self, row: Float[Tensor, " parameter"]) -> dict[str, Tensor]:
        """Return each parameter as a part of the row, in its shape."""
        return {name: row[at : at + math.prod(shape)].view(shape) for name, (at, shape) in self._places.items()}


class Scratch:
    """Memory by name and shape that is used again: the `Buffers` of the networks of a stack.

    Arrays of one name and of different shapes lie in the same memory, for one of them is used at a time.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._memory: dict[str, Tensor] = {}
        self._views: dict[tuple[str, Sequence[int]], Tensor] = {}

    def __call__(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Return the array; what it holds is what was written there last."""
        found = self._views.get((name, shape))
        return self._made(name, shape) if found is None else found

    def _made(self, name: str, shape: tuple[int, ...]) -> Tensor:
        size = math.prod(shape)
        if name not in self._memory or len(self._memory[name]) < size:
            self._views = {key: view for key, view in self._views.items() if key[0] != name}
            self._memory[name] = torch.zeros(size, dtype=self._dtype)
        self._views[name, shape] = self._memory[name][:size].view(shape)
        return self._views[name, shape]
