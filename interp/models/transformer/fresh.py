"""How the fresh weights of a transformer are drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

Initialisation = Literal["normal", "torch"]

Shapes = Mapping[str, tuple[int, ...]]
Draw = Callable[[str, tuple[int, ...], torch.Generator], Tensor]
"""A tensor's name and shape -> its random numbers."""


def fresh(initialisation: Initialisation, shapes: Shapes, seed: int) -> dict[str, Tensor]:
    """Weights of these shapes; those of norms are 1, their biases 0.

    "normal" is that of Nanda et al. 2023; "torch" that of PyTorch's own modules, with which Power et al. 2022 began.
    """
    generator = torch.Generator().manual_seed(seed)
    draw = {"normal": _normal, "torch": _torch}[initialisation](shapes)
    of_norms = {".w": torch.ones, ".b": torch.zeros}
    return {
        name: of_norms[name[-2:]](shape) if name[-2:] in of_norms else draw(name, shape, generator)
        for name, shape in shapes.items()
    }


def _normal(shapes: Shapes) -> Draw:
    """Normal numbers of standard deviation 1/√d_model, in the unembedding 1/√d_vocab_out; biases are 0."""
    d_model, d_vocab_out = shapes["unembed.W_U"]

    def draw(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        if ".b_" in name:
            return torch.zeros(shape)
        fan = d_vocab_out if name == "unembed.W_U" else d_model
        return torch.randn(shape, generator=generator) / math.sqrt(fan)

    return draw


def _torch(shapes: Shapes) -> Draw:
    """Embeddings as `nn.Embedding`'s, of standard deviation 1; all else as `nn.Linear`'s, between ±1/√fan_in."""
    d_model, _ = shapes["unembed.W_U"]

    def fan_in(name: str) -> int:
        block, _, last = name.rpartition(".")
        match last:
            case "W_O" | "b_O":
                n_heads, d_head, _ = shapes[f"{block}.W_O"]
                return n_heads * d_head
            case "W_out" | "b_out":
                return shapes[f"{block}.W_out"][0]
            case _:
                return d_model

    def draw(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        if name.endswith(("W_E", "W_pos")):
            return torch.randn(shape, generator=generator)
        return (2 * torch.rand(shape, generator=generator) - 1) / math.sqrt(fan_in(name))

    return draw
