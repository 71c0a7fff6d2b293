"""A transformer's own gradient is that of automatic differentiation."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from interp.losses.cross_entropy import cross_entropy
from interp.models.transformer import passes as made
from interp.models.transformer import transformer
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.training.rows import Layout, Scratch

SMALL: dict[str, Any] = {"d_model": 12, "n_heads": 3, "d_mlp": 7}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"biases": "all"},
    {"biases": "none", "positions": "none"},
    {"attention_rate": 0.3},
    {"shared_vocab": False, "d_head": 5},
    {"embedding_scale": 2.5},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_is_that_of_automatic_differentiation(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "PAIRS_AT_ONCE", 16)
    task = modular_arithmetic(p=7)
    network = transformer(task, **SMALL, **options)
    layout, buffers = Layout(network.shapes, torch.float64), Scratch(torch.float64)
    weights, gradients = (layout.views(layout.matrix(1)[0]) for _ in range(2))
    for seed in (1, 2):  # the second meets what the first has left in memory
        generator = torch.Generator().manual_seed(seed)
        leaves = {
            name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in network.shapes.items()
        }
        for name, leaf in leaves.items():
            weights[name].copy_(leaf)
            leaf.requires_grad_()
        expected = network.outputs(leaves, task.inputs)
        cross_entropy().mean(expected, task.targets).backward()
        with torch.no_grad():
            passes = network.passes(weights, gradients, buffers)
            assert passes is not None
            for _ in range(2):
                outputs = passes.outputs(task.inputs)
                slope = buffers("slope", tuple(outputs.shape))
                cross_entropy().slope_writer(task.targets, outputs)(outputs, slope)
                passes.write_gradients(slope)
        torch.testing.assert_close(outputs, expected, rtol=1e-10, atol=1e-10)
        for name, leaf in leaves.items():
            assert leaf.grad is not None
            torch.testing.assert_close(gradients[name], leaf.grad, rtol=1e-9, atol=1e-11, msg=name)


@pytest.mark.parametrize(
    "options", [{"act_fn": "gelu"}, {"n_layers": 2}, {"norm": "layer"}, {"row": "a b"}, {"answers": 1, "d_vocab": 9}]
)
def test_what_it_is_not_for_is_differentiated(options: dict[str, Any]) -> None:
    network = transformer(modular_arithmetic(p=7), **SMALL, **options)
    assert network.passes(network.initial(0), network.initial(0), Scratch(torch.float32)) is None
