"""Small trainings for the tests of this folder, and interventions that exist in them alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from interp.contracts.intervention import Intervention
from interp.contracts.task import Task
from interp.models.mlp import mlp
from interp.models.transformer import transformer
from interp.recipes.call import Call
from interp.recipes.run_recipe import CROSS_ENTROPY, Training
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.training.plan import Plan


@dataclass(frozen=True)
class Planted(Call):
    """A call of what is no name."""

    makes: Callable[[], Any] = Intervention

    def __call__(self) -> Any:
        return self.makes()


def planted(*makers: Callable[[], Intervention]) -> tuple[Call, ...]:
    return tuple(Planted("interventions", "planted", {}, maker) for maker in makers)


def plan(
    network: Callable[[Task], Any] = lambda task: transformer(task, d_model=16, n_heads=2, d_mlp=32),
    *,
    recipe: str = "",
    lr: float = 1e-3,
    task: Task | None = None,
    **training: Any,
) -> Plan:
    """Addition modulo 11; 40 updates of which every tenth is kept, unless told otherwise."""
    task = task or modular_arithmetic(p=11)
    options: dict[str, Any] = {"steps": 40, "seed": 1, "save": {"every": 10}, "loss": CROSS_ENTROPY, **training}
    chosen = Training(optimiser=Call("optimisers", "adamw", {"lr": lr}), **options)
    return Plan(task, network(task), chosen, recipe)


def small_mlp(task: Task) -> Any:
    return mlp(task, d_mlp=8)


def walking_scale() -> Intervention:
    """From update 5 to 29 all weights take the size that they had three updates before: it remembers three sizes."""
    state = {"sizes": torch.ones(3)}

    def after_update(training: Any) -> None:
        size = torch.stack([weight.square().sum() for weight in training.weights.values()]).sum().sqrt()
        for weight in training.weights.values():
            weight *= state["sizes"][0] / size if training.step > 8 else 1
        state["sizes"] = torch.cat([state["sizes"][1:], size[None]])

    return Intervention(after_update=after_update, start=5, stop=30, state=state)
