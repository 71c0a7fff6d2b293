"""What the whole process must be set to, for training to be exact and quick, and for measuring to be exact."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch

from interp.machine import denormals

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
WORTH_A_THREAD = 100_000_000
"""Multiplications, about a millisecond of them, in a forward pass."""


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """Same numbers in every execution with the same number of threads."""
    before = torch.are_deterministic_algorithms_enabled()
    settings: Any = torch.utils.deterministic
    fills = settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    settings.fill_uninitialized_memory = False  # nothing here reads what it has not written
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        settings.fill_uninitialized_memory = fills


@contextlib.contextmanager
def measuring() -> Iterator[None]:
    """Same numbers in a notebook, a command and its workers, whatever was computed in the process before.

    One thread adds up in one order; others, which torch may have started during a training, would take denormal
    numbers for 0.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with denormals.flushed(False):
            yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def useful_threads(multiplications: int) -> Iterator[None]:
    """One thread for an update so small that threads would spend their time waiting for one another."""
    before = torch.get_num_threads()
    if multiplications < WORTH_A_THREAD:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_freed_memory() -> None:
    """Let the allocator reuse large blocks instead of returning each to the kernel, which clears it anew.

    A step frees and takes tens of megabytes; clearing them costs a tenth of its time. Only glibc has these
    settings; other libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_MMAP_THRESHOLD, 1 << 25)  # the most it accepts
    mallopt(M_TRIM_THRESHOLD, 1 << 30)


@contextlib.contextmanager
def interruption() -> Iterator[Callable[[], bool]]:
    """A function that tells whether Ctrl-C was pressed, so that no update is cut in two.

    The second Ctrl-C interrupts at once. Outside the main thread, which alone receives signals, the function
    always says no.
    """
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return

    def note(*_: object) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)
