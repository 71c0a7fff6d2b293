"""Answers of which each starts from the one before, over a block of steps: a killed analysis goes on after the last."""

from __future__ import annotations

import contextlib
from collections.abc import Container
from pathlib import Path
from typing import Any

from interp import parts, schema
from interp.errors import DamagedError
from interp.parts import Row


class Chain:
    """The answers of one measure in one block, of which the last is kept whole while there are more to come.

    What is in its file is the last answer, with the fields that begin with "_", and the steps that led there. While the
    file is there, only the answers at those steps are known to have come of one another.
    """

    def __init__(self, file: Path, measure: str) -> None:
        self._file = file
        self._schema = schema.of_measure(measure, whole=True)
        self._measure = measure

    def rest(self, steps: list[int], good: Container[int]) -> list[int]:
        """Those of the block's steps that are to be computed, where the answers at `good` are as good as new.

        All or none of them; or, where an analysis was killed, those after the last answer. A last answer that the steps
        do not lead to is forgotten.
        """
        if not self._file.exists():
            return [] if all(step in good for step in steps) else steps
        done = self._done()
        if steps[: len(done)] == done and all(step in good for step in done):
            return steps[len(done) :]
        self._begin()
        return steps

    def previous(self) -> Any:
        """The last answer; None at the beginning."""
        if not self._done():
            self._begin()
            return None
        values = parts.read(self._file, self._schema).values
        return None if values is None else schema.record(self._measure, values)

    def add(self, step: int, answer: Any) -> None:
        """The answer at the next step; None where the weights were not finite."""
        values = None if answer is None else schema.values(self._schema, answer, self._measure)
        parts.write(self._file, self._schema, Row(values, {}), [*self._done(), step])

    def end(self) -> None:
        """All its answers are there."""
        self._file.unlink(missing_ok=True)

    def _begin(self) -> None:
        parts.write(self._file, self._schema, Row(None, {}), [])

    def _done(self) -> list[int]:
        """The steps of the answers; none where the file is not there or damaged."""
        with contextlib.suppress(FileNotFoundError, DamagedError, TypeError, KeyError):
            return parts.read_about(self._file)[0]
        return []
