"""Which of a run's checkpoints can be read, and what is wrong with the others."""

from __future__ import annotations

from dataclasses import dataclass, field

from interp.checkpoints.weight_source import Arrays, Shapes, WeightSource
from interp.contracts.architecture import Architecture
from interp.errors import DamagedError, InterpError
from interp.files.one_at_a_time import OneAtATime
from interp.summaries import listed_steps


class AnotherNetworkError(DamagedError):
    """Weights that are not of the shapes the recipe says."""


class DamagedCheckpointError(DamagedError):
    """A checkpoint whose weights cannot be read, or, `replaced`, are others than before; `step` says which."""

    def __init__(self, step: int, reason: str, replaced: bool = False) -> None:
        super().__init__(reason)
        self.step, self.replaced = step, replaced

    def __reduce__(self) -> tuple[type, tuple[int, str, bool]]:
        return type(self), (self.step, str(self), self.replaced)


@dataclass(frozen=True)
class LeftOut:
    """Checkpoints that cannot be read, all for one reason."""

    steps: list[int]
    reason: str

    def __str__(self) -> str:
        return f"{listed_steps(self.steps)} left out: {self.reason}"


@dataclass
class Readable:
    """What is known of the checkpoints of a source: damage is looked for once, at the first question."""

    path: str
    """The run's, for messages."""
    weights: WeightSource
    architecture: Architecture
    damage: dict[int, InterpError] = field(default_factory=dict)
    _looked_at: bool = False

    @property
    def steps(self) -> list[int]:
        """The steps whose checkpoints can be read, ascending."""
        self._look()
        return [step for step in self.weights.steps if step not in self.damage]

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """The checkpoints that cannot be read, by reason."""
        self._look()
        by_reason: dict[str, list[int]] = {}
        for step in self.weights.steps:
            if step in self.damage:
                by_reason.setdefault(str(self.damage[step]), []).append(step)
        return tuple(LeftOut(steps, reason) for reason, steps in by_reason.items())

    def why_none(self) -> InterpError:
        """What to say of a run without one checkpoint that can be read."""
        errors = [self.damage[step] for step in self.weights.steps]
        if all(isinstance(error, AnotherNetworkError) for error in errors):
            return errors[0]
        return InterpError(f"{self.path}: none of its {len(errors)} checkpoints can be read: {errors[0]}")

    def check_shapes(self, shapes: Shapes) -> None:
        """Raises AnotherNetworkError where they are not those of the architecture."""
        expected = self.architecture.shapes
        for name in sorted(shapes.keys() | expected.keys()):
            if shapes.get(name) != expected.get(name):
                raise AnotherNetworkError(
                    f"{self.path}: {name} has shape {shapes.get(name)}, the recipe says {expected.get(name)}; "
                    "the weights are another network's"
                )

    def _look(self) -> None:
        if self._looked_at:
            return
        self._looked_at = True
        for step in self.weights.steps:
            try:
                self.check_shapes(self._shapes(step))
            except InterpError as error:
                self.damage[step] = error.with_traceback(None)
            except OSError as error:
                self.damage[step] = DamagedError(f"{error.filename or self.path}: {error.strerror}")

    def _shapes(self, step: int) -> Shapes:
        if self.weights.shapes:
            return self.weights.shapes(step)
        return shapes_of(self.weights.load(step))


def shapes_of(arrays: Arrays) -> Shapes:
    """The shape of each array; arrays that are read one at a time tell them without being read."""
    return arrays.shapes if isinstance(arrays, OneAtATime) else {name: array.shape for name, array in arrays.items()}
