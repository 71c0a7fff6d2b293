from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import interp
from interp.errors import InterpError


def wave(n, freq, phase=0.0):
    return torch.cos(2 * math.pi * freq * torch.arange(n, dtype=torch.float64) / n + phase)


@pytest.fixture
def voting(planted_mlp):
    """neuron_logit_spectrum of an MLP whose neurons give the logits these rows, and fire in waves of frequency 2."""

    def measure(rows, name="run", freqs=None, **task):
        to_c = torch.stack(rows)
        width, p = to_c.shape
        from_a = (2 + wave(p, 2))[:, None].expand(p, width)
        run = planted_mlp({0: (from_a, torch.zeros(p, width), to_c)}, {"p": p} | task, name)
        return run[0].measure("neuron_logit_spectrum", **({} if freqs is None else {"freqs": freqs}))

    return measure


def test_power_own_frequency_and_residual_are_those_of_the_planted_waves(voting):
    p = 11
    found = voting([2 * wave(p, 3, 0.4), 7 + wave(p, 5, 1.0), torch.full((p,), 1.0), torch.zeros(p)], freqs=[3])
    total = 4 / 2 + 1 / 2  # what a neuron gives all answers alike is of no account
    torch.testing.assert_close(found.power, torch.tensor([0, 0, 0, 2, 0, 0.5]).double() / total, rtol=0, atol=1e-12)
    assert float(found.residual) == pytest.approx(1 - 2 / total)
    assert found.key.tolist() == [False, False, False, True, False, False]
    assert found.own_freq.tolist() == [3, 5, -1, -1]
    assert found.own_share[:2].tolist() == pytest.approx([1, 1])
    assert found.own_share[2:].isnan().all()
    assert found.neurons.tolist() == [0, 0, 0, 1, 0, 1]


def test_the_key_frequencies_are_the_last_checkpoint_s_neurons_own(voting):
    found = voting([wave(11, 2), 2 * wave(11, 4)])
    assert found.key.nonzero().flatten().tolist() == [2]
    assert float(found.residual) == pytest.approx(0.8)


def test_a_mixture_is_explained_in_proportion(voting):
    found = voting([3 + math.sqrt(0.6) * wave(11, 1) + math.sqrt(0.4) * wave(11, 4, 2.0)])
    expected = torch.tensor([[0, 0.6, 0, 0, 0.4, 0]])
    torch.testing.assert_close(found.variance_explained, expected, rtol=0, atol=1e-6)


def test_of_a_transformer_it_is_w_out_w_u_less_its_mean_over_all_logits_then_without_that_of_equals(make_run):
    p = 7
    model = {"transformer": {"d_model": 6, "n_heads": 2, "d_mlp": 5}}
    task = {"modular_arithmetic": {"p": p}}
    weights = make_run({}, task, model, "empty").architecture.initial(0)
    found = make_run({0: weights}, task, model)[0].measure("neuron_logit_spectrum", freqs=[1, 3])
    W_L = weights["blocks.0.mlp.W_out"].double().numpy() @ weights["unembed.W_U"].double().numpy()
    W_L = (W_L - W_L.mean(axis=1, keepdims=True))[:, :p]
    power = np.abs(np.fft.fft(W_L, axis=1)) ** 2
    kept = power[:, [1, 3, 4, 6]].sum() / power.sum()
    assert float(found.residual) == pytest.approx(1 - kept, rel=1e-9)
    assert float(found.power[0]) == pytest.approx(power[:, 0].sum() / power.sum(), rel=1e-9)


def test_of_products_the_answers_go_round_by_their_discrete_logarithms_without_zero(voting):
    p = 11
    row = torch.zeros(p, dtype=torch.float64)
    row[torch.tensor([pow(2, i, p) for i in range(p - 1)])] = wave(p - 1, 3)
    found = voting([row], operation="x*y", freqs=[3])
    assert float(found.residual) == pytest.approx(0, abs=1e-12)
    assert found.own_freq.tolist() == [3]


def test_a_neuron_that_gives_two_frequencies_as_much_has_none_of_its_own(voting):
    """What it gives one answer alone has all frequencies alike, whatever the last bit of rounding says."""
    one_answer = torch.zeros(11, dtype=torch.float64)
    one_answer[4] = 2.0
    noise = 1e-15 * torch.randn(11, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = voting([one_answer, one_answer + noise, one_answer.roll(3), wave(11, 2) + 1e-3 * one_answer])
    assert found.own_freq.tolist() == [0, 0, 0, 2]
    assert found.own_share[:3].tolist() == pytest.approx([1 / 5] * 3)
    assert found.neurons.tolist() == [0, 0, 1, 0, 0, 0]


def test_a_frequency_out_of_range_is_refused(voting):
    with pytest.raises(InterpError, match="freqs has 6; the frequencies here are 1 to 5"):
        voting([wave(11, 1)], freqs=[6])


@pytest.mark.slow
def test_the_published_transformer_s_map_is_of_three_frequencies_but_for_about_the_papers_residual(reference):
    """Nanda et al. 2023 give less than 0.55 % for their own seed; this is C113_T_seed1 of Chughtai et al. 2023."""
    run = interp.open_run(reference / "rep_theory" / "C113_T_seed1", importer="state_dicts")
    found = run.final.measure("neuron_logit_spectrum")
    assert found.key.nonzero().flatten().tolist() == [16, 30, 56]
    assert float(found.residual) < 0.0055
