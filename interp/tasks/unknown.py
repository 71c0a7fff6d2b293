"""A task of which nothing is known."""

from __future__ import annotations

from interp.contracts.task import Task, UnknownTask


def unknown() -> Task:
    """Nothing is known of the task, of weights whose authors do not tell it.

    Measures of the weights alone have numbers; every other says that it has none, and why.
    """
    return UnknownTask()
