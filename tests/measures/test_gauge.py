"""One vector added to every column of W_U gives all logits of a pair the same, which changes no answer."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from interp.catalogue.names import find, known_names
from interp.results import schema
from tests import planted
from tests.measures.test_key_freqs import network as transformer_of_neurons
from tests.measures.test_key_freqs import wave

BLIND = [
    "active_subnetwork",
    "attention_spectrum",
    "circuit",
    "circularity",
    "cosine_fit",
    "delay",
    "embedding_circle",
    "embedding_dft",
    "excluded_loss",
    "group_verdict",
    "irrep_hidden",
    "irrep_logits",
    "irrep_order",
    "key_freqs",
    "logit_spectrum",
    "loss",
    "mechanism",
    "neuron_activation",
    "neuron_commitment",
    "neuron_interventions",
    "neuron_irreps",
    "neuron_logit_spectrum",
    "neuron_spectrum",
    "o_information",
    "outcome",
    "pair_trace",
    "phase_alignment",
    "relapse",
    "restricted_loss",
    "time_to",
    "trace_excluded_loss",
    "trace_restricted_loss",
]
AS_PUBLISHED = ["distance_irrelevance", "gradient_symmetricity", "inverse_participation", "irrep_weights"]
"""Of single logits, or of weights with their mean; their docstrings say so."""
OF_WEIGHTS = [
    "committee_theory",
    "complexity",
    "coset_concentration",
    "coset_table",
    "effective_dimension",
    "embedding_geometry",
    "grokking_rate",
    "hjorth",
    "ideal_accuracy",
    "keskar_sharpness",
    "lazy_rich",
    "local_learning_coefficient",
    "logit_scale",
    "loss_landscape",
    "margin",
    "nlm_alignment",
    "overlap",
    "progress_phases",
    "representation_quality",
    "sam_sharpness",
    "sharpness",
    "slingshots",
    "softmax_collapse",
    "spectral",
    "weight_mixture",
    "weight_norm",
]
"""Of the weights themselves, of what enters the neurons, or of the loss where the weights are moved about."""
OF_INPUTS = [
    "adversarial_accuracy",
    "local_complexity",
]
"""Of inputs that are numbers and are moved about, which those of these networks are not."""
OF_RUNS = [
    "learning_curves",
    "paper_table",
    "recipe_differences",
    "recorded",
    "recorded_classes",
    "recorded_counts",
    "scatter",
    "sharpness_accuracy",
    "verdicts",
    "weight_path",
]


def untrained(make_run, model, name):
    task = {"modular_arithmetic": {"p": 7}}
    weights = make_run({}, task, model, name).architecture.initial(1)
    return {key: value.double() for key, value in weights.items()}, task, model


def networks(make_run):
    """As many logits as answers, one more, many more; two layers; a planted circuit; products."""
    clock = planted.clock_transformer(7, {1: 9.0, 2: 6.0})
    generator = torch.Generator().manual_seed(0)
    clock.weights["unembed.W_U"] += 0.1 * torch.randn(
        clock.weights["unembed.W_U"].shape, generator=generator, dtype=torch.float64
    )  # so that no ablation leaves logits all alike, of which rounding would choose one
    tables = torch.stack([1 + wave(7, freq, freq) for freq in (1, 3)], dim=-1)
    of_neurons, two_layers = transformer_of_neurons(tables)
    of_neurons["unembed.W_U"] = torch.randn(of_neurons["unembed.W_U"].shape, generator=generator, dtype=torch.float64)
    of_neurons["blocks.1.mlp.W_out"] += 0.1
    small = {"d_model": 8, "n_heads": 2, "d_mlp": 6}
    fresh = untrained(make_run, {"transformer": small | {"d_vocab_out": 20}}, "shapes of many")
    return {
        "clock": (clock.weights, clock.task, clock.model),
        "perceptron": untrained(
            make_run, {"mlp": {"d_model": 5, "d_mlp": 6, "biases": "all"}}, "shapes of a perceptron"
        ),
        "many logits": fresh,
        "two layers": (of_neurons, {"modular_arithmetic": {"p": 7}}, two_layers),
        "products": (fresh[0], {"modular_arithmetic": {"p": 7, "operation": "x*y"}}, fresh[2]),
    }


def numbers(answer):
    """Every field, in float64, by name."""
    return {
        field.name: torch.as_tensor(getattr(answer, field.name)).double()
        for field in dataclasses.fields(answer)
        if not isinstance(getattr(answer, field.name), str | tuple | None)
    }


def test_of_every_measure_it_is_known_whether_it_sees_what_all_logits_have_alike():
    assert sorted(BLIND + AS_PUBLISHED + OF_WEIGHTS + OF_INPUTS + OF_RUNS) == sorted(known_names("measures"))
    assert all(schema.subject(name) == "checkpoint" for name in BLIND)


@pytest.mark.parametrize("kind", ["clock", "perceptron", "many logits", "two layers", "products"])
def test_what_all_logits_have_alike_is_not_seen(make_run, kind):
    weights, task, model = networks(make_run)[kind]
    generator = torch.Generator().manual_seed(3)
    added = 3 * torch.randn(len(weights["unembed.W_U"]), 1, generator=generator, dtype=torch.float64)
    moved = weights | {"unembed.W_U": weights["unembed.W_U"] + added}
    before, after = (
        make_run({0: each}, task, model, name)[0] for name, each in (("before", weights), ("after", moved))
    )
    assert not torch.allclose(before.logits, after.logits, atol=0.1)
    for measure in BLIND:
        if measure == "attention_spectrum" and "mlp" in model:
            continue
        if measure == "o_information" and kind == "two layers":  # two of its neurons vary
            continue
        found = [numbers(one.measure(measure)) for one in (before, after)]
        for name in found[0].keys() - {"gradient_symmetricity", "distance_irrelevance"}:
            torch.testing.assert_close(
                found[1][name], found[0][name], rtol=1e-6, atol=1e-6, equal_nan=True, msg=f"{measure}.{name}"
            )


@pytest.mark.parametrize("measure", AS_PUBLISHED)
def test_what_is_as_published_sees_it_and_says_so(make_run, measure):
    weights, task, model = networks(make_run)["perceptron"]
    moved = weights | {"unembed.W_U": weights["unembed.W_U"] + 1}
    before, after = (
        numbers(make_run({0: each}, task, model, name)[0].measure(measure))
        for name, each in (("before", weights), ("after", moved))
    )
    assert any(not torch.allclose(after[name], before[name], equal_nan=True) for name in before)
    assert "as published" in " ".join(find("measures", measure).__doc__.split())
