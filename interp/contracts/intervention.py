"""What an intervention sees of a training, and where it may act: on examples, before or after an update, by hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Int, Shaped
from torch import Tensor

from interp.contracts.architecture import Architecture
from interp.contracts.loss import Loss
from interp.contracts.optimiser import KeepsState
from interp.contracts.task import Task


class Examples(NamedTuple):
    """Those of one update."""

    inputs: Shaped[Tensor, "example ..."]
    targets: Shaped[Tensor, "example ..."]
    rows: Int[Tensor, " example"]
    """The place of each among the examples trained on, in their order in the task."""


@runtime_checkable
class Training(Protocol):
    """A training as an intervention sees it: at `step` updates, with these weights."""

    @property
    def step(self) -> int: ...

    @property
    def task(self) -> Task: ...

    @property
    def architecture(self) -> Architecture: ...

    @property
    def loss(self) -> Loss: ...

    @property
    def optimiser(self) -> KeepsState: ...

    @property
    def rate(self) -> float:
        """What the learning rate of the present update is multiplied by, 1 unless it is changed before the update."""
        ...

    @rate.setter
    def rate(self, factor: float) -> None: ...

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """Changed in place, under torch.no_grad(); before an update each has its gradient in `.grad`."""
        ...


def _unchanged(training: Training) -> None:
    """Do nothing."""


def _any_task(task: Task) -> None:
    """Raise nothing."""


@dataclass(frozen=True)
class Intervention:
    """What is done to a training in the updates from number `start` (0 is the first) up to, not with, `stop`."""

    at_start: Callable[[Training], None] = _unchanged
    """Once, on the fresh weights, before step 0 is saved; not again where a training is resumed."""
    examples: Callable[[Training, Examples], Examples] | None = None
    """The examples of an update -> those that it sees."""
    before_update: Callable[[Training], None] = _unchanged
    """After the gradients are there, before the optimiser moves the weights."""
    after_update: Callable[[Training], None] = _unchanged
    """After the optimiser has moved the weights; `step` counts the update already."""
    hooks: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    """Hook name -> what the activation there, [example, ...], becomes in the forward pass of an update."""
    check: Callable[[Task], None] = _any_task
    """Raises InterpError, one line, where it cannot act in a training of the task: asked before anything is trained."""
    start: int = 0
    stop: int | None = None
    state: dict[str, Tensor] = field(default_factory=dict)
    """What it remembers from one update to the next, by name: saved with the training, and put back here, as other
    tensors, where it is resumed. So it is read from here whenever it is needed."""

    def acts(self, step: int) -> bool:
        """Whether it acts in the update that starts at `step`."""
        return self.start <= step and (self.stop is None or step < self.stop)
