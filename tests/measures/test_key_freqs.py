from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from interp.errors import NothingToSay
from tests.planted import clock_logits
from tests.planted import of_neurons as of_neurons_and_readout
from tests.tables import noise
from tests.told import summary


def network(tables):
    """Weights of a transformer whose last neurons are ReLU of these tables [p, p, neuron], and then zeros.

    Its first layer's two heads copy a and b, its first MLP has a neuron for each pair, 1 on it and 0
    elsewhere, and writes the tables; the second MLP reads them.
    """
    p, _, m = tables.shape
    d_model = 3 * p + 3 + m + (3 * p + 3 + m) % 2
    options = {"n_layers": 2, "d_model": d_model, "n_heads": 2, "d_mlp": p * p}
    a_copy, b_copy, flag, written = p, 2 * p, 3 * p, 3 * p + 3  # where each part of the residual stream starts
    one_hot = torch.eye(p)
    first, second = torch.cartesian_prod(torch.arange(p), torch.arange(p)).unbind(1)

    W_E, W_pos = torch.zeros(p + 1, d_model), torch.zeros(3, d_model)
    W_E[:p, :p] = one_hot
    W_pos[:, flag : flag + 3] = torch.eye(3)
    per_head = torch.zeros(2, d_model, d_model // 2)
    W_Q, W_K, W_V, W_O = per_head.clone(), per_head.clone(), per_head.clone(), per_head.transpose(1, 2).clone()
    W_Q[:, flag + 2, 0] = 1e5
    W_V[:, :p, :p] = one_hot
    for head, copy in enumerate((a_copy, b_copy)):
        W_K[head, flag + head, 0] = 1
        W_O[head, :p, copy : copy + p] = one_hot
    W_in, W_out = torch.zeros(d_model, p * p), torch.zeros(p * p, d_model, dtype=torch.float64)
    W_in[a_copy : a_copy + p], W_in[b_copy : b_copy + p] = one_hot[first].T, one_hot[second].T
    W_out[:, written : written + m] = tables.reshape(p * p, m)
    read = torch.zeros(d_model, p * p)
    read[written : written + m, :m] = torch.eye(m)
    weights = {
        "embed.W_E": W_E,
        "pos_embed.W_pos": W_pos,
        "blocks.0.attn.W_Q": W_Q,
        "blocks.0.attn.W_K": W_K,
        "blocks.0.attn.W_V": W_V,
        "blocks.0.attn.W_O": W_O,
        "blocks.0.mlp.W_in": W_in,
        "blocks.0.mlp.b_in": -torch.ones(p * p),
        "blocks.0.mlp.W_out": W_out,
        **{f"blocks.1.attn.W_{letter}": per_head for letter in "QKV"},
        "blocks.1.attn.W_O": torch.zeros_like(W_O),
        "blocks.1.mlp.W_in": read,
        "blocks.1.mlp.b_in": torch.zeros(p * p),
        "blocks.1.mlp.W_out": torch.zeros(p * p, d_model),
        **{f"blocks.{layer}.mlp.b_out": torch.zeros(d_model) for layer in range(2)},
        "unembed.W_U": torch.zeros(d_model, p + 1),
    }
    return {name: value.double() for name, value in weights.items()}, {"transformer": options}


def grid(p):
    return torch.meshgrid(torch.arange(p).double(), torch.arange(p).double(), indexing="ij")


def wave(p, freq, phase=0.0, sign=1):
    """cos(w_k (a ± b) + phase)"""
    a, b = grid(p)
    return torch.cos(2 * math.pi * freq * (a + sign * b) / p + phase)


@pytest.fixture
def of_neurons(make_run):
    """key_freqs of a network with these neurons, a list of tables."""

    def measure(tables, name="run", **task):
        tables = torch.stack(tables, dim=-1)
        weights, model = network(tables)
        checkpoint = make_run({0: weights}, {"modular_arithmetic": {"p": len(tables)} | task}, model, name)[0]
        return checkpoint.measure("key_freqs")

    return measure


def test_the_network_has_the_neurons_it_was_made_of(make_run):
    tables = torch.randn(5, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights, model = network(tables)
    neurons = make_run({0: weights}, {"modular_arithmetic": {"p": 5}}, model)[0].neurons
    expected = torch.zeros(25, 25, dtype=torch.float64)
    expected[:, :4] = tables.relu().reshape(25, 4)
    torch.testing.assert_close(neurons, expected)


def test_neurons_are_counted_at_the_frequency_of_their_wave_whatever_its_phase(of_neurons):
    planted = [(1, 0.0), (1, 1.0), (1, 2.5), (3, 0.3), (5, 4.0), (5, 5.0)]
    found = of_neurons([1 + wave(11, freq, phase) for freq, phase in planted])
    assert found.freq.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.neurons.tolist() == [0, 3, 0, 1, 0, 2]
    assert found.clear_neurons.tolist() == [0, 3, 0, 1, 0, 2]
    assert found.key.tolist() == [False, True, False, True, False, True]
    assert float(found.clear_share) == pytest.approx(6 / 121)  # of all neurons, the idle ones too


@pytest.mark.parametrize("sign", [1, -1])
def test_rectified_waves_are_counted_at_the_frequency_of_the_wave(of_neurons, sign):
    found = of_neurons([wave(13, freq, freq, sign) for freq in (2, 2, 6)])
    assert found.neurons.tolist() == [0, 0, 2, 0, 0, 0, 1]


def test_each_of_the_eight_waves_of_a_frequency_belongs_to_it(of_neurons):
    a, b = (2 * math.pi * 2 * x / 7 for x in grid(7))
    one = torch.ones(7, 7).double()
    tables = [
        1 + f * g for f in (one, a.cos(), a.sin()) for g in (one, b.cos(), b.sin()) if f is not one or g is not one
    ]
    assert len(tables) == 8
    assert of_neurons(tables).clear_neurons.tolist() == [0, 0, 8, 0]


def test_a_neuron_is_clear_above_85_percent_of_its_variance(of_neurons):
    def mixture(share):
        return 3 + math.sqrt(share) * wave(11, 2) + math.sqrt(1 - share) * wave(11, 4, 1.0)

    found = of_neurons([mixture(0.86), mixture(0.84), mixture(0.52), mixture(0.48), mixture(0.14)])
    assert found.neurons.tolist() == [0, 0, 3, 0, 2, 0]
    assert found.clear_neurons.tolist() == [0, 0, 1, 0, 1, 0]


def test_what_mixes_two_frequencies_belongs_to_neither(of_neurons):
    a, b = (2 * math.pi * x / 11 for x in grid(11))
    crossed = 2 + (0.5 * wave(11, 2) + torch.cos(a) * torch.cos(3 * b))  # variances 1/8 and 1/4
    found = of_neurons([crossed])
    assert found.neurons.tolist() == [0, 0, 1, 0, 0, 0]
    assert found.clear_neurons.sum() == 0


def test_for_even_p_the_alternating_wave_is_a_frequency(of_neurons):
    found = of_neurons([1 + wave(8, 4), 1 + wave(8, 3, 0.5)])
    assert found.neurons.tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("constant", [0.0, 1.0, 0.8085729479789734 / 3, 0.8978719115257263 / 3])
def test_a_neuron_that_never_varies_has_no_frequency(of_neurons, constant):
    never = torch.full((7, 7), constant, dtype=torch.float64)
    with pytest.raises(NothingToSay, match="no neuron ever varies"):
        of_neurons([never])


def test_a_neuron_that_fires_on_one_pair_has_no_frequency_whatever_rounding_says(of_neurons):
    """So has one that fires where a is 3, or where a is b: every frequency has as much of it."""
    a, b = grid(7)
    one, generator = ((a == 2) & (b == 5)).double(), torch.Generator().manual_seed(0)
    noise = 1e-15 * torch.rand(7, 7, generator=generator, dtype=torch.float64)
    alike = [one, 3 * one, one.roll(2, 0), one + noise, (a == 3).double(), (a == b).double()]
    found = of_neurons([*alike, 1 + wave(7, 2)])
    assert found.neurons.tolist() == [0, 0, 1, 0]
    assert found.key.tolist() == [False, False, True, False]


def of_tables_and_readout(make_run, tables, readout):
    """key_freqs of a network whose last neurons are ReLU of these tables, read out so."""
    planted = of_neurons_and_readout(torch.stack(tables, dim=-1), readout)
    return make_run({0: planted.weights}, planted.task, planted.model)[0].measure("key_freqs")


def test_the_logits_are_asked_too_and_need_not_use_what_the_neurons_follow(make_run):
    """Rectified waves of 5 have an overtone at 10, which is read beside 5; the neurons of 6 are not read at all."""
    p, ring = 23, 25
    phase = 2 * math.pi * torch.arange(ring).double()[:, None] / ring
    c = 2 * math.pi * torch.arange(p).double() / p
    readout = torch.cos(5 * c - phase) + 3 * torch.cos(10 * c - 2 * phase)
    tables = [wave(p, 5, -float(one)) for one in phase] + [1 + wave(p, 6)] * 3
    found = of_tables_and_readout(make_run, tables, torch.cat([readout, torch.zeros(3, p).double()]))
    assert found.key.nonzero().flatten().tolist() == [5, 6]
    assert found.logit_key.nonzero().flatten().tolist() == [5, 10]
    assert float(found.logit_power.sum()) == pytest.approx(1, abs=0.05)
    assert float(found.logit_bar) == pytest.approx(6 / (23**2 - 1))


def test_what_passes_the_last_neurons_by_is_in_the_logits_alone(make_run):
    """The residual stream holds a wave of 3, on which no neuron of the second layer fires."""
    p = 11
    weights, model = network(torch.stack([1 + wave(p, 1), wave(p, 3) - 2], dim=-1))
    second = 3 * p + 3 + 1
    weights["unembed.W_U"][second, :p] = torch.cos(2 * math.pi * 3 * torch.arange(p).double() / p)
    found = make_run({0: weights}, {"modular_arithmetic": {"p": p}}, model)[0].measure("key_freqs")
    assert found.key.nonzero().flatten().tolist() == [1]
    assert found.logit_key.nonzero().flatten().tolist() == [3]


@pytest.mark.parametrize("p", [3, 4, 5, 7, 13, 31])
def test_random_logits_use_no_frequency_and_a_clock_s_use_its_own(checkpoint_of, p):
    """By chance each frequency holds 2/(p²-1) of their power, which on few residues is more than 1%."""
    for seed in range(5):
        found = checkpoint_of(noise(p, seed), f"noise {seed}").measure("key_freqs")
        assert not found.logit_key.any()
        assert float(found.logit_power[1]) < 3 * 2 / (p**2 - 1)
    clock = checkpoint_of(clock_logits(p, {1: 3.0}), "clock").measure("key_freqs")
    assert clock.logit_key.nonzero().flatten().tolist() == [1]
    assert not clock.key.any() or p < 5  # the planted network's neurons fire on one pair each, which has all alike


def test_for_products_the_waves_run_over_discrete_logarithms(of_neurons):
    p = 11
    powers_of_two = torch.tensor([pow(2, i, p) for i in range(p - 1)])
    table = torch.full((p, p), 7.0, dtype=torch.float64)  # a or b zero: does not count
    table[powers_of_two[:, None], powers_of_two] = 1 + wave(p - 1, 3, 0.4)
    assert of_neurons([table], operation="x*y").clear_neurons.tolist() == [0, 0, 0, 1, 0, 0]


def test_the_order_of_the_neurons_does_not_matter(of_neurons):
    tables = [wave(11, freq, phase) for freq, phase in ((1, 0.2), (4, 1.0), (4, 2.0), (2, 0.5))]
    before, after = of_neurons(tables, "before"), of_neurons(tables[::-1], "after")
    assert torch.equal(before.neurons, after.neurons)
    assert torch.equal(before.clear_neurons, after.clear_neurons)


@pytest.mark.parametrize("unit", [2, 5])
def test_naming_the_residues_anew_by_a_unit_moves_frequency_k_to_k_over_the_unit(of_neurons, unit):
    p = 13
    back = pow(unit, -1, p)
    tables = [wave(p, freq, freq) for freq in (1, 3, 3, 6)]
    names = torch.arange(p) * back % p  # residue u·x is treated as x was
    before = of_neurons(tables, "before")
    after = of_neurons([table[names][:, names] for table in tables], "after")
    for freq in range(1, p // 2 + 1):
        moved = freq * back % p
        assert after.neurons[min(moved, p - moved)] == before.neurons[freq]


def test_a_rotation_of_the_residual_stream_changes_no_count(make_run):
    tables = torch.stack([1 + wave(7, freq, phase) for freq, phase in ((1, 0.2), (2, 1.0), (2, 2.0))], dim=-1)
    w, model = network(tables)
    size = w["embed.W_E"].shape[1]
    generator = torch.Generator().manual_seed(0)
    Q = torch.linalg.qr(torch.randn(size, size, dtype=torch.float64, generator=generator)).Q
    reads = ("W_Q", "W_K", "W_V", "W_in", "W_U")
    writes = ("W_E", "W_pos", "W_O", "W_out", "b_out")
    turned = {
        name: Q.T @ value if name.endswith(reads) else value @ Q if name.endswith(writes) else value
        for name, value in w.items()
    }
    task = {"modular_arithmetic": {"p": 7}}
    before, after = (
        make_run({0: weights}, task, model, name)[0].measure("key_freqs")
        for name, weights in (("before", w), ("after", turned))
    )
    assert before.clear_neurons.tolist() == after.clear_neurons.tolist()
    assert before.clear_neurons.sum() > 0


# Over a run.


def test_a_circuit_that_was_given_up_is_told_with_the_step_at_which_it_was_largest(make_run):
    p = 7
    stages = {
        0: [1 + wave(p, 1)] * 3 + [1 + wave(p, 2)] * 2,
        100: [1 + wave(p, 1)] * 4 + [1 + wave(p, 2)] * 40,
        200: [1 + wave(p, 2)] * 49,
    }
    idle = torch.zeros(p, p)
    networks = {
        step: network(torch.stack(tables + [idle] * (49 - len(tables)), dim=-1)) for step, tables in stages.items()
    }
    run = make_run(
        {step: weights for step, (weights, _) in networks.items()},
        {"modular_arithmetic": {"p": p}},
        networks[0][1],
    )
    result = run.measure("key_freqs")
    assert result.freq[result.given_up].values.tolist() == [1]
    assert int(result.most_neurons.sel(freq=1)) == 4
    assert int(result.most_step.sel(freq=1)) == 100
    told = summary("key_freqs", result)
    assert (told.values["key_freqs"], told.values["given_up"], told.values["clear_share"]) == ([2], [1], 1.0)
    assert "100% of the neurons follow one frequency clearly" in told.sentence
    assert "frequency 2 (49 neurons)" in told.sentence
    assert "frequency 1 had 4 neurons at step 100 and has none at the end" in told.sentence


def test_the_published_transformer_s_clear_neurons_are_at_its_published_key_frequencies(make_run, reference: Path):
    tensors = torch.load(reference / "rep_theory" / "C113_T_seed1" / "model.pt", weights_only=True, map_location="cpu")
    task = {"modular_arithmetic": {"p": 113}}
    shapes = make_run({}, task, name="empty").architecture.shapes
    weights = {name: tensors[name] for name in shapes} | {"unembed.W_U": torch.zeros(128, 114)}
    found = make_run({0: weights}, task)[0].measure("key_freqs")
    assert np.flatnonzero(found.clear_neurons.numpy()).tolist() == [16, 30, 56]  # key_reps_rederived
