"""Files that are written beside their place and renamed into it.

A process killed at any moment leaves either the old file or the new one.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from interp.errors import InterpError

LOCK = ".lock"
ABANDONED = 3600.0


@contextlib.contextmanager
def writing(path: Path, outlives: Literal["power cut", "process"] = "power cut") -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends without an error.

    What is to outlive the process alone is not waited for: after a power cut the file may be cut short, which whoever
    reads it must notice.

    Raises InterpError where it cannot be written (a full disk, a quota, a folder without permission): what stood
    at `path` is left whole, and the temporary file is removed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if outlives == "power cut":
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if not _concerns(error, path, temporary):
            raise
        raise InterpError(
            f"{path} cannot be written ({error.strerror}); what was finished before is kept: "
            "make room (or choose another folder) and start the same command again"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _concerns(error: OSError, path: Path, temporary: Path) -> bool:
    """Whether it is about writing `path`, not about another file that was read on the way."""
    if error.filename is None:
        return error.errno is not None
    return str(error.filename) in {str(one) for one in (path, temporary, *path.parents)}


def remove_abandoned(folder: Path, idle_for: float = 0) -> None:
    """Remove the temporary files in and below `folder` to which nothing was written for `idle_for` seconds.

    In a folder that is held by this process, all of them were left by writers that were killed. In one that is not
    held, others may be writing: but nobody writes for an hour (`ABANDONED`) without a byte that reaches the file. A
    folder below it that has a lock is left to whoever locks that one.
    """
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not Path(place, name, LOCK).exists()]
        for name in files:
            if re.fullmatch(r"\..+\.\d{1,9}\.tmp", name):
                path = Path(place, name)
                with contextlib.suppress(OSError):
                    if not idle_for or time.time() - path.stat().st_mtime > idle_for:
                        path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write `text` in UTF-8 to the file at `path`, which is whole at any moment. Raises as `writing` does."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
