"""At which steps a training keeps a checkpoint: known before it starts."""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_CHECKPOINTS = 100_000


def schedule(steps: int, every: int | None = None, log: int | None = None, dense: Sequence[str] = ()) -> list[int]:
    """The steps to keep, ascending: 0, the last, and the union of what is asked for.

    `every`: each multiple of it. `log`: that many steps from 1 to the last at a constant ratio; fewer
    where neighbours round to the same step. `dense`: windows "start:stop:every", both ends included where
    they are met, such as "12000:14000:10".
    Raises ValueError where a number is out of range or a window is not written so.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; a training has at least 1")
    kept = {0, steps}
    windows = [window_steps(window, steps) for window in dense]
    asked = (steps // every if every else 0) + (log or 0) + sum(map(len, windows))
    if asked > MAX_CHECKPOINTS:
        raise ValueError(f"that keeps about {asked:,} checkpoints; at most {MAX_CHECKPOINTS:,} are kept")
    if every is not None:
        if every < 1:
            raise ValueError(f"every is {every}; it is a number of steps, at least 1")
        kept.update(range(0, steps, every))
    if log is not None:
        if log < 2:
            raise ValueError(f"log is {log}; at least 2 steps, the first and the last, can be spaced evenly")
        kept.update(round(steps ** (i / (log - 1))) for i in range(log))
    for window in windows:
        kept.update(window)
    return sorted(kept)


def window_steps(window: str, steps: int) -> range:
    """The steps of "start:stop:every". Raises ValueError where a window is not written so or goes beyond `steps`."""
    found = re.fullmatch(r"\s*(\d+)\s*:\s*(\d+)\s*:\s*(\d+)\s*", window)
    if found is None:
        raise ValueError(f'dense window {window!r} is not "start:stop:every", such as "12000:14000:10"')
    start, stop, every = map(int, found.groups())
    if not start <= stop <= steps or every < 1:
        raise ValueError(f"dense window {window!r} needs start <= stop <= {steps}, the last step, and every >= 1")
    return range(start, stop + 1, every)
