from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from interp.checkpoints import open_run
from interp.errors import InterpError, NothingToSay
from interp.measures.shared.around_grokking import around_grokking
from tests import planted
from tests.told import summary

P, KEYS = 7, [1, 3]
SUM = {"modular_arithmetic": {"p": P}}
NETWORKS = {
    "mainline": {"transformer": {"d_model": 12, "n_heads": 2, "d_mlp": 10}},
    "two layers": {"transformer": {"n_layers": 2, "d_model": 8, "n_heads": 2, "d_mlp": 6}},
    "pizza": {
        "transformer": {
            "d_model": 8,
            "n_heads": 2,
            "d_mlp": 6,
            "act_fn": "gelu",
            "causal": False,
            "attention_rate": 0.4,
            "row": "a b",
            "shared_vocab": False,
            "biases": "all",
        }
    },
    "perceptron": {"mlp": {"d_model": 5, "d_mlp": 6}},
    "two hidden layers": {
        "mlp": {"d_model": 5, "d_mlp": 6, "n_layers": 2, "shared_embedding": True, "combine": "added", "biases": "all"}
    },
}


def waves(p, freqs):
    """1, cos and sin of each frequency, as columns over the residues."""
    x = torch.arange(p).double()
    return {k: torch.stack([f(2 * math.pi * k * x / p) for f in (torch.cos, torch.sin)], dim=1) for k in freqs}


def projected(x, columns):
    return columns @ torch.linalg.lstsq(columns, x).solution


def ablated(x, columns, ablation):
    """`x` [row, m] without its part along the columns, or with its mean and that part only."""
    part = projected(x, columns)
    return x - part if ablation == "without key" else x.mean(0) + part


def of_pairs(p, freqs):
    """The eight waves of each frequency over the pairs, as columns."""
    columns = []
    for wave in waves(p, freqs).values():
        with_one = torch.cat([torch.ones(p, 1).double(), wave], dim=1)
        products = torch.einsum("af,bg->abfg", with_one, with_one).reshape(p * p, 9)
        columns.append(products[:, 1:])
    return torch.cat(columns, dim=1)


def through_hooks(checkpoint, stage, ablation):
    """All logits at the last position when the stage is replaced by a hook of the hooked module, in float64."""
    model, tokens, architecture = checkpoint.model.double(), checkpoint.tokens, checkpoint.run.architecture
    is_transformer = tokens.shape[1] > 2 or hasattr(architecture, "n_heads")
    pairs = of_pairs(P, KEYS)

    def embedding(value, hook):  # noqa: ARG001 (hooks are called with it)
        residues = torch.cat(list(waves(P, KEYS).values()), dim=1)
        for operand in (0, 1):
            table = value[:, operand].unflatten(0, (P, P)).select(1 - operand, 0)  # [p, d_model]
            changed = ablated(table, residues, ablation)
            value[:, operand] = changed[checkpoint.task.pairs[:, operand]]
        return value

    def at_the_last_position(value, hook):  # noqa: ARG001
        if is_transformer:
            value[:, -1] = ablated(value[:, -1], pairs, ablation)
            return value
        return ablated(value, pairs, ablation)

    name = {
        "embedding": "hook_embed",
        "attention": architecture.neurons.replace("mlp.hook_post", "hook_attn_out"),
        "neurons": architecture.neurons,
    }
    hook = embedding if stage == "embedding" else at_the_last_position
    with torch.no_grad():
        logits = model.run_with_hooks(tokens, fwd_hooks=[(name[stage], hook)])
    return logits[:, -1] if is_transformer else logits


@pytest.fixture
def untrained(make_run):
    def make(kind):
        model = NETWORKS[kind]
        run = make_run({}, SUM, model, name=f"{kind} without weights")
        weights = {name: value.double() for name, value in run.architecture.initial(3).items()}
        generator = torch.Generator().manual_seed(0)
        weights = {
            name: torch.randn(value.shape, generator=generator, dtype=torch.float64) if ".b_" in name else value
            for name, value in weights.items()
        }
        return make_run({0: weights}, SUM, model, name=kind)[0]

    return make


@pytest.mark.parametrize("ablation", ["without key", "only key"])
@pytest.mark.parametrize("stage", ["embedding", "attention", "neurons"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_an_ablation_is_the_replacement_of_an_activation_through_the_hooks(untrained, kind, stage, ablation):
    checkpoint = untrained(kind)
    found = checkpoint.measure("circuit", keys=KEYS)
    place = found.stage.index(stage), found.ablation.index(ablation)
    if stage == "attention" and "mlp" in NETWORKS[kind]:
        assert found.all_loss[place].isnan()
        assert found.all_accuracy[place].isnan()
        assert found.share[place[0]].isnan()
        return
    logits, answers, train = through_hooks(checkpoint, stage, ablation), checkpoint.task.targets, checkpoint.task.train
    for name, chosen in (("all", slice(None)), ("train", train), ("test", ~train)):
        expected = torch.nn.functional.cross_entropy(logits[chosen], answers[chosen])
        assert float(getattr(found, f"{name}_loss")[place]) == pytest.approx(float(expected), rel=1e-9)
        right = (logits[chosen].argmax(1) == answers[chosen]).double().mean()
        assert float(getattr(found, f"{name}_accuracy")[place]) == pytest.approx(float(right))


@pytest.mark.parametrize("kind", ["mainline", "perceptron"])
def test_the_logits_are_ablated_along_cos_and_sin_of_the_answer(untrained, kind):
    checkpoint = untrained(kind)
    found = checkpoint.measure("circuit", keys=KEYS)
    columns = torch.cat(list(waves(P, KEYS).values()), dim=1)[checkpoint.task.targets]
    centred = checkpoint.logits - checkpoint.logits.mean(1, keepdim=True)
    logits = centred.clone()
    for place, ablation in enumerate(found.ablation):
        logits[:, :P] = ablated(centred[:, :P], columns, ablation)
        expected = torch.nn.functional.cross_entropy(logits, checkpoint.task.targets)
        assert float(found.all_loss[-1, place]) == pytest.approx(float(expected), rel=1e-9)


def test_the_share_is_that_of_the_projection_s_variance(untrained):
    checkpoint = untrained("two layers")
    found = checkpoint.measure("circuit", keys=KEYS)
    attn_out = checkpoint.model.double().run_with_cache(checkpoint.tokens)[1]["blocks.1.hook_attn_out"][:, -1].detach()
    residues = torch.cat(list(waves(P, KEYS).values()), dim=1)
    expected = [
        (checkpoint.embedding, residues),
        (attn_out, of_pairs(P, KEYS)),
        (checkpoint.neurons, of_pairs(P, KEYS)),
        ((checkpoint.logits - checkpoint.logits.mean(1, keepdim=True))[:, :P], residues[checkpoint.task.targets]),
    ]
    for stage, (x, columns) in enumerate(expected):
        share = projected(x, columns).square().sum() / (x - x.mean(0)).square().sum()
        assert float(found.share[stage]) == pytest.approx(float(share), rel=1e-9)


@pytest.mark.parametrize("plant", [planted.clock_mlp, planted.clock_transformer, planted.pizza_transformer])
def test_a_planted_circuit_runs_through_its_frequencies_alone(make_run, plant):
    network = plant()
    found = make_run({0: network.weights}, network.task, network.model)[0].measure("circuit", keys=[1, 3])
    there = ~found.share.isnan()
    assert (found.share[:3][there[:3]] > 0.9).all()
    assert float(found.share[3]) > 0.8  # of a Pizza's logits 8/π² lie along cos and sin of the answer
    assert (found.all_accuracy[there, found.ablation.index("only key")] == 1).all()
    assert (found.all_loss[there, found.ablation.index("without key")] > 0.9 * math.log(13)).all()


def test_a_frequency_the_circuit_does_not_use_can_be_taken_out(make_run):
    network = planted.clock_transformer()
    found = make_run({0: network.weights}, network.task, network.model)[0].measure("circuit", keys=[2])
    assert (found.share < 0.1).all()
    assert (found.all_accuracy[:, found.ablation.index("without key")] == 1).all()
    assert (found.all_accuracy[:, found.ablation.index("only key")] < 0.2).all()


def test_the_keys_are_the_last_checkpoint_s_unless_it_is_said(make_run):
    first, last = planted.clock_mlp(sizes={2: 20.0, 4: 15.0}), planted.clock_mlp(sizes={1: 20.0, 3: 15.0})
    run = make_run({0: first.weights, 100: last.weights}, first.task, first.model)
    only = 1
    assert run[0].measure("circuit").all_accuracy[-1, only] < 0.5
    assert run[0].measure("circuit", keys="checkpoint").all_accuracy[-1, only] == 1
    assert run[100].measure("circuit").all_accuracy[-1, only] == 1


def test_products_are_ablated_in_the_order_of_the_discrete_logarithm(make_run):
    p = 11
    powers = torch.tensor([pow(2, i, p) for i in range(p - 1)])
    clock = planted.clock_logits(p - 1, {1: 20.0, 3: 15.0})
    logits = torch.zeros(p, p, p).double()
    logits[powers[:, None, None], powers[:, None], powers] = clock
    network = planted.of_logits(logits, operation="x*y")
    found = make_run({0: network.weights}, network.task, network.model)[0].measure("circuit", keys=[1, 3])
    assert float(found.share[-1]) == pytest.approx(1)
    assert found.all_accuracy[-1].tolist() == [pytest.approx(1 / 11), 1.0]  # all eleven logits alike: chance


def test_the_order_of_the_neurons_does_not_matter(make_run):
    network = planted.clock_transformer()
    order = torch.randperm(network.weights["blocks.0.mlp.W_in"].shape[1], generator=torch.Generator().manual_seed(0))
    shuffled = network.weights | {
        "blocks.0.mlp.W_in": network.weights["blocks.0.mlp.W_in"][:, order],
        "blocks.0.mlp.W_out": network.weights["blocks.0.mlp.W_out"][order],
    }
    before, after = (
        make_run({0: weights}, network.task, network.model, name)[0].measure("circuit", keys=[1])
        for name, weights in (("before", network.weights), ("after", shuffled))
    )
    torch.testing.assert_close(before.share, after.share)
    torch.testing.assert_close(before.all_loss, after.all_loss)


def test_a_task_without_a_cyclic_order_has_nothing_to_ablate(make_run):
    network = planted.untrained(7)
    run = make_run({0: network.weights}, {"modular_arithmetic": {"p": 7, "operation": "x^2+y^2"}}, network.model)
    with pytest.raises(NothingToSay, match="no cyclic order"):
        run[0].measure("circuit")


@pytest.mark.parametrize("freq", [0, 7])
def test_a_key_that_is_no_frequency_is_refused(make_run, freq):
    network = planted.clock_mlp()
    with pytest.raises(InterpError, match=f"keys: {freq} is not a frequency of x.y mod 13; they are 1 to 6"):
        make_run({0: network.weights}, network.task, network.model)[0].measure("circuit", keys=[1, freq])


def test_the_summary_tells_the_weakest_stage_of_each_ablation(make_run):
    network = planted.clock_mlp()
    run = make_run({0: network.weights}, network.task, network.model)
    told = summary("circuit", run.measure("circuit"))
    assert [told.values[f"kept_{stage}"] for stage in ("embedding", "neurons", "logits")] == [1, 1, 1]
    assert "kept_attention" not in told.values
    assert "at least 100% of the test pairs are right" in told.sentence
    assert "guessing gets 7.7%" in told.sentence
    assert f"nothing but the {told.values['n_keys']} key frequencies of 6 at one stage" in told.sentence


def test_where_each_frequency_is_key_the_summary_says_so(make_run):
    network = planted.clock_mlp(7, {1: 20.0, 2: 20.0, 3: 20.0})
    told = summary("circuit", make_run({0: network.weights}, network.task, network.model).measure("circuit"))
    assert "nothing but the key frequencies, here all there are, at one stage" in told.sentence


def test_the_visits_are_dense_where_the_accuracy_rises(make_run):
    right, wrong = planted.clock_mlp(7, {1: 20.0}), planted.clock_mlp(7, {1: 20.0})
    wrong.weights["unembed.W_U"] = -wrong.weights["unembed.W_U"]
    steps = range(0, 20_000, 100)
    run = make_run({s: (wrong if s < 9_000 else right).weights for s in steps}, right.task, right.model)
    visited = around_grokking(run)
    assert set(visited) <= set(steps)
    assert visited[0] == 0
    assert visited[-1] == 19_900
    assert {8_900, 9_000} <= set(visited)
    assert len(visited) <= 45


@pytest.mark.slow
def test_a_published_transformer_computes_through_its_key_frequencies(reference: Path):
    run = open_run(reference / "rep_theory" / "C113_T_seed1" / "model.pt", importer="state_dicts")
    found = run.final.measure("circuit", keys=[16, 30, 56])  # key_reps_rederived
    assert (found.share[2:] > 0.9).all()
    assert (found.all_accuracy[:, found.ablation.index("without key")] < 0.1).all()
    assert (found.all_accuracy[2:, found.ablation.index("only key")] == 1).all()
