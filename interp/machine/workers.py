"""Worker processes that end with the process that started them, and never write beside its successor.

A worker left alone would wait for work for ever: the queue it reads is one it could itself write to. So each watches
the process that started it, and holds a lock of its own as long as it lives; whoever goes on in the same folder waits
for these locks first. A worker that begins only then sees that its parent is gone, and ends before it writes.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock

START_METHOD = "spawn"
HELD = ".worker-locks"
_held: list[filelock.BaseFileLock] = []
"""Locks that end with this process."""


@contextlib.contextmanager
def pool(count: int, folder: Path) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """`count` workers that write into `folder`, which this process has locked."""
    context = multiprocessing.get_context(START_METHOD)
    (folder / HELD).mkdir(exist_ok=True)
    with concurrent.futures.ProcessPoolExecutor(count, context, initializer=_begin, initargs=(folder / HELD,)) as made:
        yield made
    wait_for_those_left(folder)


def wait_for_those_left(folder: Path) -> None:
    """Return when no worker of a process that was killed can write into `folder` any more; they notice at once."""
    held = folder / HELD
    for path in held.glob("*"):
        with filelock.FileLock(path, poll_interval=0.01):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        held.rmdir()


def _begin(held: Path) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_after, args=([parent.sentinel],), daemon=True).start()
    _held.append(filelock.FileLock(held / str(os.getpid()), timeout=0))
    _held[-1].acquire()
    if multiprocessing.connection.wait([parent.sentinel], timeout=0):
        os._exit(1)


def _end_after(sentinels: Sequence[Any]) -> None:
    multiprocessing.connection.wait(sentinels)
    os._exit(1)
