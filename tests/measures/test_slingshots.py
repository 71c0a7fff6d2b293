"""Slingshots in planted runs: a last layer that grows, a loss that leaps, features that move by what is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.told import summary

ARRAYS = {"inputs": np.array([[1.0], [2.0]], np.float32), "targets": np.zeros((2, 1), np.float32), "train": [True] * 2}


def stage(size, output):
    """A hidden unit that gives `size` times its input, and a readout that makes `output` times the input of it."""
    return {"mlp.0.W_in": torch.tensor([[size]]).double(), "unembed.W_U": torch.tensor([[output / size]]).double()}


def run_of(on_vectors, stages, name="run"):
    weights = {10 * place: stage(*one) for place, one in enumerate(stages)}
    return on_vectors(ARRAYS, weights, name=name, widths=[1], biases="none")


def test_the_change_of_the_features_is_that_of_all_examples_since_the_checkpoint_before(on_vectors):
    run = run_of(on_vectors, [(1.0, 2.0), (1.5, 2.0), (1.5, 1.0)])
    found = run.measure("slingshots")
    assert found.site.values.tolist() == ["mlp.0", "outputs"]
    assert np.isnan(found.feature_change.values[0]).all()
    assert found.feature_change.values[1:].tolist() == [
        pytest.approx([0.5, 0], abs=1e-6),
        pytest.approx([0, 0.5], abs=1e-6),
    ]
    assert found.last_norm.values == pytest.approx([2.0, 2 / 1.5, 1 / 1.5])
    assert set(found.last_layer.values) == {"unembed.W_U"}
    assert float(run[20].measure("slingshots").feature_change[1]) == pytest.approx(0.5)  # of whatever is looked at


def test_a_spike_that_the_last_layer_grew_before_is_a_cycle(on_vectors):
    """The loss is 2.5 times the square of the output's factor; the last layer is that over the hidden unit's."""
    calm = [(1.0, 1.0), (0.5, 0.9), (0.25, 0.8)]  # the last layer grows from 1 to 3.2
    after = [(0.25, 8.0), (0.25, 0.8), (0.25, 0.7), (0.25, 0.6)]  # a spike to 100 times, and rest
    falling = [(0.5, 4.0), (0.5, 0.5)]  # another, before which the last layer shrinks to 2.4
    found = run_of(on_vectors, [*calm, *after, *falling]).measure("slingshots")
    assert int(found.spikes) == 2
    assert float(found.first_spike) == 30
    assert float(found.largest_spike) == pytest.approx(100)
    assert int(found.cycles) == 1
    told = summary("slingshots", found).sentence
    assert told.startswith(
        "The train loss has 2 spikes to 10 times what it had come down to, the largest to 100 times at step 30; before"
    )


def test_a_spike_of_the_first_layer_alone_is_no_cycle(on_vectors):
    stages = [(1.0, 1.0), (0.9, 0.9), (9.0, 9.0), (0.8, 0.8)]
    found = run_of(on_vectors, stages).measure("slingshots")
    assert (int(found.spikes), int(found.cycles)) == (1, 0)
    calm = run_of(on_vectors, [(1.0, 1.0), (1.0, 0.9)], name="calm").measure("slingshots")
    assert int(calm.spikes) == 0
    assert math.isnan(float(calm.first_spike))
    assert "never leaps to 10 times" in summary("slingshots", calm).sentence
