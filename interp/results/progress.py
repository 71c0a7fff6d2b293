"""How far an analysis is: rows done of all its runs and measures, and the time that is left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far an analysis is."""

    run: str
    measure: str
    """The label of the measure at work."""
    done: int
    total: int
    """Rows: one for each measure at each checkpoint it visits."""
    seconds_left: float | None
    """None until there is something to tell it by."""


class Meter:
    """Counts rows as they are told, and tells `progress` of them."""

    def __init__(self, rows: Mapping[str, int], jobs: int, progress: Callable[[Progress], None] | None) -> None:
        """`rows`: label -> rows to compute."""
        self._left = Counter(rows)
        self._total, self._done = sum(rows.values()), 0
        self._jobs, self._progress = jobs, progress
        self._seconds: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._begun = time.monotonic()

    def tell(self, what: dict) -> None:
        """`what`: the run and label of a row that is begun; with its seconds, of one that is done."""
        label, seconds = str(what["measure"]), what.get("seconds")
        if seconds is not None:
            self._done += 1
            self._left[label] -= 1
            self._counts[label] += 1
            self._seconds[label] += seconds
        if self._progress:
            left = self._seconds_left()
            self._progress(Progress(str(what["run"]), label, min(self._done, self._total), self._total, left))

    def _seconds_left(self) -> float | None:
        """The rows left of each measure at the mean of its own; of one that is not measured yet, at that of all."""
        if not self._done:
            return None
        mean_of_all = self._seconds.total() / self._counts.total()
        means = {label: self._seconds[label] / count for label, count in self._counts.items()}
        work = sum(max(count, 0) * means.get(label, mean_of_all) for label, count in self._left.items())
        return work / self._jobs
