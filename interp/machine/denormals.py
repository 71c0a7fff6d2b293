"""Numbers too small for full precision: after grokking they are many, and slow a processor fourfold.

Training takes them for 0; measuring does not, for a network may consist of them. The setting belongs to a thread, and
the threads torch starts inherit it: a command that trains sets it before anything else with
`torch.set_flush_denormal(True)`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def flushed(yes: bool = True) -> Iterator[None]:
    """Within the block this thread takes denormal numbers for 0, or does not; after it, as it did before."""
    before = flushes()
    torch.set_flush_denormal(yes)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def flushes() -> bool:
    """Whether this thread takes denormal numbers for 0."""
    smallest = torch.tensor(5e-324, dtype=torch.float64)
    return bool(smallest * 1 == 0)
