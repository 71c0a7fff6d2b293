from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from interp.models.mlp import mlp
from interp.tasks.modular_arithmetic import modular_arithmetic
from tests.told import summary


def table_network(logits):
    """Weights of an MLP whose logits are exactly this table [p, p, p]: one neuron per pair, 1 on it and 0 elsewhere."""
    p = len(logits)
    first, second = torch.cartesian_prod(torch.arange(p), torch.arange(p)).unbind(1)
    one_hot = torch.eye(p)
    weights = {
        "embed_a.W_E": one_hot,
        "embed_b.W_E": one_hot,
        "mlp.W_in": torch.cat([one_hot[first].T, one_hot[second].T]),
        "mlp.b_in": -torch.ones(p * p),
        "unembed.W_U": logits.reshape(p * p, p),
        "unembed.b_U": torch.zeros(p),
    }
    return weights, {"mlp": {"d_model": p, "d_mlp": p * p, "biases": "all"}}


def clock_logits(p, freqs, strength=1.0):
    """sum_k cos w_k(a + b - c)."""
    residues = torch.arange(p)
    distance = residues[:, None, None] + residues[None, :, None] - residues
    return strength * sum(torch.cos(2 * math.pi * k * distance / p) for k in freqs)


def knows_only(task, known, strength=30.0):
    """Logits that are sure of the answer where `known` (a mask over pairs), and of the next residue elsewhere."""
    said = torch.where(known, task.targets, (task.targets + 1) % task.p)
    return strength * torch.nn.functional.one_hot(said, task.p).float().reshape(task.p, task.p, task.p)


def test_the_table_network_has_the_logits_it_was_made_of(make_run):
    logits = torch.randn(5, 5, 5, generator=torch.Generator().manual_seed(0))
    weights, model = table_network(logits)
    run = make_run({0: weights}, {"modular_arithmetic": {"p": 5}}, model)
    torch.testing.assert_close(run[0].logits, logits.reshape(25, 5).double())


def test_a_sum_of_waves_has_the_cross_entropy_of_its_one_distinct_row(make_run):
    p, freqs = 11, (2, 3)
    weights, model = table_network(clock_logits(p, freqs))
    run = make_run({0: weights}, {"modular_arithmetic": {"p": p}}, model)
    loss = run[0].measure("loss")
    row = [sum(math.cos(2 * math.pi * k * d / p) for k in freqs) for d in range(p)]
    expected = math.log(sum(map(math.exp, row))) - len(freqs)
    for value in (loss.train_loss, loss.test_loss, loss.all_loss, loss.novel_loss):
        assert float(value) == pytest.approx(expected, rel=1e-6)
    for value in (loss.train_accuracy, loss.test_accuracy, loss.all_accuracy, loss.novel_accuracy):
        assert float(value) == 1


@pytest.mark.parametrize("operation", ["x+y", "x-y"])
def test_a_network_that_knows_its_training_set_and_the_mirrors_answers_no_novel_pair(make_run, operation):
    options = {"p": 11, "operation": operation, "frac_train": 0.4}
    task = modular_arithmetic(**options)
    answer = dict(zip(map(tuple, task.pairs.tolist()), task.targets.tolist(), strict=True))
    trained = {pair for pair, of_train in zip(answer, task.train.tolist(), strict=True) if of_train}
    known = torch.tensor(
        [
            (a, b) in trained or ((b, a) in trained and answer[b, a] == answer[a, b])
            for a, b in map(tuple, task.pairs.tolist())
        ]
    )
    weights, model = table_network(knows_only(task, known))
    loss = make_run({0: weights}, {"modular_arithmetic": options}, model)[0].measure("loss")
    tests = ~task.train
    assert float(loss.train_accuracy) == 1
    assert float(loss.novel_accuracy) == 0
    assert float(loss.test_accuracy) == pytest.approx(float(known[tests].double().mean()))
    assert (known & tests).any() == (operation == "x+y")
    wrong = 30 + math.log1p(10 * math.exp(-30))
    assert float(loss.novel_loss) == pytest.approx(wrong, rel=1e-6)
    assert float(loss.all_loss) == pytest.approx(wrong * float((~known).double().mean()), rel=1e-6)


def test_novel_pairs_are_the_complement_of_known_ones_when_only_they_are_right(make_run):
    options = {"p": 11, "frac_train": 0.4}
    task = modular_arithmetic(**options)
    table = task.table(task.train.double()) > 0
    novel = ~(table | table.T)
    weights, model = table_network(knows_only(task, novel.flatten()))
    loss = make_run({0: weights}, {"modular_arithmetic": options}, model)[0].measure("loss")
    assert float(loss.novel_accuracy) == 1
    assert float(loss.train_accuracy) == 0
    assert float(loss.test_accuracy) == pytest.approx(float(novel.sum() / (~table).sum()))


def test_where_a_mirror_has_another_answer_every_test_pair_is_novel(make_run):
    options = {"p": 11, "operation": "x-y", "frac_train": 0.4}
    task = modular_arithmetic(**options)
    trained = task.table(task.train.double()) > 0
    weights, model = table_network(knows_only(task, (trained.T & ~trained).flatten()))
    loss = make_run({0: weights}, {"modular_arithmetic": options}, model)[0].measure("loss")
    assert float(loss.novel_accuracy) == float(loss.test_accuracy) > 0.2


def test_losses_far_below_the_resolution_of_float32_are_exact(make_run):
    p, strength = 5, 40.0
    weights, model = table_network(knows_only(modular_arithmetic(p), torch.ones(p * p, dtype=torch.bool), strength))
    loss = make_run({0: weights}, {"modular_arithmetic": {"p": p}}, model)[0].measure("loss")
    assert float(loss.all_loss) == pytest.approx((p - 1) * math.exp(-strength), rel=1e-9)


def test_where_the_split_is_unknown_only_the_curves_over_all_pairs_are_numbers(make_run):
    weights, model = table_network(clock_logits(5, (1,)))
    loss = make_run({0: weights}, {"modular_arithmetic": {"p": 5, "split": "unknown"}}, model)[0].measure("loss")
    assert float(loss.all_accuracy) == 1
    for name in ("train", "test", "novel"):
        assert getattr(loss, f"{name}_loss").isnan()
        assert getattr(loss, f"{name}_accuracy").isnan()


def test_the_equals_sign_s_logit_counts(make_run):
    options = {"d_model": 4, "n_heads": 1, "d_mlp": 3}
    architecture_task = {"modular_arithmetic": {"p": 5}}
    run = make_run({}, architecture_task, {"transformer": options}, name="empty")
    weights = {name: torch.zeros(shape) for name, shape in run.architecture.shapes.items()}
    run = make_run({0: weights}, architecture_task, {"transformer": options})
    assert float(run[0].measure("loss").all_loss) == pytest.approx(math.log(6))


def test_neither_neuron_order_nor_the_basis_of_the_residual_stream_nor_the_names_of_residues_matter(make_run):
    p, unit = 7, 3
    generator = torch.Generator().manual_seed(1)
    model = {"d_model": 8, "n_heads": 2, "d_mlp": 6}
    shapes = make_run({}, {"modular_arithmetic": {"p": p}}, {"transformer": model}, name="empty").architecture.shapes
    w = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}
    Q = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64)).Q
    order = torch.randperm(6, generator=generator)
    names = torch.cat([torch.arange(p) * pow(unit, -1, p) % p, torch.tensor([p])])
    changed = {
        "embed.W_E": w["embed.W_E"][names] @ Q,
        "pos_embed.W_pos": w["pos_embed.W_pos"] @ Q,
        **{f"blocks.0.attn.W_{letter}": Q.T @ w[f"blocks.0.attn.W_{letter}"] for letter in "QKV"},
        "blocks.0.attn.W_O": w["blocks.0.attn.W_O"] @ Q,
        "blocks.0.mlp.W_in": (Q.T @ w["blocks.0.mlp.W_in"])[:, order],
        "blocks.0.mlp.b_in": w["blocks.0.mlp.b_in"][order],
        "blocks.0.mlp.W_out": w["blocks.0.mlp.W_out"][order] @ Q,
        "blocks.0.mlp.b_out": w["blocks.0.mlp.b_out"] @ Q,
        "unembed.W_U": Q.T @ w["unembed.W_U"][:, names],
    }
    task = {"modular_arithmetic": {"p": p, "frac_train": 1.0}}
    before, after = (
        make_run({0: weights}, task, {"transformer": model}, name=name)[0].measure("loss")
        for name, weights in (("before", w), ("after", changed))
    )
    assert float(after.all_loss) == pytest.approx(float(before.all_loss), rel=1e-12)
    assert float(after.all_accuracy) == float(before.all_accuracy)


# Over a run.


def test_the_summary_names_the_steps_at_which_the_training_set_and_the_task_were_first_known(make_run):
    options = {"p": 7, "frac_train": 0.5}
    task = modular_arithmetic(**options)
    nothing = torch.zeros(49, dtype=torch.bool)
    stages = {0: nothing, 10: task.train, 20: task.train, 30: ~nothing, 40: ~nothing}
    networks = {step: table_network(knows_only(task, known)) for step, known in stages.items()}
    run = make_run(
        {step: weights for step, (weights, _) in networks.items()}, {"modular_arithmetic": options}, networks[0][1]
    )
    told = summary("loss", run.measure("loss"))
    assert (told.values["memorised_step"], told.values["generalised_step"]) == (10, 30)
    assert [(phase.name, phase.start, phase.end) for phase in told.phases] == [
        ("fitting", 0, 10),
        ("plateau", 10, 30),
        ("generalised", 30, 40),
    ]
    assert "3 times as late" in told.sentence


def test_what_was_lost_again_is_told(make_run):
    options = {"p": 7, "frac_train": 0.5}
    task = modular_arithmetic(**options)
    nothing = torch.zeros(49, dtype=torch.bool)
    stages = {0: nothing, 10: ~nothing, 20: task.train}
    networks = {step: table_network(knows_only(task, known)) for step, known in stages.items()}
    run = make_run(
        {step: weights for step, (weights, _) in networks.items()}, {"modular_arithmetic": options}, networks[0][1]
    )
    told = summary("loss", run.measure("loss"))
    accuracy = float(run.final.measure("loss").test_accuracy)
    assert "it lost that again: at the end 100% of the training and" in told.sentence
    assert told.values["test_accuracy"] == accuracy
    assert "generalised" not in [phase.name for phase in told.phases]
    weights = {step: one for step, (one, _) in networks.items()} | {30: networks[10][0]}
    again = make_run(weights, {"modular_arithmetic": options}, networks[0][1], "again")
    told = summary("loss", again.measure("loss"))
    assert "it lost that again, and generalises once more at step 30, the last; at the end 100%" in told.sentence


def test_what_guessing_may_do_is_told_with_its_chance(make_run):
    """Two test examples of five answers, each guessed right with a chance of 1/5."""
    options = {"p": 5, "frac_train": 0.92}
    task = modular_arithmetic(**options)
    assert int((~task.train).sum()) == 2
    weights, model = table_network(clock_logits(5, (1,), 30.0))
    run = make_run({0: weights}, {"modular_arithmetic": options}, model)
    told = summary("loss", run.measure("loss"))
    assert told.values["luck"] == pytest.approx(0.04)
    assert "guessing would do as well with a chance of 4%" in told.sentence


def test_a_run_trained_on_every_pair_is_not_said_to_have_failed_to_generalise(make_run):
    weights, model = table_network(clock_logits(5, (1,), 30.0))
    run = make_run({0: weights}, {"modular_arithmetic": {"p": 5, "frac_train": 1.0}}, model)
    assert "nan" not in summary("loss", run.measure("loss")).sentence


def test_the_published_perceptron_has_its_published_losses_and_accuracies(make_run, reference: Path):
    folder = reference / "rep_theory" / "C113_MLP_seed3"
    gold = json.loads((folder / "gold.json").read_text())
    tensors = torch.load(folder / "model.pt", weights_only=True, map_location="cpu")
    names = {"W_x": "embed_a.W_E", "W_y": "embed_b.W_E", "W": "mlp.W_in", "W_U": "unembed.W_U"}
    options = {"p": 113, "split": "rep_theory", "seed": gold["config"]["seed"]}
    run = make_run(
        {250_000: {names[key]: value for key, value in tensors.items()}},
        {"modular_arithmetic": options | {"frac_train": gold["config"]["frac_train"]}},
        "mlp",
    )
    assert run.architecture == mlp(run.task)
    loss = run.final.measure("loss")
    for ours, theirs in {
        "train_loss": "train_loss",
        "test_loss": "test_loss",
        "all_loss": "all_loss",
        "train_accuracy": "train_acc",
        "test_accuracy": "test_acc",
    }.items():
        assert float(getattr(loss, ours)) == pytest.approx(gold["metrics"][theirs][1], rel=1e-6, abs=0)
