"""The own gradient of networks whose neurons see the sum of two operands is that of automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from interp.contracts.architecture import WritesGradients
from interp.contracts.loss import Loss
from interp.losses.cross_entropy import cross_entropy
from interp.losses.mse import mse
from interp.models.factored_mlp import factored_mlp
from interp.models.quadratic import quadratic
from interp.models.shared.activations import ACTIVATIONS
from interp.models.shared.sum_passes import NARROW, SumPasses
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.training.rows import Layout, Scratch

NETWORKS: dict[str, Callable[[Any], Any]] = {
    "factored": lambda task: factored_mlp(task, 9, 6),
    "factored, squares": lambda task: factored_mlp(task, 9, 6, "x^2"),
    "circle": lambda task: factored_mlp(task, d_mlp=5, embedding="circle"),
    "circle, squares": lambda task: factored_mlp(task, d_mlp=5, embedding="circle", act_fn="x^2"),
    "quadratic": lambda task: quadratic(task, 17),
    "factored, wide": lambda task: factored_mlp(task, 9, NARROW + 3),
    "quadratic, wide": lambda task: quadratic(task, NARROW + 3),
}


@pytest.mark.parametrize("loss", [cross_entropy, lambda: cross_entropy("examples_and_classes"), mse])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("p", [7, 41])
def test_it_is_that_of_automatic_differentiation(loss: Callable[[], Loss], name: str, p: int) -> None:
    """Of 7 residues, and of 41, whose pairs are more than are computed at once."""
    task = modular_arithmetic(p)
    network = NETWORKS[name](task)
    assert isinstance(network, WritesGradients)
    layout, buffers = Layout(network.shapes, torch.float64), Scratch(torch.float64)
    weights, gradients = (layout.views(layout.matrix(1)[0]) for _ in range(2))
    for seed, inputs, targets in (
        (1, task.pairs, task.targets),
        (2, task.pairs[::3], task.targets[::3]),  # meets what the first has left in memory
    ):
        leaves = {key: 2 * w.double() for key, w in network.initial(seed).items()}
        for key, leaf in leaves.items():
            weights[key].copy_(leaf)
            leaf.requires_grad_()
        expected = network.outputs(leaves, inputs)
        loss().mean(expected, targets).backward()
        with torch.no_grad():
            passes = network.passes(weights, gradients, buffers)
            assert passes is not None
            for _ in range(2):
                outputs = passes.outputs(inputs)
                slope = buffers("slope", tuple(outputs.shape))
                loss().slope_writer(targets, outputs)(outputs, slope)
                passes.write_gradients(slope)
        torch.testing.assert_close(outputs, expected, rtol=1e-10, atol=1e-12)
        for key, leaf in leaves.items():
            assert leaf.grad is not None
            torch.testing.assert_close(gradients[key], leaf.grad, rtol=1e-10, atol=1e-12, msg=key)


@pytest.mark.parametrize("act_fn", ACTIVATIONS)
def test_it_is_so_with_every_activation_function(act_fn: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: torch.randn(shape, generator=generator, dtype=torch.float64)
        for name, shape in {"T": (7, 6), "W": (6, 4)}.items()
    }
    gradients = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    pairs = torch.cartesian_prod(torch.arange(7), torch.arange(7))
    slope = torch.randn(49, 4, generator=generator, dtype=torch.float64)
    passes = SumPasses(lambda w: (w["T"], w["T"], w["W"]), act_fn, weights, gradients, Scratch(torch.float64))
    with torch.no_grad():
        outputs = passes.outputs(pairs)
        passes.write_gradients(slope)
    leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    expected = ACTIVATIONS[act_fn](leaves["T"][pairs[:, 0]] + leaves["T"][pairs[:, 1]]) @ leaves["W"]
    expected.backward(slope)
    torch.testing.assert_close(outputs, expected)
    for name, leaf in leaves.items():
        torch.testing.assert_close(gradients[name], leaf.grad)
