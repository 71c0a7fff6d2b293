"""Each account is the verdict of networks that are built by it, and no other; the published perceptrons on S5."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from interp.checkpoints import open_run
from interp.errors import NothingToSay
from interp.measures.group_verdict import verdict_of
from interp.measures.group_verdict.accounts import StandIn, Whole
from interp.measures.shared.memory import OfMemory
from tests import planted, planted_groups
from tests.planted_groups import matrices, permutations, products
from tests.told import summary


@pytest.fixture
def of(make_run):
    def measure(network, name="run"):
        return make_run({0: network.weights}, network.task, network.model, name)[0].measure("group_verdict")

    return measure


@pytest.mark.parametrize(
    ("verdict", "plant"),
    [
        ("cosets", lambda: planted_groups.of_cosets(3)),
        ("cosets", lambda: planted_groups.of_cosets(4)),
        ("representations", lambda: planted_groups.of_representations(4)),
        ("memorisation", lambda: planted_groups.lookup_table(4)),
        ("representations", lambda: planted.clock_mlp(13)),
        ("representations", lambda: planted.clock_transformer(13)),
        ("memorisation", lambda: planted.lookup_table(13)),
        ("unclear", lambda: planted.untrained(13)),
    ],
)
def test_every_planted_network_gets_its_verdict(of, verdict, plant):
    found = of(plant())
    assert found.verdict == verdict
    assert 0 <= float(found.margin) <= 1


def test_a_network_that_is_its_account_is_explained_whole(of):
    """The logits of both are 8 fix(c⁻¹ab), up to a constant, so that the loss is a sum over the permutations."""
    fixed = matrices(4).trace(axis1=1, axis2=2)
    expected = math.log(np.exp(8 * (fixed - 4)).sum())
    for name in ("of_cosets", "of_representations"):
        found = of(getattr(planted_groups, name)(4), name)
        assert float(found.all_loss) == pytest.approx(expected, rel=1e-9)
        assert float(found.loss[0]) == pytest.approx(expected, rel=1e-6), name  # representations
        assert float(found.explained[0]) == pytest.approx(1)
        assert found.key_irreps == 1
    cosets = of(planted_groups.of_cosets(4), "cosets")
    assert float(cosets.explained[1]) == pytest.approx(1)
    assert float(cosets.loss[1]) == pytest.approx(expected, rel=1e-6)
    assert float(cosets.accuracy[2]) < 0.5  # any cosets of such subgroups would not do


def test_the_account_of_cosets_is_what_hooks_make_of_the_network(make_run):
    """What enters each neuron is replaced in the hooked module, by means over cosets that NumPy takes."""
    network = planted_groups.of_representations(4)
    checkpoint = make_run({0: network.weights}, network.task, network.model)[0]
    cosets = checkpoint.measure("coset_concentration")
    subgroups, images = checkpoint.task.structure.subgroups, permutations(4)
    place = {tuple(row): number for number, row in enumerate(images.tolist())}
    from_a, from_b = (network.weights[f"embed_{side}.W_E"].numpy().copy() for side in "ab")
    product = products(4)
    for neuron in range(from_a.shape[1]):
        for side, functions in enumerate((from_a, from_b)):
            inside = np.flatnonzero(subgroups[int(cosets.subgroup[side, neuron])].members.numpy())
            coset = product[inside].T if side == 0 else product[:, inside]  # H x, x H: [x, member]
            functions[:, neuron] = functions[coset, neuron].mean(axis=1)
    assert place[tuple(range(4))] == 0
    pairs = checkpoint.task.pairs.numpy()
    pre = torch.tensor(from_a[pairs[:, 0]] + from_b[pairs[:, 1]])
    hooked = checkpoint.run.architecture.hooked(network.weights)
    hooks = [("mlp.hook_pre", lambda value, hook: pre)]  # noqa: ARG005 (TransformerLens's signature)
    logits = hooked.run_with_hooks(checkpoint.tokens, fwd_hooks=hooks)
    expected = torch.nn.functional.cross_entropy(logits, checkpoint.task.targets).detach()
    found = checkpoint.measure("group_verdict")
    assert float(found.loss[1]) == pytest.approx(float(expected), rel=1e-9)


def test_it_is_blind_to_the_order_of_neurons_and_to_a_relabelling(of):
    network, other = planted_groups.of_cosets(4), planted_groups.of_cosets(4)
    turned = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    for name in ("embed_a.W_E", "embed_b.W_E"):
        other.weights[name] = network.weights[name][:, turned]
    other.weights["unembed.W_U"] = network.weights["unembed.W_U"][turned]
    one, same = of(network, "one"), of(other, "same")
    assert one.verdict == same.verdict == "cosets"
    torch.testing.assert_close(one.loss[:2], same.loss[:2])
    torch.testing.assert_close(one.explained[:2], same.explained[:2])


MEMORY = OfMemory(train_accuracy=1.0, novel_accuracy=0.01, chance=0.01, random_labels=False)


def whole(**numbers: float) -> Whole:
    """A network on 1,000 pairs that both accounts stand in for, but for what is said."""
    given = {"right": 1.0, "cosets": 1.0, "representations": 1.0, "left": 0.0} | numbers
    accounts = {name: StandIn(right=1000 * given[name]) for name in ("representations", "cosets")}
    return Whole(accounts, 1000.0, 24, right=1000 * given["right"], left_right=1000 * given["left"], from_alike=1000.0)


@pytest.mark.parametrize(
    ("numbers", "beyond", "verdicts"),
    [
        (lambda x: whole(cosets=0.99 + x), 1.0, ("representations", "cosets")),
        (lambda x: whole(cosets=0.5, representations=0.99 + x), 1.0, ("unclear", "representations")),
        (lambda x: whole(cosets=0.5, left=0.5 - x), 1.0, ("unclear", "representations")),
        (lambda x: whole(right=0.99 + x), 1.0, ("unclear", "cosets")),
    ],
)
def test_the_margin_goes_to_nothing_at_a_bar_from_both_sides(numbers, beyond, verdicts):
    unknown = OfMemory(train_accuracy=1.0, novel_accuracy=1.0, chance=0.01, random_labels=False)
    for x, verdict in zip((-1e-6, 1e-6), verdicts, strict=True):
        made = verdict_of(numbers(x), unknown, beyond)
        assert made.verdict == verdict
        assert made.margin < 1e-3


def test_half_of_the_neurons_beyond_chance_tell_cosets_from_representations():
    assert verdict_of(whole(), MEMORY, 0.51).verdict == "cosets"
    made = verdict_of(whole(), MEMORY, 0.49)
    assert (made.verdict, made.next) == ("representations", "cosets")


def test_without_cosets_the_account_is_silent_and_the_others_speak(of):
    found = of(planted.clock_mlp(13))
    assert found.loss[1:].isnan().all()
    assert float(found.agreement[0]) > 0.95


def test_operations_without_a_group_have_no_accounts(make_run):
    task, model = {"modular_arithmetic": {"p": 5, "operation": "x^2+y^2"}}, {"mlp": {"d_model": 4, "d_mlp": 5}}
    weights = make_run({}, task, model, "empty").architecture.initial(0)
    with pytest.raises(NothingToSay, match="the task's answers are no products in a group"):
        make_run({0: weights}, task, model)[0].measure("group_verdict")


def test_the_sentence_names_the_account_and_what_decided_it(make_run):
    network = planted_groups.of_representations(4)
    run = make_run({0: network.weights}, network.task, network.model)
    told = summary("group_verdict", run.measure("group_verdict"))
    assert "The account of representations holds" in told.sentence
    assert "margin" in told.sentence
    table = planted_groups.lookup_table(4)
    memory = make_run({0: table.weights}, table.task, table.model, "table")
    assert "it is memorising" in summary("group_verdict", memory.measure("group_verdict")).sentence.lower()


def told_of(make_run, network, name, **options):
    task = {kind: given | options for kind, given in network.task.items()}
    run = make_run({0: network.weights}, task, network.model, name)
    return run.measure("group_verdict"), summary("group_verdict", run.measure("group_verdict")).sentence


def test_the_sentence_says_of_which_account_the_number_is_that_decided(make_run):
    """By what a representation itself is asked for, and by what the account of cosets misses."""
    found, said = told_of(make_run, planted_groups.of_representations(4), "run")
    assert (found.verdict.values[-1], found.next_verdict.values[-1]) == ("representations", "unclear")
    assert "What decides: the share of all pairs that it answers right without the representations" in said
    other = found.copy(deep=True)
    cosets = float(other.agreement.sel(account="cosets")[-1])
    other["decided_by"][-1], other["next_verdict"][-1] = "agreement", "cosets"
    other["decided_value"][-1], other["decided_bar"][-1] = cosets, 0.95
    said = summary("group_verdict", other).sentence
    words = "answers all alike that the account of cosets accounts for is"
    assert f"What tells it from cosets: the share of its divergence from {words}" in said


def test_nobody_can_tell_memory_where_the_training_pairs_are_unknown(make_run):
    table = planted_groups.lookup_table(4)
    found, said = told_of(make_run, table, "unknown", split="unknown")
    assert found.verdict.values[-1] == "unclear"
    assert "whether it is memorising nobody can tell" in said
    assert "it is not memorising" not in said
    assert float(found.margin[-1]) == 1
    assert "No verdict comes near" in said
    assert "Nearest" not in said


@pytest.mark.slow
def test_the_published_perceptrons_on_s5_are_cosets_where_they_have_learned(reference):
    learned = {}
    for folder in sorted((reference / "rep_theory").glob("S5_MLP*")):
        metrics = json.loads((folder / "gold.json").read_text())["metrics"]
        right = metrics["train_acc"][1] == metrics["test_acc"][1] == 1
        learned.setdefault(right, []).append(open_run(folder, "rep_theory").final.measure("group_verdict"))
    assert len(learned[True]) >= 11
    assert {found.verdict for found in learned[True]} == {"cosets"}
    assert min(float(found.explained[1]) for found in learned[True]) > 0.9  # .53 or more by representations
    assert all(found.explained[1] > found.explained[0] for found in learned[True])
    assert {found.verdict for found in learned[False]} <= {"memorisation", "unclear"}
