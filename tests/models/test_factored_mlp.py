"""PAIR's tied network: its forward pass, its start, and its closed form put in by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from interp.checkpoints import open_run
from interp.contracts.architecture import reads_two_operands
from interp.losses.cross_entropy import cross_entropy
from interp.models.factored_mlp import factored_mlp
from interp.recipes.document import dump_yaml
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.train import train

P = 67
PAIR = {"p": P, "pairs": "unordered", "frac_train": 0.4, "split": "power", "seed": 165}


def closed_form(n_neurons=5, circle=True, freq=1):
    """Neuron i turns the circle by iθ on the way in and by 2iθ on the way out, θ = 2π/n."""
    theta = 2 * math.pi * torch.arange(n_neurons).double() / n_neurons
    w = {"mlp.W_in": torch.stack([theta.cos(), theta.sin()])}
    w["mlp.W_out"] = torch.stack([(2 * theta).cos(), (2 * theta).sin()], dim=1)
    if circle:
        return w
    angle = 2 * math.pi * freq * torch.arange(P).double() / P
    return {"embed.W_E": torch.stack([angle.cos(), angle.sin()], dim=1)} | w


@pytest.mark.parametrize("act_fn", ["relu", "x^2"])
@pytest.mark.parametrize("embedding", ["learned", "circle"])
def test_it_is_these_lines_of_numpy(random_weights, act_fn, embedding):
    network = factored_mlp(modular_arithmetic(7), 2, 6, act_fn, embedding)
    weights = random_weights(network)
    w = {name: value.numpy() for name, value in weights.items()}
    angle = 2 * np.pi * np.arange(7) / 7
    columns = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    W_E = w.get("embed.W_E", columns / np.linalg.norm(columns, axis=0))
    a, b = np.eye(7)[network.task.pairs.numpy().T]  # one-hot
    pre = a @ W_E @ w["mlp.W_in"] + b @ W_E @ w["mlp.W_in"]
    post = pre**2 if act_fn == "x^2" else np.maximum(pre, 0)
    logits = post @ w["mlp.W_out"] @ W_E.T
    pairs = network.task.pairs
    operands = reads_two_operands(network).operands(weights, pairs)
    for found in (network.outputs(weights, pairs), network.logits_of_operands(weights, operands)):
        np.testing.assert_allclose(found.numpy(), logits, rtol=1e-12, atol=1e-12)
    module = network.hooked(weights)
    np.testing.assert_allclose(module(pairs).detach().numpy(), logits, rtol=1e-12, atol=1e-12)
    assert dict(module.named_parameters()).keys() == network.shapes.keys() == weights.keys()


@pytest.mark.parametrize("embedding", ["learned", "circle"])
def test_a_changed_embedding_is_a_replaced_hook_embed(random_weights, embedding):
    """So what the answer is read against stays, though it is the same parameter."""
    network = factored_mlp(modular_arithmetic(7), None if embedding == "circle" else 4, 6, embedding=embedding)
    weights, pairs = random_weights(network), network.task.pairs
    first = torch.arange(network.d_model) == 0
    changed = network.with_embeddings(weights, lambda E: E * first)
    expected = network.hooked(weights).run_with_hooks(pairs, fwd_hooks=[("hook_embed", lambda x, **_: x * first)])
    torch.testing.assert_close(network.outputs(changed, pairs), expected)
    assert not torch.allclose(expected, network.outputs(weights, pairs))


def test_pair_s_five_neurons_put_in_by_hand_answer_everything_by_their_closed_form():
    """Pearce et al. 2023: with squares, logits are cos²((a-b)w/2) cos((a+b-c)w) times a constant."""
    network = factored_mlp(modular_arithmetic(P), d_mlp=5, act_fn="x^2", embedding="circle")
    logits = network.outputs(closed_form(), network.task.pairs).numpy()
    a, b = network.task.pairs.numpy().T[..., None]
    w = 2 * np.pi / P
    form = np.cos((a - b) * w / 2) ** 2 * np.cos((a + b - np.arange(P)) * w)
    np.testing.assert_allclose(logits, 5 * (2 / P) ** 1.5 * form, rtol=0, atol=1e-15)
    assert (logits.argmax(axis=1) == network.task.targets.numpy()).all()


@pytest.mark.parametrize(("n_neurons", "act_fn", "right"), [(5, "x^2", 1.0), (11, "x^2", 1.0), (4, "x^2", 0.2)])
def test_it_can_begin_with_the_closed_form(n_neurons, act_fn, right):
    """More than 4 neurons answer everything; with 4, cos(2θ) and its opposite are not told apart from the mean."""
    options = {"d_mlp": n_neurons, "act_fn": act_fn, "initialisation": "closed_form"}
    for network in (
        factored_mlp(modular_arithmetic(P), embedding="circle", **options),
        factored_mlp(modular_arithmetic(P), **options),
    ):
        weights = network.initial(3)
        assert {name: weight.shape for name, weight in weights.items()} == network.shapes
        double = {name: weight.double() for name, weight in weights.items()}
        share = network.task.correct(network.outputs(double, network.task.pairs)).double().mean()
        assert float(share) == 1 if right == 1 else float(share) < right
    torch.testing.assert_close(weights["mlp.W_in"], closed_form(n_neurons)["mlp.W_in"].float())
    torch.testing.assert_close(weights["mlp.W_out"], closed_form(n_neurons)["mlp.W_out"].float())


def test_measures_find_in_it_one_frequency_its_phases_and_every_answer(make_run):
    model = {"factored_mlp": {"d_model": 2, "d_mlp": 5, "act_fn": "x^2"}}
    run = make_run({0: closed_form(circle=False, freq=7)}, {"modular_arithmetic": PAIR}, model)
    checkpoint = run[0]
    assert float(checkpoint.measure("loss").all_accuracy) == 1
    assert checkpoint.measure("key_freqs").logit_key.nonzero().flatten().tolist() == [7]
    alignment = checkpoint.measure("phase_alignment")  # out by twice the angle in: the stars of the explorable
    assert alignment.concentration.tolist() == pytest.approx([1, 1])
    assert alignment.mean_alignment.abs().max() < 1e-9


def test_the_frozen_circle_leaves_twenty_parameters():
    network = factored_mlp(modular_arithmetic(P), d_mlp=5, embedding="circle")
    assert sum(math.prod(shape) for shape in network.shapes.values()) == 20
    assert network.description == "1 hidden layer of 5, embedding a frozen circle"
    torch.testing.assert_close(network.embedding(network.initial(0)).norm(dim=0), torch.ones(2))
    with pytest.raises(ValueError, match=r"^d_model is 500, and a circle lies in a plane"):
        factored_mlp(modular_arithmetic(P), 500, embedding="circle")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_fresh_network_has_the_norms_and_the_loss_that_pair_logged_at_the_start(seed):
    """Their first line is after one update of 1e-3, which is far less than a hundredth."""
    network = factored_mlp(modular_arithmetic(**PAIR))
    weights = network.initial(seed)
    flat = torch.cat([value.flatten() for value in weights.values()])
    assert float(flat.norm()) == pytest.approx(37.3865, rel=0.01)
    assert float(flat.abs().sum()) == pytest.approx(6898.158, rel=0.01)
    outputs = network.outputs(weights, network.task.pairs)
    loss = cross_entropy("examples_and_classes").mean(outputs, network.task.targets)
    assert float(loss) == pytest.approx(0.0647, rel=0.02)


@pytest.mark.slow
def test_after_a_hundred_updates_it_is_where_pair_s_log_says(tmp_path):
    """Other random numbers, hence the tolerance: a wrong start, loss, decay or split of the matrices is far off."""
    training = {
        "steps": 101,
        "optimiser": {"adamw": {"lr": 1e-3, "weight_decay": 1.0, "betas": [0.9, 0.98], "warmup": 0}},
        "loss": {"cross_entropy": {"over": "examples_and_classes"}},
        "save": {"every": 101},
    }
    recipe = {"task": {"modular_arithmetic": PAIR}, "model": {"factored_mlp": {}}, "training": training}
    (tmp_path / "run.yaml").write_text(dump_yaml(recipe))
    train(tmp_path)
    final = open_run(tmp_path).final
    flat = torch.cat([weight.flatten() for weight in final.weights.values()])
    loss = final.measure("loss")
    assert float(flat.norm()) == pytest.approx(38.5729, rel=0.02)
    assert float(flat.abs().sum()) == pytest.approx(7265.116, rel=0.02)
    assert float(loss.train_loss) == pytest.approx(0.028188, rel=0.15)
    assert float(loss.test_loss) == pytest.approx(0.150821, rel=0.05)
