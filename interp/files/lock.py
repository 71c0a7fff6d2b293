"""A folder held for one process: whoever else wants it is told who holds it, and a killed holder blocks nobody."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import filelock

from interp.errors import InterpError
from interp.files.writing import LOCK, remove_abandoned

HOLDER = ".holder"
"""Who holds the folder, as text: the locked file itself may not be read by others on every system."""


@contextlib.contextmanager
def locked(folder: Path, purpose: str) -> Iterator[None]:
    """Hold `folder` for this process, and remove what killed writers left half-written in it.

    Raises InterpError that says who holds it, or why it cannot be held.
    """
    lock = filelock.FileLock(folder / LOCK, timeout=0)
    holder = folder / HOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        holder.write_text(f"{purpose} (process {os.getpid()})", encoding="utf-8")
    except filelock.Timeout:
        raise InterpError(f"{folder} is in use by {_told(holder)}; wait for it, or stop it") from None
    except (OSError, NotImplementedError) as error:
        lock.release()
        raise InterpError(
            f"{folder} cannot be locked ({getattr(error, 'strerror', None) or error}), so nothing is written there; "
            "choose a folder that can be written to, on a file system with locks (flock)"
        ) from error
    try:
        remove_abandoned(folder)
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def _told(holder: Path) -> str:
    with contextlib.suppress(OSError):
        return re.sub(r"[^\x20-\x7e]", "?", holder.read_text(encoding="utf-8", errors="replace")[:200].strip())
    return "another process"
