"""What the training loop asks of an optimiser: an update, and a state made of plain tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


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

    def update(self) -> None:
        """Move the parameters by their gradients."""
        factor = self.factor(self.updates)
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
