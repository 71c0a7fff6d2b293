"""A folder held for one process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from interp.errors import InterpError
from interp.files.writing import LOCK, remove_abandoned


@contextlib.contextmanager
def locked(folder: Path, purpose: str) -> Iterator[None]:
    """Hold `folder` for this process, and remove what killed writers left half-written in it.

    Raises InterpError that says who holds it, or why it cannot be held; a killed holder blocks nobody.
    """
    with contextlib.ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = held.enter_context(open(folder / LOCK, "a+", encoding="utf-8"))
            _lock(file, folder)
            file.truncate(0)
            file.write(f"{purpose} (process {os.getpid()})")
            file.flush()
        except OSError as error:
            with contextlib.suppress(OSError):
                held.close()  # what the file could not take it tries to write again
            raise InterpError(
                f"{folder} cannot be locked ({error.strerror}), so nothing is written there; "
                "choose a folder that can be written to, on a file system with locks (flock)"
            ) from error
        remove_abandoned(folder)
        yield


def _lock(file: TextIO, folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = re.sub(r"[^\x20-\x7e]", "?", file.read(200).strip()) or "another process"
        raise InterpError(f"{folder} is in use by {holder}; wait for it, or stop it") from None
