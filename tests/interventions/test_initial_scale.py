"""A recipe that scales its fresh weights trains as one whose network was drawn so large."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import interp
from interp import train
from interp.errors import InterpError

RECIPE = """
task: {{modular_arithmetic: {{p: 7}}}}
model: {{mlp: {{d_model: 6, d_mlp: 8}}}}
training: {{steps: 4, optimiser: {optimiser}, seed: 3, save: {{every: 1}}, interventions: [{intervention}]}}
"""


def trained(folder: Path, intervention: str, optimiser: str = "adamw") -> interp.Run:
    (folder / "run.yaml").write_text(RECIPE.format(intervention=intervention, optimiser=optimiser))
    train.train(folder)
    return interp.open_run(folder)


@pytest.mark.parametrize(
    ("options", "scaled"),
    [
        ("alpha: 8", {"embed_a.W_E", "embed_b.W_E", "mlp.W_in", "unembed.W_U"}),
        ("alpha: 0, weights: mlp.*", {"mlp.W_in"}),
    ],
)
def test_the_weights_named_are_alpha_times_the_fresh_ones_at_step_0(
    tmp_path: Path, options: str, scaled: set[str]
) -> None:
    run = trained(tmp_path, f"{{initial_scale: {{{options}}}}}")
    alpha = 8 if len(scaled) > 1 else 0
    fresh, found = run.architecture.initial(3), run[0].weights
    for name, weight in found.items():
        expected = fresh[name] * (alpha if name in scaled else 1)
        np.testing.assert_array_equal(weight.numpy(), expected.numpy())


def test_gradient_descent_goes_on_from_there(tmp_path: Path) -> None:
    """The first update, without momentum, is the gradient at the scaled weights times the learning rate."""
    run = trained(tmp_path, "{initial_scale: {alpha: 2}}", "{sgd: {lr: 0.5}}")
    weights = {name: weight.clone().requires_grad_() for name, weight in run[0].weights.items()}
    inputs, targets = run.task.inputs[run.task.train], run.task.targets[run.task.train]
    torch.nn.functional.cross_entropy(run.architecture.outputs(weights, inputs), targets).backward()
    for name, weight in run[1].weights.items():
        torch.testing.assert_close(weight, (weights[name] - 0.5 * weights[name].grad).detach())


def test_a_pattern_that_names_nothing_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InterpError, match=r"no weight is named 'mlp\.W_on'; did you mean 'mlp\.W_in'"):
        trained(tmp_path, "{initial_scale: {alpha: 2, weights: mlp.W_on}}")
