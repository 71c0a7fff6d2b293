"""Weights of which nobody tells what network they belong to: names and shapes, and nothing that could be run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NoReturn

from jaxtyping import Float, Shaped
from pydantic import NonNegativeInt
from torch import Tensor

from interp.contracts.architecture import Architecture, Weights
from interp.contracts.task import Task
from interp.errors import InterpError, NothingToSay

NOT_KNOWN = "nothing is known of the task, nor of the network but its weights"


def tensors(task: Task, shapes: dict[str, tuple[NonNegativeInt, ...]]) -> Tensors:
    """Weights under names and shapes of their own; what the network does with them is not known.

    Measures of the weights alone have numbers; every other says that it has none, and why. It is what the importer
    `weights` makes of anybody's state dicts. To have such a network run, write it as a module of your own: the model
    `module`.
    """
    return Tensors(task, shapes)


@dataclass(frozen=True)
class Tensors(Architecture):
    """Names and shapes; whoever asks for an output hears that there is none."""

    parameters: dict[str, tuple[int, ...]]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return dict(self.parameters)

    @property
    def description(self) -> str:
        count = len(self.parameters)
        numbers = sum(map(math.prod, self.parameters.values()))
        return f"{count:,} tensor{'s' * (count != 1)}, {numbers:,} numbers"

    def initial(self, seed: int) -> NoReturn:  # noqa: ARG002 (there is nothing to draw)
        raise InterpError(
            f"{NOT_KNOWN}, so it cannot be trained; name the model, or write it as a module of your own: model: module"
        )

    def activations(
        self,
        weights: Weights,  # noqa: ARG002 (there is nothing to run)
        inputs: Shaped[Tensor, "example ..."],  # noqa: ARG002
    ) -> dict[str, Float[Tensor, "example ..."]]:
        raise NothingToSay(NOT_KNOWN)

    def silence(self, lack: str) -> NothingToSay:  # noqa: ARG002 (what it lacks is not known either)
        return NothingToSay(NOT_KNOWN)

    def hooked(self, weights: Weights) -> NoReturn:  # noqa: ARG002
        raise NothingToSay(NOT_KNOWN)
