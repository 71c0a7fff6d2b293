"""Where tensors live: what can be used here, and whether it gives the CPU's numbers."""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Float
from torch import Tensor

from interp.errors import InterpError, shown
from interp.summaries import number

AGREEMENT = 1e-6


def check(name: str) -> None:
    """Raises InterpError where there is no such device here."""
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        reason = shown(str(error).split("\n")[0], 100)
        raise InterpError(f"--device {name} cannot be used here ({reason}); expected cpu, cuda or mps") from None


def float64(tensor: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """`tensor` in float64, on the CPU where its device has none."""
    return tensor.double() if tensor.device.type != "mps" else tensor.cpu().double()


def compare(what: str, ours: Float[Tensor, "..."], reference: Float[Tensor, "..."]) -> None:
    """Warn where `ours` differs from the CPU's numbers by more than 1e-6 of the largest."""
    difference = float((ours.cpu() - reference).abs().max() / reference.abs().max())
    if not difference <= AGREEMENT:
        warnings.warn(f"{what}: logits differ from the CPU's by {number(difference)} of the largest", stacklevel=2)
