"""The perceptron's own gradient is that of automatic differentiation, for every loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from interp.contracts.architecture import WritesGradients
from interp.contracts.loss import Loss
from interp.losses.cross_entropy import cross_entropy
from interp.losses.hinge import hinge
from interp.losses.logistic import logistic
from interp.losses.mse import mse
from interp.models.perceptron import perceptron
from interp.models.shared.activations import ACTIVATIONS
from interp.models.shared.dense_passes import WIDE
from interp.tasks.sparse_parity import sparse_parity
from interp.training.rows import Layout, Scratch

LOSSES = [cross_entropy, mse, hinge, lambda: logistic(0.3, 0.9)]
NETWORKS: list[dict[str, Any]] = [
    {"widths": (17,)},
    {"widths": (WIDE,)},
    {"widths": (WIDE + 3,), "biases": "none"},
    {"widths": (WIDE + 3,), "biases": "all"},
    {"widths": (WIDE + 1, 3)},
    {"widths": (1,), "biases": "all"},
    {"widths": (5, 1, 3), "biases": (True, False, True, True)},
    *({"widths": (4, 3), "act_fn": act_fn, "biases": "all"} for act_fn in ACTIVATIONS),
]


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("options", NETWORKS, ids=str)
@pytest.mark.parametrize("loss", LOSSES)
def test_it_is_that_of_automatic_differentiation(
    loss: Callable[[], Loss], options: dict[str, Any], n_outputs: int
) -> None:
    if n_outputs > 1 and loss is LOSSES[-1]:
        return  # it is for one output
    task = sparse_parity(n=10, n_train=53, n_test=0, outputs=n_outputs)
    network = perceptron(task, **options)
    assert isinstance(network, WritesGradients)
    layout, buffers = Layout(network.shapes, torch.float64), Scratch(torch.float64)
    inputs, weights, gradients = task.inputs.double(), *(layout.views(layout.matrix(1)[0]) for _ in range(2))
    for seed in (1, 2):  # the second meets what the first has left in memory
        leaves = {name: 2 * w.double() for name, w in network.initial(seed).items()}
        for name, leaf in leaves.items():
            weights[name].copy_(leaf)
            leaf.requires_grad_()
        mean = loss().mean(network.outputs(leaves, inputs), task.targets)
        mean.backward()
        with torch.no_grad():
            passes = network.passes(weights, gradients, buffers)
            for _ in range(2):
                outputs = passes.outputs(inputs)
                slope = buffers("slope", tuple(outputs.shape))
                loss().slope_writer(task.targets, outputs)(outputs, slope)
                passes.write_gradients(slope)
        for name, leaf in leaves.items():
            assert leaf.grad is not None
            torch.testing.assert_close(gradients[name], leaf.grad, rtol=1e-10, atol=1e-12, msg=name)
