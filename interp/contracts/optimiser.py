"""How weights are moved by their gradients: by a rule that moves a whole stack of networks, or one network alone.

An optimiser's function returns one of the two. An `UpdateRule` is told its options alone; it moves all members of a
stack at once, each by its own numbers. A function that takes `weights` first, name -> tensor, returns what
`MovesAlone`: an `Optimiser`, which is any of torch's, or an update that asks for gradients more than once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

Column = Float[Tensor, "member 1"]
"""One number for each member of a stack."""


@runtime_checkable
class KeepsState(Protocol):
    """The optimiser of one network, as its training and interventions see it."""

    def state(self) -> dict[str, Tensor]:
        """All that the next update depends on beside weights, gradients and the step, by name."""
        ...

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state()` gave."""
        ...


@runtime_checkable
class MovesAlone(KeepsState, Protocol):
    """The optimiser of one network, which nothing is stacked with."""

    def update(self, evaluate: Evaluate, rate: float) -> None:
        """Move the weights by their gradients, which are there; `rate` is what the learning rate is multiplied by."""
        ...


Evaluate = Callable[[], float]
"""Computes the loss at the weights as they are now, on the examples of the update, and writes each one's gradient."""


@dataclass(frozen=True)
class Rows:
    """Stacked networks, a row each: all parameters of one lie side by side, between them a few places that stay 0."""

    weights: Float[Tensor, "member parameter"]
    gradients: Float[Tensor, "member parameter"]
    kept: Mapping[str, Float[Tensor, "member parameter"]]
    """What the rule keeps from one update to the next, by the names in `UpdateRule.kept`; 0 at first."""
    scratch: Sequence[Float[Tensor, "member parameter"]]
    """Two arrays to write intermediate values to."""
    parts: Mapping[str, slice]
    """Where in a row each parameter lies."""
    generators: Sequence[torch.Generator] = ()
    """Each member's own, of a rule that draws."""

    def draw_normal(self, out: Float[Tensor, "member parameter"]) -> Float[Tensor, "member parameter"]:
        """Write N(0, 1) to every place of a parameter, from the generator of its member."""
        for row, generator in zip(out, self.generators, strict=True):
            for part in self.parts.values():
                row[part].normal_(generator=generator)
        return out


class UpdateRule(ABC):
    """The formula of an update, with one network's options.

    So that a network comes out the same to the last bit whatever is stacked beside it, `move` multiplies, adds, divides
    and takes roots element by element, one operation at a time: each of these is rounded exactly. Sums over rows, and
    operations that do two things at once (`addcmul_`, `lerp_`, `add_` with alpha), are not; a sum over one parameter of
    one member is.
    """

    @property
    def kept(self) -> tuple[str, ...]:
        """The names of the arrays that it keeps, each as large as the weights."""
        return ()

    @property
    def draws(self) -> int | None:
        """The seed of the random numbers that it draws, by `Rows.draw_normal`; None where it draws none."""
        return None

    @property
    def operations(self) -> Hashable:
        """What the options say about the operations themselves; networks that differ in it are not stacked."""
        return ()

    def check(self, weights: Iterable[str]) -> None:  # noqa: B027 (most rules suit every network)
        """Raises InterpError where the options are not for a network with weights of these names."""

    @abstractmethod
    def numbers(self, update: int, rate: float) -> tuple[float, ...]:
        """Return the numbers of update number `update` (0 is the first): learning rate, decay and the like.

        `rate` is what the learning rate is multiplied by: 1, but for an intervention.
        """

    @abstractmethod
    def move(self, rows: Rows, *numbers: Column) -> None:
        """Change `rows.weights` and `rows.kept` in place; `numbers` are columns of what `numbers` returns."""


@dataclass
class Optimiser:
    """A torch optimiser whose learning rate at update i (from 0) is its own times `factor(i)`.

    Serves every torch optimiser that keeps nothing but tensors for each parameter.
    """

    torch_optimiser: torch.optim.Optimizer
    factor: Callable[[int], float] = lambda _: 1.0
    updates: int = 0
    _rates: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self._rates = [group["lr"] for group in self.torch_optimiser.param_groups]

    def update(self, evaluate: Evaluate, rate: float) -> None:  # noqa: ARG002 (gradients are there)
        """Move the parameters by their gradients."""
        factor = self.factor(self.updates) * rate
        for group, rate in zip(self.torch_optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        self.torch_optimiser.step()
        self.updates += 1

    def state(self) -> dict[str, Tensor]:
        """All that the next update depends on beside parameters and gradients, by name."""
        kept = self.torch_optimiser.state_dict()["state"]
        tensors = {f"{row}.{name}": value for row, of_row in kept.items() for name, value in of_row.items()}
        return {"updates": torch.tensor(self.updates), **{k: v for k, v in tensors.items() if v is not None}}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state()` gave."""
        self.updates = int(state["updates"])
        rows: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            if key != "updates":
                row, name = key.split(".", 1)
                rows.setdefault(int(row), {})[name] = value
        self.torch_optimiser.load_state_dict({**self.torch_optimiser.state_dict(), "state": rows})
