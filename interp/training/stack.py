"""Networks that are trained together: one after another through forward and backward pass, then one update for all.

A stack is a matrix [member, parameter] for each of weights, gradients and what the update keeps, in which a network's
own arrays are views. Nothing that is computed for a member depends on the others: each meets its own products, sums and
losses, as it would alone, and the update they share works element by element. So members may be at different steps,
have other examples, options, losses and interventions, and leave when they are done. They must have the same shapes,
type of numbers, number of threads and kind of update (`Plan.stacks_with`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from interp.contracts.optimiser import MovesAlone, Rows
from interp.training.plan import Plan, PlannedRun
from interp.training.rows import Layout, Scratch
from interp.training.state import InRows, Training

MOST_MEMBERS = 16
"""More of them gain nothing: what is done once a stack is then a small share."""
MOST_BYTES = 1 << 26
"""What the rows of a stack of several networks may take."""


class Stack:
    """Trainings that have rows of the same matrices."""

    def __init__(self, trainings: Sequence[Training]) -> None:
        """Take these in; they begin where their weights are, and load their states afterwards."""
        first = trainings[0]
        self._layout = Layout(first.architecture.shapes, first.plan.dtype)
        self._buffers = Scratch(first.plan.dtype)
        self._rule = first.rule
        self.trainings: list[Training] = []
        self._bind(trainings)

    def update(self) -> list[Training]:
        """Make one update of every member; those whose loss is not finite leave, unmoved, and are returned."""
        with torch.no_grad():
            acting = {id(training): training.acting() for training in self.trainings if training.interventions}
            diverged = [
                training
                for training in self.trainings
                if not math.isfinite(training.write_gradients(acting.get(id(training), ()), self._buffers))
            ]
            self.leave(diverged)
            for training in self.trainings if acting else ():
                if of_it := acting.get(id(training)):
                    for intervention in of_it:
                        intervention.before_update(training)
                    training.take_gradients()
            if self.trainings:
                self._move()
            for training in self.trainings:
                training.step += 1
            for training in self.trainings if acting else ():
                for intervention in acting.get(id(training), ()):
                    intervention.after_update(training)
        return diverged

    def leave(self, trainings: Sequence[Training]) -> None:
        """Go on without these; their weights stay as they are."""
        if trainings:
            self._bind([one for one in self.trainings if not any(one is other for other in trainings)])

    def _move(self) -> None:
        if self._rule is None:
            for training in self.trainings:
                assert isinstance(training.optimiser, MovesAlone)
                training.optimiser.update(training.evaluate, training.rate)
            return
        for place, training in enumerate(self.trainings):
            assert training.rule is not None
            self._numbers[:, place, 0] = training.rule.numbers(training.step - training.counts_from, training.rate)
        self._columns.copy_(torch.from_numpy(self._numbers))
        self._rule.move(self._rows, *self._columns.unbind())

    def _bind(self, trainings: Sequence[Training]) -> None:
        """Give each training a row, into which its numbers are copied; a row of its own to one that moves alone."""
        self.trainings = list(trainings)
        count, matrix = len(self.trainings), self._layout.matrix
        kept = self._rule.kept if self._rule else ()
        scratch = [matrix(count) for _ in range(2)] if self._rule else []
        self._rows = Rows(
            weights=matrix(count),
            gradients=matrix(count),
            kept={name: matrix(count) for name in kept},
            scratch=scratch,
            parts=self._layout.parts,
            generators=[
                one.optimiser.generator
                for one in self.trainings
                if isinstance(one.optimiser, InRows) and one.optimiser.generator
            ],
        )
        if self._rule:
            self._numbers = np.zeros((len(self._rule.numbers(0, 1.0)), count, 1))
            self._columns = torch.zeros(self._numbers.shape, dtype=self._layout.dtype)
        with torch.no_grad():
            for place, training in enumerate(self.trainings):
                self._take_in(training, place)

    def _take_in(self, training: Training, place: int) -> None:
        views, gradients = (self._layout.views(matrix[place]) for matrix in (self._rows.weights, self._rows.gradients))
        training.lie_in(views, gradients, self._buffers)
        if isinstance(training.optimiser, InRows):
            kept = {name: self._layout.views(matrix[place]) for name, matrix in self._rows.kept.items()}
            for name, part in training.optimiser.kept.items():
                for parameter, array in part.items():
                    kept[name][parameter].copy_(array)
            training.optimiser.kept = kept


def most_members(plan: Plan) -> int:
    """Return how many members like this one a stack holds, so that its memory is bounded."""
    rule = plan.rule
    arrays = 4 + len(rule.kept) if rule else 4
    return max(1, min(MOST_MEMBERS, MOST_BYTES // (arrays * plan.n_parameters * plan.dtype.itemsize)))


def stacks(members: Sequence[PlannedRun], at_most: int = MOST_MEMBERS) -> list[list[PlannedRun]]:
    """Share the members out to stacks of at most so many, in their order; those that do not go together to others."""
    alike: dict[object, list[PlannedRun]] = {}
    for member in members:
        alike.setdefault(member.plan.stacks_with, []).append(member)
    found = []
    for of_one in alike.values():
        size = min(at_most, most_members(of_one[0].plan))
        found += [of_one[start : start + size] for start in range(0, len(of_one), size)]
    return found
