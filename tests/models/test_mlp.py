"""The multilayer perceptron and its variants."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from interp.catalogue.options import checked_options
from interp.errors import InterpError
from interp.maths.cross_entropy import cross_entropy
from interp.models.mlp import mlp
from interp.tasks.modular_arithmetic import modular_arithmetic


def test_an_mlp_is_these_lines_of_numpy(random_weights):
    architecture = mlp(modular_arithmetic(5), 4, 6, biases="all")
    weights = random_weights(architecture)
    w = {name: value.numpy() for name, value in weights.items()}
    a, b = architecture.task.pairs.numpy().T
    x = np.concatenate([w["embed_a.W_E"][a], w["embed_b.W_E"][b]], axis=1)
    logits = np.maximum(x @ w["mlp.W_in"] + w["mlp.b_in"], 0) @ w["unembed.W_U"] + w["unembed.b_U"]
    found = architecture.activations(weights, architecture.task.pairs)["logits"].numpy()
    np.testing.assert_allclose(found, logits, rtol=1e-12, atol=1e-12)


def test_a_second_hidden_layer_goes_between_the_first_and_the_logits(random_weights):
    architecture = mlp(modular_arithmetic(5), 4, 6, 2, shared_embedding=True, combine="added", biases="hidden")
    weights = random_weights(architecture)
    w = {name: value.numpy() for name, value in weights.items()}
    a, b = architecture.task.pairs.numpy().T
    x = w["embed.W_E"][a] + w["embed.W_E"][b]
    first = np.maximum(x @ w["mlp.W_in"] + w["mlp.b_in"], 0)
    second = np.maximum(first @ w["mlp2.W_in"] + w["mlp2.b_in"], 0)
    found = architecture.activations(weights, architecture.task.pairs)
    np.testing.assert_allclose(found[architecture.neurons].numpy(), second, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found["logits"].numpy(), second @ w["unembed.W_U"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shared", [False, True])
def test_one_hot_operands_meet_the_first_matrix_itself(shared, random_weights):
    architecture = mlp(
        modular_arithmetic(5), d_mlp=(6, 4), n_layers=2, biases="all", shared_embedding=shared, one_hot=True
    )
    weights = random_weights(architecture)
    w = {name: value.numpy() for name, value in weights.items()}
    one_hot = np.eye(5)[architecture.task.pairs.numpy()]  # [pair, operand, p]
    x = one_hot.sum(axis=1) if shared else one_hot.reshape(-1, 10)
    first = w["embed.W_E"] if shared else np.concatenate([w["embed_a.W_E"], w["embed_b.W_E"]])
    hidden = np.maximum(x @ first + w["mlp.b_in"], 0)
    hidden = np.maximum(hidden @ w["mlp2.W_in"] + w["mlp2.b_in"], 0)
    logits = hidden @ w["unembed.W_U"] + w["unembed.b_U"]
    pairs = architecture.task.pairs
    np.testing.assert_allclose(architecture.outputs(weights, pairs).numpy(), logits, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(architecture.hooked(weights)(pairs), torch.from_numpy(logits))
    operands = architecture.operands(weights, pairs)
    torch.testing.assert_close(architecture.logits_of_operands(weights, operands), torch.from_numpy(logits))


def test_widths_are_one_number_or_one_a_layer():
    shapes = mlp(modular_arithmetic(7), 4, (5, 6, 3), n_layers=3).shapes
    assert [shapes[f"{layer}.W_in"] for layer in ("mlp", "mlp2", "mlp3")] == [(8, 5), (5, 6), (6, 3)]
    with pytest.raises(ValueError, match="d_mlp lists 2 widths for 3 hidden layers"):
        mlp(modular_arithmetic(7), 4, (5, 6), n_layers=3)


def test_added_operands_are_concatenated_ones_that_meet_the_same_weights(random_weights):
    added = mlp(modular_arithmetic(5), 4, 6, combine="added")
    concatenated = mlp(modular_arithmetic(5), 4, 6)
    weights = random_weights(added)
    twice = weights | {"mlp.W_in": weights["mlp.W_in"].repeat(2, 1)}
    pairs = added.task.pairs
    torch.testing.assert_close(added.outputs(weights, pairs), concatenated.outputs(twice, pairs))


@pytest.mark.parametrize("shared_embedding", [False, True])
def test_averaged_operands_are_half_of_added_ones(shared_embedding, random_weights):
    options = {"shared_embedding": shared_embedding, "biases": "all"}
    averaged = mlp(modular_arithmetic(5), 4, 6, combine="averaged", **options)
    added = mlp(modular_arithmetic(5), 4, 6, combine="added", **options)
    weights = random_weights(averaged)
    half = weights | {"mlp.W_in": weights["mlp.W_in"] / 2}
    pairs = averaged.task.pairs
    expected = added.outputs(half, pairs)
    assert averaged.description.endswith("operands averaged, biases")
    torch.testing.assert_close(averaged.outputs(weights, pairs), expected)
    torch.testing.assert_close(averaged.hooked(weights)(pairs), expected)
    operands = averaged.operands(weights, pairs)
    torch.testing.assert_close(averaged.logits_of_operands(weights, operands), expected)
    torch.testing.assert_close(averaged.neuron_inputs(weights, {}), added.neuron_inputs(half, {}))


def test_gelu_is_the_exact_one(random_weights):
    architecture = mlp(modular_arithmetic(5), 4, 6, act_fn="gelu")
    activations = architecture.activations(random_weights(architecture), architecture.task.pairs)
    pre = activations["mlp.hook_pre"]
    expected = pre * (1 + torch.erf(pre / math.sqrt(2))) / 2
    torch.testing.assert_close(activations["mlp.hook_post"], expected)


@pytest.mark.parametrize(
    ("options", "embeddings", "hidden"),
    [
        ({}, {"embed_a.W_E": (7, 4), "embed_b.W_E": (7, 4)}, {"mlp.W_in": (8, 5)}),
        ({"shared_embedding": True}, {"embed.W_E": (7, 4)}, {"mlp.W_in": (8, 5)}),
        ({"combine": "added"}, {"embed_a.W_E": (7, 4), "embed_b.W_E": (7, 4)}, {"mlp.W_in": (4, 5)}),
        (
            {"shared_embedding": True, "n_layers": 2},
            {"embed.W_E": (7, 4)},
            {"mlp.W_in": (8, 5), "mlp2.W_in": (5, 5)},
        ),
    ],
)
def test_parameters_follow_the_options(options, embeddings, hidden):
    unembed = {"unembed.W_U": (5, 7)}
    biases = {name.replace("W", "b"): (5,) for name in hidden}
    for said, expected in (("none", {}), ("hidden", biases), ("all", biases | {"unembed.b_U": (7,)})):
        found = mlp(modular_arithmetic(7), 4, 5, biases=said, **options).shapes
        assert found == embeddings | hidden | unembed | expected


def test_the_description_says_what_differs_from_the_default():
    task = modular_arithmetic(5)
    assert mlp(task).description == "1 hidden layer of 128, d_model 256"
    unusual = mlp(task, 4, 6, 2, True, "added", "hidden", "gelu")
    assert unusual.description == (
        "2 hidden layers of 6, d_model 4, shared embedding, operands added, hidden biases, GeLU"
    )
    assert mlp(task, biases="all").description == "1 hidden layer of 128, d_model 256, biases"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"biases": True}, "'none', 'hidden' or 'all'"),
        ({"biases": False}, "'none', 'hidden' or 'all'"),
        ({"n_layers": 0}, "n_layers"),
        ({"combine": "sum"}, "'concatenated', 'added' or 'averaged'"),
    ],
)
def test_other_words_are_refused_with_the_words_there_are(options, said):
    with pytest.raises(InterpError, match=said):
        checked_options("models", "mlp", options)


def test_a_fresh_mlp_has_the_standard_deviations_it_states():
    architecture = mlp(modular_arithmetic(113), 256, 128, biases="all")
    fans = {"embed_a.W_E": 256, "embed_b.W_E": 256, "mlp.W_in": 512, "unembed.W_U": 128}
    for name, value in architecture.initial(0).items():
        if ".b_" in name:
            assert (value == 0).all(), name
        else:
            scale = 1 / math.sqrt(fans[name])
            assert abs(float(value.std()) / scale - 1) < 5 / math.sqrt(2 * value.numel()), name


# Published networks.


@pytest.mark.parametrize("name", ["C113_MLP_seed1", "C118_MLP_seed1"])
def test_published_perceptrons_have_their_published_losses(reference: Path, name):
    folder = reference / "rep_theory" / name
    gold = json.loads((folder / "gold.json").read_text())
    tensors = torch.load(folder / "model.pt", weights_only=True, map_location="cpu")
    names = {"W_x": "embed_a.W_E", "W_y": "embed_b.W_E", "W": "mlp.W_in", "W_U": "unembed.W_U"}
    weights = {names[key]: value.double() for key, value in tensors.items()}
    config = gold["config"]
    task = modular_arithmetic(gold["order"], seed=config["seed"], frac_train=config["frac_train"], split="rep_theory")
    losses = cross_entropy(mlp(task).activations(weights, task.pairs)["logits"], task.targets)
    for metric, chosen in {"train_loss": task.train, "test_loss": ~task.train}.items():
        assert float(losses[chosen].mean()) == pytest.approx(gold["metrics"][metric][1], rel=1e-6, abs=0)
    assert float(losses.mean()) == pytest.approx(gold["metrics"]["all_loss"][1], rel=1e-6, abs=0)


@pytest.mark.parametrize(
    ("name", "options"),
    [("7r4zst7evs", {"d_model": 128}), ("p71frej8t7", {"d_model": 256, "n_layers": 2, "combine": "added"})],
    ids=["model D", "model B"],
)
def test_zhong_s_linear_models_have_their_published_losses(reference: Path, name, options):
    """Their layout is torch's, W @ x."""
    gold = json.loads((reference / "pizza" / f"gold_{name}.json").read_text())
    tensors = torch.load(reference / "pizza" / f"model_{name}.pt", weights_only=True, map_location="cpu")
    ours = {"embed.W_E": tensors["embed.weight"], "unembed.W_U": tensors["unembed.weight"].T}
    for layer, theirs in zip(("mlp", "mlp2")[: options.get("n_layers", 1)], ("l1", "l2"), strict=False):
        ours |= {f"{layer}.W_in": tensors[f"{theirs}.weight"].T, f"{layer}.b_in": tensors[f"{theirs}.bias"]}
    weights = {key: value.double() for key, value in ours.items()}
    task = modular_arithmetic(59, split="unknown")
    architecture = mlp(task, d_mlp=256, shared_embedding=True, biases="hidden", **options)
    assert {key: tuple(value.shape) for key, value in weights.items()} == architecture.shapes
    logits = architecture.activations(weights, task.pairs)["logits"]
    assert float(cross_entropy(logits, task.targets).mean()) == pytest.approx(
        gold["metrics"]["all_loss"][1], rel=1e-6, abs=0
    )
    assert float((logits.argmax(-1) == task.targets).double().mean()) == gold["metrics"]["acc"][1]
