"""The few neurons that answer for all, in networks in which it is known which they are."""

from __future__ import annotations

import pytest
import torch

from tests.told import summary

TASK = {"sparse_parity": {"n": 8, "k": 2, "n_train": 150, "n_test": 100, "outputs": 1}}
MODEL = {"perceptron": {"widths": [12], "biases": "all"}}


def parity_of_two(working: int, idle: float) -> dict[str, torch.Tensor]:
    """|x₁ - x₂| by two neurons, as often as `working` says, beside neurons that read little and answer nothing."""
    W_in, W_U = idle * torch.ones(8, 12), torch.zeros(12, 1)
    for pair in range(working):
        for neuron, sign in ((2 * pair, 1.0), (2 * pair + 1, -1.0)):
            W_in[:, neuron] = 0
            W_in[:2, neuron] = torch.tensor([sign, -sign])
            W_U[neuron] = 1
    return {"mlp.0.W_in": W_in, "mlp.0.b_in": torch.zeros(12), "unembed.W_U": W_U, "unembed.b_U": torch.tensor([-0.5])}


@pytest.fixture
def run(make_run):
    return make_run({0: parity_of_two(1, 0.01), 1: parity_of_two(6, 0.0)}, TASK, MODEL)


def test_of_a_planted_network_it_is_the_neurons_that_work(run):
    found = run[0].measure("active_subnetwork", examples=60)
    assert found.active == 2
    assert found.neurons == 12
    assert found.faithfulness == 1
    assert float(found.active_norm) == pytest.approx(2**0.5)
    assert float(found.other_norm) == pytest.approx(0.01 * 8**0.5)
    assert run[1].measure("active_subnetwork").active == 2  # any pair of the six, of which the first is taken


def test_it_is_told_with_how_many_there_are(run):
    told = summary("active_subnetwork", run.measure("active_subnetwork", examples=60)).sentence
    assert told.startswith("The number of neurons that answer as all 12 do stays at 2; these answer 100%")
