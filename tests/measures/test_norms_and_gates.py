"""What measures say of networks with norms and gates: the table of docs/models.md, and what is exact against hooks."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from interp.catalogue.names import find, known_names
from interp.errors import NothingToSay
from interp.measures.shared import ablation
from interp.models.transformer import transformer
from interp.recipes.asks import asks
from interp.results.computing import is_across
from interp.tasks.modular_arithmetic import modular_arithmetic
from tests import planted
from tests.cheap_options import CHEAP

P = 7
DOCS = Path(__file__).parents[2] / "docs" / "models.md"
COLUMNS = ("no norm", "pre", "post", "RMS", "gated")
BY_WHAT_OTHERS_SAY = ("recorded", "scatter", "paper_table", "recorded_classes")
BY_CHANCE = ("local_learning_coefficient",)
"""Whose chains may not come to rest about weights that were not trained."""


def gated():
    options = {"d_model": 24, "n_heads": 2, "d_mlp": 20, "gated": True, "act_fn": "silu", "biases": "none"}
    weights = transformer(modular_arithmetic(P), **options).initial(0)
    return planted.Planted(
        {name: value.double() for name, value in weights.items()},
        {"modular_arithmetic": {"p": P}},
        {"transformer": options},
    )


NETWORKS = {
    "no norm": lambda: planted.clock_transformer(P),
    "pre": lambda: planted.clock_behind_norms(P),
    "post": lambda: planted.clock_behind_norms(P, position="post"),
    "RMS": lambda: planted.clock_behind_norms(P, "rms"),
    "gated": gated,
}


def table():
    """Measure -> what the table says of each kind of network."""
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", DOCS.read_text().partition("## What a norm does")[2], re.M)
    return {name: dict(zip(COLUMNS, map(str.strip, cells.split("|")), strict=True)) for name, cells in rows}


def run_of(make_run, network, name="run"):
    task = {"modular_arithmetic": {**network.task["modular_arithmetic"], "frac_train": 0.6}}
    return make_run({0: network.weights}, task, network.model, name)


def test_the_table_has_every_measure():
    assert list(table()) == sorted(known_names("measures"))
    assert {cell for row in table().values() for cell in row.values()} == {"exact", "folded", "nothing to say"}


@pytest.mark.slow
@pytest.mark.parametrize("column", COLUMNS)
def test_every_measure_says_what_the_table_says(make_run, column):
    run, wrong = run_of(make_run, NETWORKS[column]()), []
    for name, row in table().items():
        if name in (*BY_WHAT_OTHERS_SAY, *BY_CHANCE) or is_across(
            asks([name])[0]
        ):  # they look at what others say, or recorded, of runs
            continue
        try:
            result = run.measure(name, **CHEAP.get(name, {}))
        except NothingToSay:
            found = "nothing to say"
        else:
            numbers = [value for value in result.data_vars.values() if value.dtype.kind in "fiub"]
            assert any(bool(value.notnull().any()) for value in numbers), name
            stated = "norm_factor" in result and bool(result.norm_factor.notnull().any())
            # a value that moves nothing of what is said is not stated, but that the norm is folded is
            stated |= column in ("pre", "post", "RMS") and "A norm on the way is folded" in said_by(name)
            found = "folded" if stated else "exact"
        if found != row[column]:
            wrong.append(f"{name}: {found}, and the table says {row[column]}")
    assert not wrong, "\n".join(wrong)


def said_by(name):
    return " ".join(inspect.getdoc(find("measures", name)).split())


each_network = pytest.mark.parametrize("column", COLUMNS[1:])


@each_network
def test_scores_and_pattern_are_those_of_the_hooked_network(make_run, column):
    checkpoint = run_of(make_run, NETWORKS[column]())[0]
    found = checkpoint.measure("attention_spectrum")
    for name, of_a, of_b in (
        ("hook_attn_scores", found.score_a, found.score_b),
        ("hook_pattern", found.pattern_a, found.pattern_b),
    ):
        at = checkpoint.cache[f"blocks.0.attn.{name}"][:, :, -1].unflatten(0, (P, P))  # [a, b, head, pos]
        for curve, mean in ((of_a, at[..., 0].mean(1)), (of_b, at[..., 1].mean(0))):
            np.testing.assert_allclose(curve, mean.T, rtol=1e-6, atol=1e-6)


@each_network
def test_replaced_activations_are_run_through_the_norm(make_run, column):
    """Half of the neurons, and half of what attention wrote, taken away: the same by hooks of the module."""
    checkpoint = run_of(make_run, NETWORKS[column]())[0]
    architecture, model, tokens = checkpoint.run.architecture, checkpoint.model, checkpoint.tokens
    pairs, half = torch.arange(P * P), checkpoint.neurons / 2
    read = architecture.row.read_at

    def by_hooks(name, act):
        with torch.no_grad():
            return architecture.from_module(model.run_with_hooks(tokens, fwd_hooks=[(name, act)]))

    def halved(value, hook):  # noqa: ARG001
        value = value.clone()
        value[:, read] /= 2
        return value

    found = ablation.after_neurons(checkpoint, half, pairs)
    torch.testing.assert_close(found, by_hooks("blocks.0.mlp.hook_post", halved), rtol=1e-9, atol=1e-9)
    out = ablation.attn_out(checkpoint, architecture)
    mid = architecture.resid_mid(checkpoint.activations)
    found = ablation.after_attention(checkpoint, architecture, mid - out / 2)
    torch.testing.assert_close(found, by_hooks("blocks.0.hook_attn_out", halved), rtol=1e-9, atol=1e-9)


@each_network
def test_neurons_without_the_key_frequencies_are_run_through_the_norm(make_run, column):
    """The circuit's test loss with the neurons ablated, by a hook that takes the eight waves of each frequency away."""
    checkpoint = run_of(make_run, NETWORKS[column]())[0]
    found = checkpoint.measure("circuit", keys=[1])
    assert found.stage[2] == "neurons"
    angle = 2 * np.pi * np.arange(P) / P
    waves = np.stack([np.ones(P), np.cos(angle), np.sin(angle)])
    products = [np.outer(f, g).flatten() for f in waves for g in waves][1:]
    basis = torch.tensor(np.array([w / np.linalg.norm(w) for w in products]))  # [8, pair]
    read = checkpoint.run.architecture.row.read_at

    def without(post, hook):  # noqa: ARG001
        post = post.clone()
        post[:, read] -= basis.T @ (basis @ post[:, read])
        return post

    with torch.no_grad():
        logits = checkpoint.model.run_with_hooks(checkpoint.tokens, fwd_hooks=[("blocks.0.mlp.hook_post", without)])
    logits = checkpoint.run.architecture.from_module(logits)
    expected = torch.nn.functional.cross_entropy(logits, checkpoint.task.targets)
    assert float(found.all_loss[2, 0]) == pytest.approx(float(expected), rel=1e-6)


@each_network
def test_the_gradients_of_the_operands_are_those_of_the_hooked_network(make_run, column):
    checkpoint = run_of(make_run, NETWORKS[column]())[0]
    found = checkpoint.measure("gradient_symmetricity", n_triples=P**3)
    architecture, model = checkpoint.run.architecture, checkpoint.model
    cosines = []
    for c in range(P):
        seen = {}

        def keep(embedded, hook, seen=seen):  # noqa: ARG001
            seen["it"] = embedded.detach().requires_grad_()
            return seen["it"]

        logits = architecture.from_module(model.run_with_hooks(checkpoint.tokens, fwd_hooks=[("hook_embed", keep)]))
        (gradient,) = torch.autograd.grad(logits[:, c].sum(), seen["it"])
        cosines.append(torch.nn.functional.cosine_similarity(gradient[:, 0], gradient[:, 1], dim=1, eps=0))
    expected = torch.stack(cosines)
    assert float(found.gradient_symmetricity) == pytest.approx(float(expected[expected.isfinite()].mean()), rel=1e-6)


def test_a_planted_clock_s_readout_is_its_readout_without_norms(make_run):
    """Up to a factor: the norm before the logits hardly wavers."""
    plain = run_of(make_run, planted.clock_transformer(P), "plain")[0].measure("neuron_logit_spectrum", freqs=[1, 3])
    for column in ("pre", "post", "RMS"):
        found = run_of(make_run, NETWORKS[column](), column)[0].measure("neuron_logit_spectrum", freqs=[1, 3])
        assert torch.equal(found.own_freq, plain.own_freq)
        torch.testing.assert_close(found.power, plain.power, rtol=1e-6, atol=1e-9)
        assert float(found.norm_factor) > 0


def test_answers_anywhere_in_the_vocabulary_change_no_measure(make_run):
    """The same network with its residues from token 5 on and its answers from logit 3 on."""
    options = {"d_model": 12, "n_heads": 2, "d_mlp": 10}
    task = {"modular_arithmetic": {"p": P, "frac_train": 0.6}}
    plain = transformer(modular_arithmetic(P), **options, d_vocab=14)
    weights = {name: value.double() for name, value in plain.initial(0).items()}
    order = torch.tensor([7, *range(8, 12), *range(7), 12, 13])
    moved = weights | {
        "embed.W_E": weights["embed.W_E"][order],
        "unembed.W_U": weights["unembed.W_U"].roll(3, dims=1),
    }
    one = make_run({0: weights}, task, {"transformer": options | {"d_vocab": 14}}, "plain")[0]
    shifted = {"d_vocab": 14, "tokens": {"first": 5, "equals": 0}, "answers": 3}
    other = make_run({0: moved}, task, {"transformer": options | shifted}, "moved")[0]
    for name in (
        "loss",
        "embedding_dft",
        "logit_spectrum",
        "neuron_logit_spectrum",
        "inverse_participation",
        "circuit",
    ):
        given = {"freqs": [1]} if name == "neuron_logit_spectrum" else {"keys": [1]} if name == "circuit" else {}
        for field, value in vars(one.measure(name, **given)).items():
            same = getattr(other.measure(name, **given), field)
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                torch.testing.assert_close(same, value, rtol=1e-5, atol=1e-6, equal_nan=True)
    mixtures = [checkpoint.measure("weight_mixture") for checkpoint in (one, other)]
    assert "fourier_W_E" in mixtures[0].parameter
    assert "fourier_W_U" in mixtures[0].parameter
    np.testing.assert_allclose(mixtures[0].excess_kurtosis, mixtures[1].excess_kurtosis, rtol=1e-6)
