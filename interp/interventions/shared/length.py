"""The length of many tensors together, as of one vector."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def length_of(tensors: Iterable[Tensor]) -> float:
    """Their Euclidean norm, in float64: the same whatever stands beside them in memory."""
    return float(torch.stack([tensor.detach().double().square().sum() for tensor in tensors]).sum().sqrt())
