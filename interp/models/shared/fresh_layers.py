"""Fresh weights and biases as PyTorch's own layers draw them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def uniform(shape: tuple[int, ...], fan_in: int, generator: torch.Generator) -> Tensor:
    """Numbers between ±1/√fan_in, as the weights and biases of nn.Linear, nn.Conv2d and, by its width, nn.LSTM."""
    return (2 * torch.rand(shape, generator=generator) - 1) / fan_in**0.5


def uniform_layers(
    shapes: Mapping[str, tuple[int, ...]], fan_in: Mapping[str, int], generator: torch.Generator
) -> dict[str, Tensor]:
    """Each parameter uniform between ±1/√ the number of inputs of its layer, the part of its name before the last."""
    return {name: uniform(shape, fan_in[name.rpartition(".")[0]], generator) for name, shape in shapes.items()}
