"""What the whole process must be set to, for training to be exact and quick, and for measuring to be exact."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch

from interp.machine import denormals

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
WORTH_A_THREAD = 100_000_000
"""Multiplications, about a millisecond of them, in a forward pass."""
MOST_THREADS = 4
"""Several trainings may run at once, each with as many."""


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """Same numbers in every execution with the same number of threads.

    It is set by torch's debug mode, for `torch.use_deterministic_algorithms` imports the compiler, which takes longer
    than many a training.
    """
    before = torch.get_deterministic_debug_mode()
    settings: Any = torch.utils.deterministic
    fills = settings.fill_uninitialized_memory
    torch.set_deterministic_debug_mode("error")
    settings.fill_uninitialized_memory = False  # nothing here reads what it has not written
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
        settings.fill_uninitialized_memory = fills


@contextlib.contextmanager
def measuring() -> Iterator[None]:
    """Same numbers in a notebook, a command and its workers, whatever was computed in the process before.

    One thread adds up in one order; others, which torch may have started during a training, would take denormal
    numbers for 0. Freed memory is kept from then on (`keep_freed_memory`).
    """
    keep_freed_memory()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with denormals.flushed(False):
            yield
    finally:
        torch.set_num_threads(threads)


def useful_threads(multiplications: int) -> int:
    """Return with how many threads to train where a forward pass has so many multiplications.

    It is one for an update so small that threads would spend their time waiting for one another. It depends on the
    size and the machine, not on what else runs: another number gives other rounding.
    """
    return 1 if multiplications < WORTH_A_THREAD else min(cores(), MOST_THREADS)


def cores() -> int:
    """Return how many processors this process may use: fewer than there are where OMP_NUM_THREADS says so."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # "2,1": the first is that of the outermost loop
    return min(there, int(told)) if told.isdecimal() and int(told) else there


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """Within the block torch computes with this number of threads."""
    before = torch.get_num_threads()
    if before != number:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@functools.cache
def keep_freed_memory() -> None:
    """Let the allocator reuse large blocks instead of returning each to the kernel, which clears it anew.

    A step of training, and a measure of all pairs, frees and takes tens of megabytes; clearing them costs a tenth of
    the former's time and half of the latter's. Only glibc has these settings; other libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    if not mallopt(M_MMAP_THRESHOLD, 1 << 28):
        mallopt(M_MMAP_THRESHOLD, 1 << 25)  # the most that older versions accept
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
