"""Numbers too small for full precision: after grokking they are many, and slow a processor fourfold.

The setting belongs to a thread, and the threads torch starts inherit it: a command sets it before anything
else with `torch.set_flush_denormal(True)`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def flushed() -> Iterator[None]:
    """Within the block this thread takes denormal numbers for 0; after it, as it did before."""
    before = _flushes()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def _flushes() -> bool:
    smallest = torch.tensor(5e-324, dtype=torch.float64)
    return bool(smallest * 1 == 0)
