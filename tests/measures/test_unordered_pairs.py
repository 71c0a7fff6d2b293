"""A run of which each pair is one example: every measure says something right, or why it says nothing."""

from __future__ import annotations

import math

import pytest
import torch

from interp.catalogue.names import known_names
from interp.checkpoints import open_run
from interp.errors import NothingToSay
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.recipes.document import dump_yaml
from interp.results import account, schema
from tests.cheap_options import CHEAP

P = 11
SETTLED = {"chains": 2, "warm_up": 100, "draws": 20, "leapfrog": 12, "precision": 1e4}
"""Chains that are long enough to have come to equilibrium on these networks."""
OF_WAVES = [
    "circuit",
    "cosine_fit",
    "distance_irrelevance",
    "excluded_loss",
    "group_verdict",
    "inverse_participation",
    "irrep_hidden",
    "irrep_logits",
    "irrep_order",
    "irrep_weights",
    "key_freqs",
    "logit_spectrum",
    "neuron_activation",
    "neuron_commitment",
    "neuron_irreps",
    "neuron_logit_spectrum",
    "neuron_spectrum",
    "phase_alignment",
    "progress_phases",
    "restricted_loss",
    "trace_excluded_loss",
    "trace_restricted_loss",
]
SILENT = (
    "adversarial_accuracy",
    "attention_spectrum",
    "committee_theory",
    "coset_concentration",
    "coset_table",
    "grokking_rate",
    "hjorth",
    "ideal_accuracy",
    "local_complexity",
    "overlap",
    "recorded",
    "representation_quality",
)
MEASURES = [
    name
    for name in known_names("measures")
    if schema.subject(name) in ("checkpoint", "run") and not schema.is_over_runs(name)
]
SYMMETRIC = {"factored_mlp": {"d_model": 12, "d_mlp": 16}}
ONE_WAY = {"mlp": {"d_model": 6, "d_mlp": 8}}


def made(folder, model, pairs, weights=None, steps=(0,), **task):
    """A run of a network's fresh weights, or of these."""
    folder.mkdir(parents=True)
    task = {"modular_arithmetic": {"p": P, "pairs": pairs, "frac_train": 0.6, **task}}
    (folder / "run.yaml").write_text(dump_yaml({"task": task, "model": model}))
    store = CheckpointBlocks(folder / "weights")
    for step in steps:
        fresh = open_run(folder).architecture.initial(step) if weights is None else weights
        store.save(step, {name: weight.numpy() for name, weight in fresh.items()})
    return open_run(folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {
        "symmetric": made(folder / "symmetric", SYMMETRIC, "unordered", steps=(0, 10)),
        "ordered": made(folder / "ordered", SYMMETRIC, "ordered", steps=(0, 10)),
        "one way": made(folder / "one_way", ONE_WAY, "unordered"),
        "products": made(folder / "products", SYMMETRIC, "unordered", operation="x*y"),
    }


@pytest.mark.parametrize(
    "measure", [pytest.param(m, marks=() if m in OF_WAVES else pytest.mark.slow) for m in MEASURES]
)
def test_every_measure_says_something_or_why_not(runs, measure):
    options = SETTLED if measure == "local_learning_coefficient" else CHEAP.get(measure, {})
    for name in ("symmetric", "one way", *(["products"] if measure in OF_WAVES else [])):
        if measure in SILENT or (measure in OF_WAVES and name == "one way"):
            with pytest.raises(NothingToSay, match=r"\A.+\Z"):
                runs[name].measure(measure, **options)
            continue
        result = runs[name].measure(measure, **options)
        for panel in account.panels(measure, result):
            assert panel.draw().figure["data"], panel.title
        for finding in account.findings(measure, result):
            assert "nan" not in finding.text


@pytest.mark.parametrize("measure", OF_WAVES)
def test_of_a_network_that_reads_a_pair_one_way_there_are_no_waves(runs, measure):
    with pytest.raises(NothingToSay, match=r"^the task's pairs are not ordered, and the network answers \(b, a\)"):
        runs["one way"].final.measure(measure)


@pytest.mark.parametrize(
    ("measure", "field"),
    [
        ("cosine_fit", "coefficient"),
        ("distance_irrelevance", "correct_logit"),
        ("logit_spectrum", "answer_power"),
        ("neuron_spectrum", "own_share"),
        ("phase_alignment", "alignment"),
    ],
)
def test_waves_of_a_symmetric_network_are_those_over_ordered_pairs(runs, measure, field):
    found, expected = (getattr(runs[name].final.measure(measure), field) for name in ("symmetric", "ordered"))
    torch.testing.assert_close(found, expected, equal_nan=True)


def test_losses_without_waves_that_are_not_there_are_the_network_s_own_over_each_pair_once(tmp_path):
    """The closed form of PAIR's squares has frequency 1 alone, and is less sure the further the operands lie apart."""
    theta, angle = (2 * math.pi * torch.arange(n).double() / n for n in (5, P))
    weights = {
        "embed.W_E": torch.stack([angle.cos(), angle.sin()], dim=1),
        "mlp.W_in": torch.stack([theta.cos(), theta.sin()]),
        "mlp.W_out": torch.stack([(2 * theta).cos(), (2 * theta).sin()], dim=1),
    }
    model = {"factored_mlp": {"d_model": 2, "d_mlp": 5, "act_fn": "x^2"}}
    unordered, ordered = (made(tmp_path / name, model, name, weights)[0] for name in ("unordered", "ordered"))
    own, twice = (one.measure("loss") for one in (unordered, ordered))
    assert float(own.all_loss) < 0.99 * float(twice.all_loss)  # the diagonal, where it is surest, weighs more
    found = unordered.measure("excluded_loss", keys=[2])
    for part in ("all", "train", "test"):
        assert float(getattr(found, f"{part}_loss")) == pytest.approx(float(getattr(own, f"{part}_loss")))
    circuit = unordered.measure("circuit", keys=[2])
    torch.testing.assert_close(circuit.all_loss[3, 0], own.all_loss)
    assert float(unordered.measure("mechanism").all_accuracy) == 1


def test_a_trace_of_pairs_has_each_once(runs):
    result = runs["symmetric"].measure("pair_trace")
    there = result.confidence.notnull().isel(step=-1).values
    assert torch.equal(torch.from_numpy(there), torch.ones(P, P, dtype=torch.bool).triu())
    assert int(result.examined) == P * (P + 1) // 2
    assert int(result.trained.isel(step=-1).sum()) == int(0.6 * P * (P + 1) // 2)


def test_every_test_pair_is_novel_for_no_mirror_was_trained_on(runs):
    loss = runs["symmetric"].final.measure("loss")
    assert float(loss.novel_loss) == float(loss.test_loss)
