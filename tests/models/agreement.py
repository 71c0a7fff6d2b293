"""What every network owes: that its paths are one network, and its own gradient that of automatic differentiation."""

from __future__ import annotations

from typing import Any

import torch

from interp.contracts.architecture import WritesGradients
from interp.contracts.loss import Loss
from interp.training.rows import Layout, Scratch


def assert_plain_is_hooked(architecture: Any, weights: dict[str, torch.Tensor]) -> None:
    """Every activation by hook name, all that the module has, and the parameters' names and shapes."""
    found = architecture.activations(weights, architecture.task.inputs)
    model = architecture.hooked(weights)
    outputs, cache = model.run_with_cache(architecture.tokens(architecture.task.inputs))
    torch.testing.assert_close(found.pop("logits"), architecture.from_module(outputs), rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(
        architecture.outputs(weights, architecture.task.inputs),
        architecture.from_module(outputs),
        rtol=1e-11,
        atol=1e-12,
    )
    assert set(found) == set(model.hook_names)
    for name, value in found.items():
        torch.testing.assert_close(value, cache[name], rtol=1e-11, atol=1e-12, msg=name)
    parameters = {name: tuple(value.shape) for name, value in model.named_parameters()}
    assert parameters == architecture.shapes == {n: tuple(w.shape) for n, w in architecture.initial(0).items()}


def assert_writes_its_gradient(network: Any, loss: Loss) -> None:
    """By its own passes, in memory that other weights have used before; on all examples, then on a third of them."""
    assert isinstance(network, WritesGradients)
    task = network.task
    inputs = task.inputs.double() if task.inputs.is_floating_point() else task.inputs
    layout, buffers = Layout(network.shapes, torch.float64), Scratch(torch.float64)
    weights, gradients = (layout.views(layout.matrix(1)[0]) for _ in range(2))
    for seed, some in ((1, slice(None)), (2, slice(None, None, 3))):
        leaves = {name: 2 * w.double() for name, w in network.initial(seed).items()}
        for name, leaf in leaves.items():
            weights[name].copy_(leaf)
            leaf.requires_grad_()
        seen, targets = inputs[some].clone(), task.targets[some]
        expected = network.outputs(leaves, seen)
        loss.mean(expected, targets).backward()
        with torch.no_grad():
            passes = network.passes(weights, gradients, buffers)
            assert passes is not None
            for _ in range(2):
                outputs = passes.outputs(seen)
                torch.testing.assert_close(outputs, expected.detach(), rtol=1e-10, atol=1e-12)
                slope = buffers("slope", tuple(outputs.shape))
                loss.slope_writer(targets, outputs)(outputs, slope)
                passes.write_gradients(slope)
        for name, leaf in leaves.items():
            assert leaf.grad is not None
            torch.testing.assert_close(gradients[name], leaf.grad, rtol=1e-9, atol=1e-12, msg=name)
