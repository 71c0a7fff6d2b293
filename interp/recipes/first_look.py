"""With which analysis to begin on a run, and on a sweep."""

from __future__ import annotations

from interp.contracts.task import Task, TwoOperands, UnknownTask
from interp.maths.groups.cyclic_group import CyclicGroup

OF_A_SWEEP = "sweep"
"""What became of each of its runs, whatever its task is."""


def first_look(task: Task) -> str:
    """The name of the analysis that says most of a network on this task.

    That of weights where nobody knows the task, that of representations and cosets on a group, and else that of
    frequencies, which sums modulo p have and from which every task has its losses.
    """
    if isinstance(task, UnknownTask):
        return "weights"
    group = task.structure if isinstance(task, TwoOperands) else None
    return "fourier" if group is None or isinstance(group, CyclicGroup) else "groups"
