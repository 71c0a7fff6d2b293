"""A cell of long short-term memory, one position at a time."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from interp.contracts.architecture import Weights
from interp.models.shared.operations import affine

State = Float[Tensor, "text d_hidden"]


class Cell(NamedTuple):
    """The weights of a layer; its gates lie side by side: input, forget, cell, output."""

    W_ih: Float[Tensor, "d_in gates"]
    W_hh: Float[Tensor, "d_hidden gates"]
    b_ih: Float[Tensor, " gates"]
    b_hh: Float[Tensor, " gates"]

    @classmethod
    def of(cls, weights: Weights, layer: str) -> Cell:
        """Return those of the layer of this name."""
        return cls(*(weights[f"{layer}.{name}"] for name in cls._fields))

    def step(self, x: Float[Tensor, "text d_in"], h: State, c: State) -> tuple[State, State]:
        """Return h and c after one more input x.

        σ is written as exp(log σ), whose last bit does not depend on where in memory a number lies.
        """
        i, f, g, o = (affine(x, self.W_ih, self.b_ih) + affine(h, self.W_hh, self.b_hh)).chunk(4, dim=-1)
        c = logsigmoid(f).exp() * c + logsigmoid(i).exp() * torch.tanh(g)
        return logsigmoid(o).exp() * torch.tanh(c), c
