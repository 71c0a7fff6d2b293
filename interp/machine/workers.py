"""Worker processes that end with the process that started them, and never write beside its successor.

A worker left alone would wait for work for ever: the queue it reads is one it could itself write to.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

START_METHOD = "spawn"
HELD = ".workers"
_held: list[IO[str]] = []
"""Locks that end with this process."""


@contextlib.contextmanager
def pool(count: int, folder: Path) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """`count` workers that write into `folder`, which this process has locked."""
    context = multiprocessing.get_context(START_METHOD)
    with concurrent.futures.ProcessPoolExecutor(count, context, initializer=_begin, initargs=(folder / HELD,)) as made:
        yield made
    wait_for_those_left(folder)


def wait_for_those_left(folder: Path) -> None:
    """Return when no worker of a process that was killed can write into `folder` any more; they notice at once."""
    path = folder / HELD
    if path.exists():
        with open(path, "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
        path.unlink()


def _begin(held: Path) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_after, args=([parent.sentinel],), daemon=True).start()
    file = open(held, "a")  # noqa: SIM115 (held until this process ends)
    fcntl.flock(file, fcntl.LOCK_SH)
    _held.append(file)
    if multiprocessing.connection.wait([parent.sentinel], timeout=0):
        os._exit(1)


def _end_after(sentinels: Sequence[Any]) -> None:
    multiprocessing.connection.wait(sentinels)
    os._exit(1)
