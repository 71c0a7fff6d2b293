"""The toy's network: lines of NumPy, the hooked module, its own gradient, and how it is initialised."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interp.contracts.architecture import HasNeurons, ReadsTwoOperands
from interp.contracts.sums import has_embedding
from interp.errors import NothingToSay
from interp.losses.cross_entropy import cross_entropy
from interp.losses.mse import mse
from interp.models.embedding_decoder import embedding_decoder
from interp.models.perceptron import perceptron
from interp.tasks.modular_arithmetic import modular_arithmetic
from interp.tasks.sparse_parity import sparse_parity
from interp.tasks.toy_addition import toy_addition
from tests.models.agreement import assert_plain_is_hooked, assert_writes_its_gradient

TASK = toy_addition(p=5, n_train=9, d_target=4)


def test_it_is_these_lines_of_numpy(random_weights):
    weights = random_weights(embedding_decoder(TASK, 3, (6, 5)))
    w = {name: value.numpy() for name, value in weights.items()}
    a, b = TASK.pairs.numpy().T
    first = np.tanh((w["embed.W_E"][a] + w["embed.W_E"][b]) @ w["mlp.0.W_in"] + w["mlp.0.b_in"])
    second = np.tanh(first @ w["mlp.1.W_in"] + w["mlp.1.b_in"])
    expected = second @ w["unembed.W_U"] + w["unembed.b_U"]
    for scale in (1.0, 0.2):
        found = embedding_decoder(TASK, 3, (6, 5), output_scale=scale).outputs(weights, TASK.inputs)
        np.testing.assert_allclose(found.numpy(), scale * expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("d_model", [1, 3])
@pytest.mark.parametrize("act_fn", ["tanh", "relu"])
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_its_paths_are_one_network(random_weights, d_model, act_fn, scale):
    architecture = embedding_decoder(TASK, d_model, (6, 5), act_fn, scale)
    weights = random_weights(architecture)
    assert_plain_is_hooked(architecture, weights)
    assert_writes_its_gradient(architecture, mse())


def test_residues_are_added_too_and_classes_are_answered(random_weights):
    architecture = embedding_decoder(modular_arithmetic(7), 2, (6,))
    assert_plain_is_hooked(architecture, random_weights(architecture))
    assert_writes_its_gradient(architecture, cross_entropy())


def test_it_has_an_embedding_and_neurons_and_reads_no_residues(random_weights):
    architecture = embedding_decoder(TASK, 3, (6, 5))
    assert isinstance(architecture, HasNeurons)
    assert not isinstance(architecture, ReadsTwoOperands)
    weights = random_weights(architecture)
    assert torch.equal(has_embedding(architecture).embedding(weights), weights["embed.W_E"])
    with pytest.raises(NothingToSay, match=r"^the network looks nothing up in an embedding$"):
        has_embedding(perceptron(sparse_parity(n=5, n_train=4, n_test=4)))


def test_fresh_weights_are_the_papers():
    """The embedding U(-1/2, 1/2); each layer U(±1/√d_in), biases too."""
    drawn = [embedding_decoder(toy_addition()).initial(seed) for seed in range(30)]
    assert drawn[0].keys() == embedding_decoder(toy_addition()).shapes.keys()
    for name, most in (("embed.W_E", 0.5), ("mlp.0.b_in", 1.0), ("mlp.1.W_in", 200**-0.5), ("unembed.b_U", 200**-0.5)):
        values = torch.cat([one[name].flatten() for one in drawn])
        assert 0.97 * most < float(values.abs().max()) <= most, name
        assert float(values.std()) == pytest.approx(most / 3**0.5, rel=5 / (2 * values.numel()) ** 0.5), name


def test_what_has_no_two_operands_is_refused_and_so_is_a_decoder_without_layers():
    with pytest.raises(ValueError, match=r"parity of 2 of 5 bits has none; try the model perceptron$"):
        embedding_decoder(sparse_parity(n=5, k=2, n_train=4, n_test=4))
    with pytest.raises(ValueError, match=r"widths is empty"):
        embedding_decoder(TASK, widths=())
