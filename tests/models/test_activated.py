"""What goes into the last hidden layer's neurons comes out as their activations, by the contract of every network."""

from __future__ import annotations

import pytest
import torch

from interp.catalogue.names import find
from interp.errors import NothingToSay
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.tasks.sparse_parity import sparse_parity

MODELS = {
    "mlp": {"d_model": 3, "d_mlp": (4, 5), "n_layers": 2, "act_fn": "gelu"},
    "quadratic": {"d_mlp": 4},
    "factored_mlp": {"d_model": 3, "d_mlp": 4},
    "transformer": {"d_model": 4, "n_heads": 2, "d_mlp": 5, "act_fn": "silu", "norm": "layer"},
    "perceptron": {"widths": (4, 3), "act_fn": "tanh"},
}


@pytest.mark.parametrize("name", MODELS)
def test_the_activations_are_those_of_the_network_itself(name, random_weights):
    task = sparse_parity(n=6, k=2, n_train=5, n_test=5) if name == "perceptron" else modular_arithmetic(5)
    architecture = find("models", name)(task, **MODELS[name])
    weights = random_weights(architecture)
    model = architecture.hooked(weights)
    _, cache = model.run_with_cache(architecture.tokens(task.inputs))
    pre, post = (cache[architecture.neurons.replace("post", end)].flatten(0, -2) for end in ("pre", "post"))
    torch.testing.assert_close(architecture.activated(weights, pre), post, rtol=1e-12, atol=0)


def test_gated_neurons_have_two_inputs(random_weights):
    gated = find("models", "transformer")(modular_arithmetic(5), d_model=4, n_heads=2, d_mlp=5, gated=True)
    with pytest.raises(NothingToSay, match="the neurons are gated, so that each has two inputs"):
        gated.activated(random_weights(gated), torch.zeros(1, 5).double())
