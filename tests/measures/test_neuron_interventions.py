"""What is done to a network, against the same done to its weights by hand; the published perceptrons on S5."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from interp.checkpoints import open_run
from interp.errors import NothingToSay
from tests import planted, planted_groups
from tests.planted_groups import products
from tests.told import summary

TASK = {"group_composition": {"group": "S3"}}
MODEL = {"mlp": {"d_model": 5, "d_mlp": 30}}


@pytest.fixture
def checkpoint(make_run):
    weights = make_run({}, TASK, MODEL, "empty").architecture.initial(0)
    return make_run({0: {name: value.double() for name, value in weights.items()}}, TASK, MODEL)[0]


def by_hand(checkpoint, change):
    """Accuracy and loss of relu(x W_l + y W_r) W_U with tables, signs and the activation changed."""
    w = {name: value.numpy() for name, value in checkpoint.weights.items()}
    a, b = np.divmod(np.arange(36), 6)
    left, right = w["embed_a.W_E"], w["embed_b.W_E"]
    left, right, act = change(left, right)
    pre = np.concatenate([left[a], right[b]], axis=1) @ w["mlp.W_in"]
    logits = act(pre) @ w["unembed.W_U"]
    answers = products(3).reshape(-1)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return (logits.argmax(axis=1) == answers).mean(), -log_p[np.arange(36), answers].mean()


def relu(x):
    return np.maximum(x, 0)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("none", lambda left, right: (left, right, relu)),
        ("embeddings swapped", lambda left, right: (right, left, relu)),
        ("both signs flipped", lambda left, right: (-left, -right, relu)),
        ("left sign flipped", lambda left, right: (-left, right, relu)),
        ("right sign flipped", lambda left, right: (left, -right, relu)),
        ("absolute value", lambda left, right: (left, right, np.abs)),
    ],
)
def test_it_is_what_is_done_to_the_weights_by_hand(checkpoint, name, change):
    found = checkpoint.measure("neuron_interventions")
    place = found.intervention.index(name)
    accuracy, loss = by_hand(checkpoint, change)
    assert float(found.accuracy[place]) == pytest.approx(accuracy)
    assert float(found.loss[place]) == pytest.approx(loss)


def test_noise_enters_the_neurons_and_its_mean_loss_is_that_of_many_draws(checkpoint):
    found = checkpoint.measure("neuron_interventions", draws=50)
    w = {name: value.numpy() for name, value in checkpoint.weights.items()}
    a, b = np.divmod(np.arange(36), 6)
    pre = np.concatenate([w["embed_a.W_E"][a], w["embed_b.W_E"][b]], axis=1) @ w["mlp.W_in"]
    noise = np.random.default_rng(0).normal(1, 1, (400, *pre.shape))
    logits = torch.tensor(relu(pre + noise) @ w["unembed.W_U"])
    answers = torch.tensor(products(3).reshape(-1)).repeat(400)
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), answers)
    place = found.intervention.index("noise N(1, 1)")
    assert abs(float(found.loss[place] - expected)) < 5 * float(found.loss_se[place])
    assert float(found.loss_se[place]) > 0


def test_an_absolute_value_in_the_place_of_relu_leaves_a_circuit_of_both_signs(make_run):
    """Gromov's solution with ReLU: half of it is linear in the sum, and moves no answer."""
    network = planted.gromov_mlp(11, width=2000)
    found = make_run({0: network.weights}, network.task, network.model)[0].measure("neuron_interventions")
    scores = dict(zip(found.intervention, found.accuracy.tolist(), strict=True))
    assert scores["none"] == scores["absolute value"] == 1
    assert np.isnan(scores["embeddings swapped"])  # both operands are looked up in one table


def test_what_has_no_relu_has_no_absolute_value_in_its_place(make_run):
    network = planted_groups.of_representations(3)
    found = make_run({0: network.weights}, network.task, network.model)[0].measure("neuron_interventions")
    scores = dict(zip(found.intervention, found.loss.tolist(), strict=True))
    assert np.isnan(scores["absolute value"])
    assert np.isfinite(scores["left sign flipped"])


def test_a_network_on_other_inputs_has_nothing_to_say(make_run):
    task = {"sparse_parity": {"n": 6, "k": 2, "n_train": 5, "n_test": 5}}
    weights = make_run({}, task, "perceptron", "empty").architecture.initial(0)
    with pytest.raises(NothingToSay, match="the task is not one of two operands"):
        make_run({0: weights}, task, "perceptron")[0].measure("neuron_interventions")


def test_the_paper_s_numbers_stand_beside_ours(checkpoint):
    told = summary("neuron_interventions", checkpoint.run.measure("neuron_interventions"))
    assert "with |x| in the place of ReLU" in told.sentence
    found = checkpoint.measure("neuron_interventions")
    assert float(found.paper_loss[found.intervention.index("absolute value")]) == 3.69e-13


@pytest.mark.slow
def test_the_absolute_value_leaves_every_answer_of_the_published_perceptrons_that_have_learned(reference):
    right = []
    for folder in sorted((reference / "rep_theory").glob("S5_MLP*")):
        metrics = json.loads((folder / "gold.json").read_text())["metrics"]
        if metrics["train_acc"][1] == metrics["test_acc"][1] == 1:
            found = open_run(folder, "rep_theory").final.measure("neuron_interventions")
            right.append(float(found.accuracy[found.intervention.index("absolute value")]))
    assert len(right) >= 11
    assert set(right) == {1.0}
