"""Why a measure has nothing to say: of a task without a cyclic order, of a network without attention, …."""

from __future__ import annotations

import pytest
import torch

from interp.errors import NothingToSay

NEEDS_AN_ORDER = [
    "attention_spectrum",
    "circularity",
    "cosine_fit",
    "distance_irrelevance",
    "embedding_circle",
    "embedding_dft",
    "excluded_loss",
    "inverse_participation",
    "key_freqs",
    "logit_spectrum",
    "neuron_activation",
    "neuron_commitment",
    "neuron_logit_spectrum",
    "neuron_spectrum",
    "phase_alignment",
    "restricted_loss",
    "trace_excluded_loss",
    "trace_restricted_loss",
]
TRANSFORMER = {"transformer": {"d_model": 6, "n_heads": 2, "d_mlp": 5}}
MLP = {"mlp": {"d_model": 4, "d_mlp": 5}}


def fresh(make_run, model, **task):
    given = {"modular_arithmetic": {"p": 5, **task}}, model
    return make_run({0: make_run({}, *given, "empty").architecture.initial(0)}, *given)[0]


@pytest.mark.parametrize("measure", NEEDS_AN_ORDER)
def test_a_task_without_a_cyclic_order_has_no_frequencies(make_run, measure):
    with pytest.raises(NothingToSay, match="the task has no cyclic order of its operands"):
        fresh(make_run, TRANSFORMER, operation="x^2+y^2").measure(measure)


def test_a_perceptron_has_no_attention(make_run):
    with pytest.raises(NothingToSay, match="the network has no attention"):
        fresh(make_run, MLP).measure("attention_spectrum")


def test_a_constant_embedding_has_no_principal_components(planted_mlp):
    alike = torch.ones(5, 3)
    with pytest.raises(NothingToSay, match="the same for all residues"):
        planted_mlp({0: (alike, alike, alike.T)}, {"p": 5})[0].measure("circularity")


def test_an_embedding_of_zeros_has_no_spectrum(planted_mlp):
    zeros = torch.zeros(5, 3)
    with pytest.raises(NothingToSay, match="the embedding is zero"):
        planted_mlp({0: (zeros, zeros, zeros.T)}, {"p": 5})[0].measure("embedding_dft")


def test_neurons_that_never_vary_are_not_shown(planted_mlp):
    alike = torch.ones(5, 3)
    with pytest.raises(NothingToSay, match="no neuron ever varies"):
        planted_mlp({0: (alike, alike, alike.T)}, {"p": 5})[0].measure("neuron_activation")


def test_logits_that_the_embeddings_do_not_move_have_no_gradients(planted_mlp):
    nothing = torch.zeros(5, 3)
    with pytest.raises(NothingToSay, match="no logit moves with the embeddings"):
        planted_mlp({0: (nothing, nothing, nothing.T)}, {"p": 5})[0].measure("gradient_symmetricity")


@pytest.mark.parametrize("measure", ["keskar_sharpness", "sam_sharpness"])
def test_without_a_split_there_is_no_train_loss(make_run, measure):
    with pytest.raises(NothingToSay, match="nobody knows which examples were trained on"):
        fresh(make_run, MLP, split="unknown").measure(measure)
