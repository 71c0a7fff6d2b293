"""Which of a run's checkpoints to visit: "all", {every: 500}, {count: 50}, or a list of steps."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from typing import Any

from interp.errors import InterpError, near_misses

Steps = Any
"""As in YAML: "all" | {"every": int} | {"count": int} | list[int]."""


def check(spec: Steps) -> None:
    """Raises InterpError where `spec` is of none of the four forms."""
    if spec == "all":
        return
    if isinstance(spec, dict) and len(spec) == 1:
        (name, number), *_ = spec.items()
        if name not in ("every", "count"):
            raise InterpError(f"steps has no {name!r}{near_misses(str(name), ('every', 'count'))}")
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise InterpError(f"steps: {name} is {number!r}; expected a whole number above 0")
        return
    if isinstance(spec, list) and spec and all(isinstance(step, int) and not isinstance(step, bool) for step in spec):
        return
    raise InterpError(f"steps is {spec!r}; expected all, {{every: 500}}, {{count: 50}} or a list of steps")


def not_there(step: int, available: Sequence[int], name: str) -> str:
    """What to say of a step that is not among those available, ascending."""
    place = bisect.bisect(available, step)
    nearest = " and ".join(f"{near:,}" for near in available[max(place - 1, 0) : place + 1])
    return f"{name} has no checkpoint at step {step:,}; the nearest are {nearest}"


def close_together(visited: Sequence[int], available: Sequence[int]) -> list[tuple[int, int]]:
    """From where to where those visited, ascending, leave out at most half as many of those available as elsewhere.

    First and last step of each stretch of three or more; none where they are evenly spread.
    """
    places = [bisect.bisect_left(available, step) for step in visited]
    apart = [after - before for before, after in itertools.pairwise(places)]
    stretches, first = [], 0
    for place, far in enumerate([*apart, max(apart, default=0)]):
        if 2 * far > max(apart, default=0):
            if place - first >= 2:
                stretches.append((visited[first], visited[place]))
            first = place + 1
    return stretches


def choose(spec: Steps, available: Sequence[int], name: str) -> list[int]:
    """The steps of `available` (ascending) that `spec` asks for; the last is always among an `every` or `count`.

    Raises InterpError where a listed step is not there, naming the nearest ones.
    """
    check(spec)
    if spec == "all":
        return list(available)
    if isinstance(spec, list):
        for step in spec:
            if step not in available:
                raise InterpError(not_there(step, available, name))
        return sorted(set(spec))
    if "every" in spec:
        return [step for step in available if step % spec["every"] == 0 or step == available[-1]]
    last = len(available) - 1
    if spec["count"] == 1:
        return [available[-1]]
    places = {round(last * part / (spec["count"] - 1)) for part in range(spec["count"])}
    return [available[place] for place in sorted(places)]
