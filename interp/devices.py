"""Where tensors live: what can be used here, and whether it gives the CPU's numbers."""

from __future__ import annotations

import torch

from interp.errors import InterpError


def check_device(name: str) -> None:
    """Raises InterpError where there is no such device here."""
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        reason = str(error).split("\n")[0]
        raise InterpError(f"--device {name} cannot be used here: {reason}; leave it out to use the cpu") from None
