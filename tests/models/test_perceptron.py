"""The perceptron on vectors: lines of NumPy, the hooked module, and how it is initialised."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from interp.catalogue.options import checked_options
from interp.contracts.architecture import HasNeurons, ReadsTwoOperands
from interp.contracts.task import Task
from interp.errors import InterpError
from interp.models.perceptron import perceptron
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.tasks.sparse_parity import sparse_parity

TASK = sparse_parity(n=7, k=2, n_train=20, n_test=20)
BY_NAME = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2,
    "tanh": np.tanh,
    "x^2": np.square,
}


@pytest.mark.parametrize("act_fn", BY_NAME)
@pytest.mark.parametrize("biases", ["none", "hidden", "all"])
def test_it_is_these_lines_of_numpy(random_weights, act_fn, biases):
    architecture = perceptron(TASK, (5, 4), act_fn, biases)
    weights = random_weights(architecture)
    w = {name: value.numpy() for name, value in weights.items()}
    first = BY_NAME[act_fn](TASK.inputs.numpy() @ w["mlp.0.W_in"] + w.get("mlp.0.b_in", 0))
    second = BY_NAME[act_fn](first @ w["mlp.1.W_in"] + w.get("mlp.1.b_in", 0))
    outputs = second @ w["unembed.W_U"] + w.get("unembed.b_U", 0)
    found = architecture.activations(weights, TASK.inputs)
    np.testing.assert_allclose(found["mlp.0.hook_post"].numpy(), first, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found[architecture.neurons].numpy(), second, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found["logits"].numpy(), outputs, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(architecture.outputs(weights, TASK.inputs), found["logits"], rtol=0, atol=0)


@pytest.mark.parametrize("widths", [(5,), (5, 3), (2, 9, 4, 3)])
@pytest.mark.parametrize("outputs", [1, 2])
def test_the_plain_function_is_the_hooked_module(random_weights, widths, outputs):
    task = sparse_parity(n=7, k=2, n_train=20, n_test=20, outputs=outputs)
    architecture = perceptron(task, widths, "gelu", "all")
    weights = random_weights(architecture)
    found = architecture.activations(weights, task.inputs)
    model = architecture.hooked(weights)
    logits, cache = model.run_with_cache(architecture.tokens(task.inputs))
    torch.testing.assert_close(found.pop("logits"), logits, rtol=1e-12, atol=1e-12)
    assert set(found) == set(model.hook_names)
    for name, value in found.items():
        torch.testing.assert_close(value, cache[name], rtol=1e-12, atol=1e-12, msg=name)
    parameters = {name: tuple(value.shape) for name, value in model.named_parameters()}
    assert parameters == architecture.shapes == {n: tuple(w.shape) for n, w in architecture.initial(0).items()}


def test_a_hook_that_silences_the_neurons_leaves_the_readout_s_bias(random_weights):
    architecture = perceptron(TASK, (5,), biases="all")
    weights = random_weights(architecture)
    model = architecture.hooked(weights)
    silent = [(architecture.neurons, lambda value, hook: 0 * value)]  # noqa: ARG005 (TransformerLens's signature)
    found = model.run_with_hooks(TASK.inputs, fwd_hooks=silent)
    assert (found == weights["unembed.b_U"]).all()
    nothing = torch.zeros(1, 5, dtype=torch.float64)
    assert torch.equal(architecture.outputs_from_neurons(weights, nothing, {}), found[:1])


def test_its_neurons_are_told_by_the_contract_and_it_reads_no_operands(random_weights):
    architecture = perceptron(TASK, (5, 4))
    assert isinstance(architecture, HasNeurons)
    assert not isinstance(architecture, ReadsTwoOperands)
    weights = random_weights(architecture)
    post = architecture.activations(weights, TASK.inputs)[architecture.neurons]
    torch.testing.assert_close(post @ architecture.readout(weights, {}), architecture.outputs(weights, TASK.inputs))


def test_images_are_read_as_one_vector(random_weights):
    images = Task("images", torch.rand(6, 3, 4), torch.zeros(6, dtype=torch.long), 10, None)
    vectors = Task("vectors", images.inputs.flatten(1), images.targets, 10, None)
    weights = random_weights(perceptron(images))
    assert weights["mlp.0.W_in"].shape == (12, 64)
    found = perceptron(images).outputs(weights, images.inputs)
    assert torch.equal(found, perceptron(vectors).outputs(weights, vectors.inputs))


@pytest.mark.parametrize(
    ("biases", "said", "names"),
    [
        ("none", "no biases", []),
        ("hidden", "hidden biases", ["mlp.0.b_in", "mlp.1.b_in"]),
        ("all", "biases", ["mlp.0.b_in", "mlp.1.b_in", "unembed.b_U"]),
        ((True, False, False), "biases in layers 1", ["mlp.0.b_in"]),
        ((False, True, True), "biases in layers 2, 3", ["mlp.1.b_in", "unembed.b_U"]),
    ],
)
def test_each_layer_has_the_bias_it_is_given(biases, said, names):
    architecture = perceptron(TASK, (5, 4), biases=biases)
    assert [name for name in architecture.shapes if ".b_" in name] == names
    assert architecture.description == f"2 hidden layers of 5, 4, relu, {said}, 1 output"


def deviations(initialisation, biases="all"):
    """The standard deviation of each parameter, of 400 inputs and 300 hidden neurons, over several seeds."""
    task = Task("vectors", torch.zeros(2, 400), torch.zeros(2, dtype=torch.long), 50, None)
    architecture = perceptron(task, (300,), biases=biases, initialisation=initialisation)
    drawn = [architecture.initial(seed) for seed in range(10)]
    return {name: torch.cat([one[name].flatten() for one in drawn]) for name in architecture.shapes}


CUT = math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2)))
"""The standard deviation of a standard normal cut off at ±2."""


@pytest.mark.parametrize(
    ("initialisation", "weight", "bias"),
    [
        ("normal", lambda d: 1 / math.sqrt(d), lambda d: 0),  # noqa: ARG005
        ("he", lambda d: math.sqrt(2 / d), lambda d: 0),  # noqa: ARG005
        ("uniform", lambda d: 1 / math.sqrt(3 * d), lambda d: 1 / math.sqrt(3 * d)),
        ("truncated_normal", lambda d: CUT / math.sqrt(d + 1), lambda d: CUT / math.sqrt(d + 1)),
    ],
)
def test_fresh_weights_and_biases_have_the_spread_that_is_stated(initialisation, weight, bias):
    for name, values in deviations(initialisation).items():
        d_in = 400 if name.startswith("mlp") else 300
        expected = (bias if ".b_" in name else weight)(d_in)
        assert float(values.std()) == pytest.approx(expected, rel=5 / math.sqrt(2 * values.numel()), abs=0), name


def test_what_is_cut_off_is_cut_off():
    drawn = deviations("uniform")
    assert float(drawn["mlp.0.W_in"].abs().max()) <= 1 / math.sqrt(400)
    drawn = deviations("truncated_normal", "hidden")
    assert float(drawn["mlp.0.b_in"].abs().max()) <= 2 / math.sqrt(401)
    assert float(drawn["unembed.W_U"].abs().max()) <= 2 / math.sqrt(300)  # no bias, no further input


def test_fresh_weights_follow_the_seed_and_leave_the_global_random_state_alone():
    before = torch.get_rng_state()
    first, again, other = (perceptron(TASK).initial(seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["unembed.W_U"], other["unembed.W_U"])


def test_pairs_of_residues_are_refused_with_the_model_that_reads_them():
    with pytest.raises(ValueError, match=r"x\+y mod 7 are to be looked up in tables; try the model mlp$"):
        perceptron(modular_arithmetic(7))


@pytest.mark.parametrize(
    ("options", "said"),
    [({"widths": ()}, "widths is empty"), ({"biases": (True,)}, "biases lists 1 layers; expected 2")],
)
def test_layers_that_do_not_go_together_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        perceptron(TASK, **options)


def test_options_are_checked_as_yaml_has_them():
    assert checked_options("models", "perceptron", {"widths": [5, 4], "biases": [True, False, True]}) == {
        "widths": (5, 4),
        "act_fn": "relu",
        "biases": (True, False, True),
        "initialisation": "truncated_normal",
        "output_scale": 1.0,
    }
    for wrong in ({"widths": [0]}, {"act_fn": "sine"}, {"biases": "some"}, {"initialisation": "xavier"}):
        with pytest.raises(InterpError, match=next(iter(wrong))):
            checked_options("models", "perceptron", wrong)
