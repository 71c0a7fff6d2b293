"""The activation functions, by the name that YAML gives them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import gelu, leaky_relu, logsigmoid, relu

ActFn = Literal["relu", "gelu", "gelu_tanh", "silu", "leaky_relu", "tanh", "x^2", "|x|", "relu^2"]


def _silu(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """x·σ(x). torch's own silu and sigmoid round differently at other places in memory, so no resuming were exact."""
    return x * logsigmoid(x).exp()


def _gelu_tanh(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))/2, written out for the same reason."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": relu,
    "gelu": gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": _silu,
    "leaky_relu": leaky_relu,
    "tanh": torch.tanh,
    "x^2": torch.square,
    "|x|": torch.abs,
    "relu^2": lambda x: relu(x).square(),
}
"""Those of `ActFn`. "gelu" is the exact one, x·Φ(x), "gelu_tanh" its approximation; leaky ReLU has the slope 0.01."""

IN_WORDS = {
    "gelu": "GeLU",
    "gelu_tanh": "GeLU by tanh",
    "silu": "SiLU",
    "leaky_relu": "leaky ReLU",
    "tanh": "tanh",
    "x^2": "x²",
    "|x|": "|x|",
    "relu^2": "ReLU²",
}
"""What a description calls those that are not ReLU."""
