"""Neurons planted on cosets, on representations and on single pairs; the published perceptrons on S5."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from interp.checkpoints import open_run
from interp.errors import NothingToSay
from tests import planted_groups
from tests.planted_groups import permutations
from tests.told import summary


@pytest.fixture
def of(make_run):
    """`of(planted, name="run")`: the checkpoint of a planted network."""

    def make(network, name="run"):
        return make_run({0: network.weights}, network.task, network.model, name)[0]

    return make


def test_a_circuit_of_cosets_is_constant_on_those_of_its_stabilisers(of):
    checkpoint = of(planted_groups.of_cosets(4))
    found = checkpoint.measure("coset_concentration")
    assert float(found.concentration.max()) < 1e-12
    assert float(found.explained) == float(found.constant) == float(found.beyond_chance) == 1
    subgroups, images = checkpoint.task.structure.subgroups, permutations(4)
    first, _, last = (axis.flatten() for axis in np.indices((4, 4, 4)))  # a takes i to j, b takes j to m
    for neuron in range(64):
        for side, point in enumerate((first[neuron], last[neuron])):
            fixes = subgroups[int(found.subgroup[side, neuron])].members
            assert fixes.tolist() == (images[:, point] == point).tolist()
    assert found.neurons[:, found.kind.index("6")].tolist() == [64, 64]


def test_representations_in_a_basis_of_their_own_are_no_nearer_to_cosets_than_chance(of):
    found = of(planted_groups.of_representations(4)).measure("coset_concentration")
    assert float(found.explained) == 1  # reflections halve a small group: below 1 tells nothing
    assert float(found.explained_by_chance) > 0.5
    assert float(found.beyond_chance) == 0


def test_a_neuron_for_each_pair_has_as_much_as_there_are_cosets(of):
    found = of(planted_groups.lookup_table(4)).measure("coset_concentration")
    torch.testing.assert_close(found.concentration, torch.full_like(found.concentration, 2.0))  # two, of A4
    assert float(found.explained) == float(found.beyond_chance) == 0


def test_it_is_blind_to_the_order_the_size_and_the_bias_of_neurons(of):
    network = planted_groups.of_representations(4)
    turned = torch.randperm(54, generator=torch.Generator().manual_seed(0))
    other = planted_groups.of_representations(4)
    other.weights["embed_a.W_E"] = 3 * network.weights["embed_a.W_E"][:, turned] - 2
    other.weights["embed_b.W_E"] = network.weights["embed_b.W_E"][:, turned] / 5
    found, expected = (of(one, name).measure("coset_concentration") for one, name in ((other, "b"), (network, "a")))
    torch.testing.assert_close(found.concentration, expected.concentration[:, turned])
    torch.testing.assert_close(found.subgroup, expected.subgroup[:, turned])


def test_a_transformer_s_neurons_are_asked_by_their_means_over_the_other_operand(make_run):
    model = {"transformer": {"d_model": 8, "n_heads": 2, "d_mlp": 6}}
    run = make_run({}, {"group_composition": {"group": "D3"}}, model, "empty")
    weights = run.architecture.initial(0)
    checkpoint = make_run({0: weights}, {"group_composition": {"group": "D3"}}, model)[0]
    found = checkpoint.measure("coset_concentration")
    pre = checkpoint.cache["blocks.0.mlp.hook_pre"][:, -1].double().view(6, 6, 6)
    for side, values in enumerate((pre.mean(dim=1), pre.mean(dim=0))):
        for neuron in range(6):
            best = min(
                sum(
                    values[labels == one, neuron].var() / values[:, neuron].var()
                    for one in range(int(labels.max()) + 1)
                )
                for subgroup in run.task.structure.subgroups
                if 1 < subgroup.order < 6
                for labels in [subgroup.left if side else subgroup.right]
            )
            assert float(found.concentration[side, neuron]) == pytest.approx(float(best), rel=1e-5)


def test_a_quotient_is_a_product_with_the_inverse(make_run):
    """x/y modulo 7 is a·b⁻¹ in C6: a neuron that sees whether b is a square sees a coset of the squares, {1, 2, 4}."""
    squares = torch.tensor([0.5, 1, 1, 0, 1, 0, 0]).double()[:, None]
    weights = {"embed_a.W_E": squares, "embed_b.W_E": squares.clone(), "unembed.W_U": torch.ones(1, 7).double()}
    task = {"modular_arithmetic": {"p": 7, "operation": "x/y"}}
    found = make_run({0: weights}, task, {"mlp": {"d_mlp": 1, "one_hot": True}})[0].measure("coset_concentration")
    assert found.concentration.flatten().tolist() == pytest.approx([0, 0], abs=1e-12)
    assert [found.kind[int(best)] for best in found.best.flatten()] == ["3", "3"]


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({"group_composition": {"group": "C5"}}, "C5 has no subgroups but itself and the identity"),
        ({"group_composition": {"group": "S3", "operation": "x*y*x"}}, "the answer is no product of a and b"),
        ({"modular_arithmetic": {"p": 5, "operation": "x^2+y^2"}}, "the task's answers are no products in a group"),
    ],
)
def test_where_there_are_no_cosets_it_says_why(make_run, task, reason):
    model = {"mlp": {"d_model": 4, "d_mlp": 5}}
    weights = make_run({}, task, model, "empty").architecture.initial(0)
    with pytest.raises(NothingToSay, match=reason):
        make_run({0: weights}, task, model)[0].measure("coset_concentration")


def test_neurons_that_see_one_operand_alone_leave_nothing_to_say(of):
    network = planted_groups.of_cosets(3)
    network.weights["embed_b.W_E"] = torch.zeros_like(network.weights["embed_b.W_E"])
    with pytest.raises(NothingToSay, match="varies with no operand, or with one alone"):
        of(network).measure("coset_concentration")


def test_the_sentence_says_what_chance_would(of):
    told = summary("coset_concentration", of(planted_groups.of_cosets(4)).run.measure("coset_concentration"))
    assert "below 1 for both operands is 100%" in told.sentence
    assert "100% of the 64 neurons are beyond chance" in told.sentence


@pytest.mark.slow
def test_the_published_perceptrons_that_answer_every_pair_see_cosets(reference):
    """At least 97% of their neurons are below 1 on both sides, and from .05 to 1 of them below 1e-5."""
    constants = []
    for folder in sorted((reference / "rep_theory").glob("S5_MLP*")):
        metrics = json.loads((folder / "gold.json").read_text())["metrics"]
        if metrics["train_acc"][1] < 1 or metrics["test_acc"][1] < 1:
            continue
        found = open_run(folder, "rep_theory").final.measure("coset_concentration")
        assert float(found.explained) >= 0.97, folder.name
        assert float(found.explained_by_chance) < 0.8, folder.name
        constants.append(float(found.constant))
    assert len(constants) >= 11
    assert (min(constants), max(constants)) == (pytest.approx(0.05, abs=0.01), 1)
