"""Synergy and redundancy of neurons that were planted."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from interp.errors import NothingToSay
from tests.told import summary

COUNT = 4000


def checkpoint(on_vectors, W_in, name="run"):
    """Neurons that are these combinations of independent normal inputs, moved up so that none is ever off."""
    inputs = np.random.default_rng(0).normal(size=(COUNT, len(W_in))).astype(np.float32)
    width = W_in.shape[1]
    weights = {"mlp.0.W_in": W_in, "mlp.0.b_in": torch.full((width,), 50.0), "unembed.W_U": torch.ones(width, 2)}
    arrays = {"inputs": inputs, "targets": np.arange(COUNT) % 2, "train": np.arange(COUNT) < COUNT // 2}
    return on_vectors(arrays, {0: weights}, name=name, widths=[width])


def test_a_sum_and_its_parts_are_synergistic(on_vectors):
    """|Σ| is 0.1·1·1; pairs with the sum 1.1, the sum alone 2.1."""
    W_in = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, math.sqrt(0.1)]])
    found = checkpoint(on_vectors, W_in)[0].measure("o_information")
    expected = (math.log(0.1) + math.log(2.1) - 2 * math.log(1.1)) / 2
    assert found.synergy == pytest.approx(expected, abs=0.05)
    assert (found.clusters, found.neurons, found.synergy_size) == (3, 3, 3)
    assert found.all_clusters == found.synergy == found.redundancy


def test_neurons_that_say_the_same_are_one_cluster_and_dead_ones_none(on_vectors):
    """Three independent groups of four copies, and two neurons that are never anything but 50."""
    groups = torch.eye(3).repeat_interleave(4, dim=1) + 0.01 * torch.randn(3, 12, generator=torch.Generator())
    W_in = torch.cat([groups, torch.zeros(3, 2)], dim=1)
    found = checkpoint(on_vectors, W_in)[0].measure("o_information", clusters=3)
    assert (found.clusters, found.neurons) == (3, 12)
    assert found.synergy == pytest.approx(0, abs=0.02)


def test_the_order_of_the_neurons_does_not_matter(on_vectors):
    W_in = torch.randn(6, 30, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    one, other = (
        checkpoint(on_vectors, each, name)[0].measure("o_information", clusters=6)
        for each, name in ((W_in, "one"), (W_in[:, order], "other"))
    )
    assert other.synergy == pytest.approx(one.synergy, rel=1e-6)
    assert other.redundancy == pytest.approx(one.redundancy, rel=1e-6)


def test_two_neurons_have_none(on_vectors):
    with pytest.raises(NothingToSay, match="only 2 of its neurons vary over the examples"):
        checkpoint(on_vectors, torch.eye(2))[0].measure("o_information")


def test_it_is_told(on_vectors):
    W_in = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, math.sqrt(0.1)]])
    told = summary("o_information", checkpoint(on_vectors, W_in).measure("o_information")).sentence
    assert told.startswith("The lowest O-information of sets of clusters of neurons is −0.88 nats.")
