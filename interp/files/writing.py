"""Files that are written beside their place and renamed into it.

A process killed at any moment leaves either the old file or the new one.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from interp.errors import InterpError

LOCK = ".lock"


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends without an error.

    Raises InterpError where it cannot be written (a full disk, a quota, a folder without permission): what stood
    at `path` is left whole, and the temporary file is removed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
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


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files in and below `folder` whose writers are gone: they were killed while writing.

    A folder below it that has a lock is left to whoever locks that one.
    """
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not Path(place, name, LOCK).exists()]
        for name in files:
            writer = re.fullmatch(r"\..+\.(\d{1,9})\.tmp", name)
            if writer and not _running(int(writer[1])):
                with contextlib.suppress(OSError):
                    Path(place, name).unlink()


def _running(process: int) -> bool:
    """Whether another process of this number is there."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def write_text(path: Path, text: str) -> None:
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
