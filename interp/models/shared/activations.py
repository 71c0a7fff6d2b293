"""The activation functions, by the name that YAML gives them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.nn.functional.relu,
    "gelu": torch.nn.functional.gelu,
    "tanh": torch.tanh,
    "x^2": torch.square,
}
"""Each model's `act_fn` lists those it may have. "gelu" is the exact one, x·Φ(x)."""
