"""The network on graphs: a loop over edges in NumPy, the hooked module, and what does not matter to it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from interp.contracts.architecture import HasNeurons
from interp.contracts.graphs import Graphs
from interp.models.message_passing import message_passing
from interp.tasks.sparse_parity import sparse_parity
from tests.models.agreement import assert_plain_is_hooked

NODES, FEATURES, KINDS = 5, 3, 2
SIZES = (5, 2, 4, 1)


def drawn(seed: int = 0):
    """Random graphs, as (features, edges (to, from, features)), and the task of them in one array."""
    draw = np.random.default_rng(seed)
    found, array = [], np.zeros((len(SIZES), NODES, 1 + FEATURES + NODES * (1 + KINDS)))
    for place, size in enumerate(SIZES):
        x = draw.normal(size=(size, FEATURES))
        edges = [(i, j, draw.normal(size=KINDS)) for i in range(size) for j in range(size) if draw.random() < 0.5]
        found.append((x, edges))
        array[place, :size, 0] = 1
        array[place, :size, 1 : 1 + FEATURES] = x
        for i, j, e in edges:
            array[place, i, 1 + FEATURES + j] = 1
            start = 1 + FEATURES + NODES + j * KINDS
            array[place, i, start : start + KINDS] = e
    targets = torch.from_numpy(draw.normal(size=(len(SIZES), 1)))
    sizes = {"n_features": FEATURES, "n_edge_features": KINDS}
    return found, Graphs("graphs", torch.from_numpy(array), targets, 1, torch.arange(len(SIZES)) < 2, **sizes)


def by_loops(graph, w, layers):
    """The answer to one graph, an edge at a time."""
    x, edges = graph
    for layer in range(layers):
        own = {name: w[f"conv.{layer}.{name}"] for name in ("W_edge", "b_edge", "W_message", "b_message")}
        got = x @ w[f"conv.{layer}.W_root"] + w[f"conv.{layer}.b_root"]
        for i, j, e in edges:
            hidden = np.maximum(e @ own["W_edge"] + own["b_edge"], 0)
            theta = np.tensordot(hidden, own["W_message"], 1) + own["b_message"]  # [d_in, d_out]
            got[i] += x[j] @ theta
        x = np.maximum(got, 0)
    post = np.maximum(x.sum(axis=0) @ w["mlp.W_in"] + w["mlp.b_in"], 0)
    return post @ w["unembed.W_U"] + w["unembed.b_U"]


def test_it_is_a_loop_over_edges(random_weights):
    graphs, task = drawn()
    architecture = message_passing(task, (4, 3), d_edge=5, d_mlp=6, output_scale=0.5)
    weights = random_weights(architecture)
    w = {name: value.numpy() for name, value in weights.items()}
    expected = [0.5 * by_loops(graph, w, 2) for graph in graphs]
    np.testing.assert_allclose(architecture.outputs(weights, task.inputs).numpy(), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"channels": (2,), "output_scale": 3.0}])
def test_its_paths_are_one_network(random_weights, options):
    _, task = drawn()
    architecture = message_passing(task, **options)
    assert isinstance(architecture, HasNeurons)
    assert_plain_is_hooked(architecture, random_weights(architecture))


def test_the_order_of_the_nodes_and_more_padding_make_no_difference(random_weights):
    _, task = drawn()
    architecture = message_passing(task, (4, 3), d_edge=5, d_mlp=6)
    weights = random_weights(architecture)
    mask, x, linked, edges = task.parts(task.inputs)
    turned = torch.tensor([3, 0, 4, 1, 2])
    moved = torch.cat(
        [
            mask[:, turned, None],
            x[:, turned],
            linked[:, turned][:, :, turned],
            edges[:, turned][:, :, turned].flatten(2),
        ],
        dim=2,
    )
    expected = architecture.outputs(weights, task.inputs)
    torch.testing.assert_close(architecture.outputs(weights, moved), expected)
    count = len(SIZES)
    wider = torch.zeros(count, NODES + 2, 1 + FEATURES + (NODES + 2) * (1 + KINDS)).double()
    wider[:, :NODES, : 1 + FEATURES] = task.inputs[..., : 1 + FEATURES]
    wider[:, :NODES, 1 + FEATURES : 1 + FEATURES + NODES] = linked
    wider[:, :NODES, 1 + FEATURES + NODES + 2 :][..., : NODES * KINDS] = edges.flatten(2)
    torch.testing.assert_close(architecture.outputs(weights, wider), expected)


def test_fresh_weights_are_uniform_between_the_inverse_roots_of_their_inputs():
    _, task = drawn()
    found = [message_passing(task).initial(seed) for seed in range(40)]
    inputs = {
        "conv.0.W_edge": KINDS,
        "conv.1.W_message": 32,
        "conv.1.b_message": 32,
        "conv.1.W_root": 32,
        "mlp.W_in": 16,
    }
    for name, count in inputs.items():
        values = torch.cat([one[name].flatten() for one in found])
        assert 0.9 * count**-0.5 < float(values.abs().max()) <= count**-0.5, name
        assert float(values.std()) == pytest.approx((3 * count) ** -0.5, rel=5 / math.sqrt(2 * values.numel())), name
    assert not found[0]["conv.0.b_root"].any()


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"parity of 2 of 5 bits are not; try another$"):
        message_passing(sparse_parity(n=5, k=2, n_train=4, n_test=4))
    with pytest.raises(ValueError, match=r"channels is empty"):
        message_passing(drawn()[1], channels=())
